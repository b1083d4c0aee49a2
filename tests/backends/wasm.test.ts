// The WebAssembly backend against the conformance suite, both variants.

import { setFlagsFromString } from "node:v8";
import { test } from "vitest";
import { wasm } from "../../backends/index.ts";
import { wasmExecutor } from "../../runtime/executors/wasm.ts";
import { conformance } from "../conformance/index.ts";

// Node 20 has relaxed SIMD behind a flag that newer engines, which have it anyway, do not know.
if (Number(process.versions.node.split(".")[0]) < 21) setFlagsFromString("--experimental-wasm-relaxed-simd");

conformance(wasm, wasmExecutor, { test });
