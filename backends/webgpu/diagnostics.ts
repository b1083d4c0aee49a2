// The errors of the WebGPU backend.

import { SparsecError } from "../../ir/diagnostics.ts";

export const errors = {
  notLegal: (func: string, what: string) =>
    new SparsecError(
      "not-legal",
      `kernel function '${func}' contains ${what}, which the webgpu backend cannot print`,
      undefined,
      "run `legalize` first",
    ),
  noType: (func: string, type: string) =>
    new SparsecError(
      "unsupported",
      `kernel '${func}' computes in ${type}, which WebGPU does not have`,
      undefined,
      "compile for wasm or js",
    ),
  tooManyBuffers: (func: string, found: number, most: number) =>
    new SparsecError("unsupported", `kernel '${func}' binds ${found} buffers; a WebGPU device is sure of ${most}`, undefined),
  badEntry: (entry: string, why: string) => new SparsecError("bad-entry", `the entry '${entry}' of a webgpu program ${why}`),
} as const;
