// The errors of the JavaScript backend: all of them mean a defect of the compiler, or of a pass or lowering handed to it.

import { SparsecError } from "../../ir/diagnostics.ts";

export const errors = {
  notLegal: (func: string, what: string) =>
    new SparsecError(
      "not-legal",
      `kernel function '${func}' contains ${what}, which the js backend cannot print`,
      undefined,
      "run `legalize` first",
    ),
  badEntry: (entry: string) =>
    new SparsecError("bad-entry", `the entry '${entry}' of a js program takes two pointers, the weights and the arena, and has no result`),
} as const;
