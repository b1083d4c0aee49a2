// The executors that come with the runtime, in the order of preference.

import type { Executor } from "./executor.ts";
import { jsExecutor } from "./executors/js.ts";
import { wasmExecutor } from "./executors/wasm.ts";

export const defaultExecutors: readonly Executor[] = [wasmExecutor, jsExecutor];
