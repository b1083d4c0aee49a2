// The WebAssembly backend against the conformance suite. Variants that the engine cannot run are skipped with the reason.

import { test } from "vitest";
import { wasm } from "../../backends/index.ts";
import { wasmExecutor } from "../../runtime/executors/wasm.ts";
import { conformance } from "../conformance/index.ts";

conformance(wasm, wasmExecutor, { test });
