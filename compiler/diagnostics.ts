// The errors that passes and pipelines raise.

import { type Loc, SparsecError } from "../ir/diagnostics.ts";

export const errors = {
  unknownPass: (name: string, known: readonly string[]) =>
    new SparsecError("unknown-pass", `no pass named '${name}'`, undefined, `known passes: ${known.join(", ")}`),
  duplicatePass: (name: string) => new SparsecError("duplicate-pass", `the pipeline has a pass named '${name}' already`),
  passChangedInterface: (pass: string, what: string, before: string, after: string, loc?: Loc) =>
    new SparsecError(
      "pass-interface",
      `pass '${pass}' changed ${what} from ${before} to ${after}`,
      loc,
      "a pass keeps the inputs and outputs of a graph",
    ),
  noF64: (op: string, loc: Loc | undefined) =>
    new SparsecError(
      "unsupported",
      `${op} computes in f64, which the target does not have`,
      loc,
      "compile for wasm or js, or make the model f32",
    ),
  cannotPlace: (op: string, backend: string, why: SparsecError, loc: Loc | undefined, hint: string) =>
    new SparsecError(why.code, `${op} cannot run on ${backend}: ${why.reason}`, why.loc ?? loc, hint),
  cannotCut: (loc: Loc | undefined) =>
    new SparsecError(
      "dynamic-shape",
      "it cannot be placed: values whose extents hang on data stay within one region",
      loc,
      "compile it whole, for one backend",
    ),
  notPlaced: (op: string, loc: Loc | undefined) =>
    new SparsecError("bad-option", `${op} is in no region, though others are placed`, loc, "`place` is the last pass"),
  noBackend: (name: string, known: readonly string[]) =>
    new SparsecError("unknown-backend", `a region is placed on '${name}', which is not among ${known.join(", ") || "no backends"}`),
  tooMuchMemory: (arena: number, weights: number, limit: number, file: string | undefined) =>
    new SparsecError(
      "too-large",
      `the tensors of a run take ${arena} bytes and the weights ${weights}, together more than the ${limit} of a memory`,
      file === undefined ? undefined : { file, name: "" },
      "compile for smaller inputs",
    ),
} as const;
