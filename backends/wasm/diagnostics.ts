// The errors of the WebAssembly backend: all of them mean a defect of the compiler, or of a pass or lowering handed to it.

import { SparsecError } from "../../ir/diagnostics.ts";

export const errors = {
  notLegal: (func: string, what: string) =>
    new SparsecError(
      "not-legal",
      `kernel function '${func}' contains ${what}, which the wasm backend cannot print`,
      undefined,
      "run `legalize` first",
    ),
  badEntry: (entry: string) =>
    new SparsecError(
      "bad-entry",
      `the entry '${entry}' of a wasm program takes two pointers, the weights and the arena, and has no result`,
    ),
  invalidModule: (why: string) => new SparsecError("invalid-wasm", `binaryen rejects the printed module: ${why}`),
} as const;
