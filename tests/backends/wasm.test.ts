// The WebAssembly backend against the conformance suite, both variants.

import { test } from "vitest";
import { wasm } from "../../backends/index.ts";
import { wasmExecutor } from "../../runtime/executors/wasm.ts";
import { conformance } from "../conformance/index.ts";
import "../support/relaxed-simd.ts";

await conformance(wasm, wasmExecutor, { test });
