// The errors of importing ONNX graphs: every message and code of this folder but those of decoding.

import { type Loc, SparsecError } from "../../ir/diagnostics.ts";

const list = (names: readonly string[]): string => names.map((n) => JSON.stringify(n)).join(", ");
const shown = (shape: readonly unknown[]): string => `[${shape.join(", ")}]`;

export const importErrors = {
  bad: (why: string, loc: Loc) => new SparsecError("bad-model", why, loc),
  badStep: (why: string, loc: Loc) =>
    new SparsecError("bad-model", why, loc, "quantize the model again; what is zero throughout may have any scale, 1 say"),
  unsupported: (why: string, loc: Loc) => new SparsecError("unsupported", why, loc),
  unsupportedVersion: (version: number, lowest: number, highest: number, op: string | undefined, file: string) =>
    new SparsecError(
      "unsupported",
      `the model uses version ${version} of the default operator set${op === undefined ? "" : ` (for ${op}, first of all)`}, and versions ${lowest} to ${highest} are supported`,
      { file, name: "" },
      "convert it with ONNX's version converter",
    ),
  unsupportedOp: (op: string, version: number | undefined, all: readonly string[], loc: Loc) =>
    new SparsecError(
      "unsupported-op",
      `operator ${op}${version === undefined ? "" : ` (version ${version})`} is not supported${all.length > 1 ? `; in the whole model: ${all.join(", ")}` : ""}`,
      loc,
      "an operator can be added through `ops` (see examples/custom-op)",
    ),
  unsupportedDType: (what: string, type: string, loc: Loc) =>
    new SparsecError("unsupported-dtype", `${what} is of type ${type}, which is not supported`, loc),
  needsConstant: (names: readonly string[], loc: Loc) => {
    const e = new SparsecError(
      "needs-constant",
      `shapes hang on the values of ${names.length === 1 ? "input" : "inputs"} ${list(names)}, which must be known when compiling`,
      loc,
      names.map((n) => `--const ${n}=...`).join(" "),
    );
    e.inputs = names;
    return e;
  },
  dynamicShape: (why: string, loc: Loc) =>
    new SparsecError("dynamic-shape", why, loc, "make the extent static, or end the model before this node"),
  unboundDims: (dims: readonly { readonly input: string; readonly axis: number; readonly name: string | undefined }[], file: string) => {
    const named = [...new Set(dims.flatMap((d) => (d.name === undefined ? [] : [d.name])))];
    const unnamed = [...new Set(dims.flatMap((d) => (d.name === undefined ? [d.input] : [])))];
    const what = dims.map((d) => `axis ${d.axis} of input ${JSON.stringify(d.input)}${d.name === undefined ? "" : ` (${d.name})`}`);
    const flags = [...named.map((n) => `--dim ${n}=...`), ...unnamed.map((n) => `--input-shape ${n}=...`)];
    return new SparsecError(
      "unbound-dim",
      `no extent is known for ${what.join(", ")}`,
      { file, name: "" },
      `give ${flags.join(" ")} (options \`dims\`, \`inputShapes\`)`,
    );
  },
  unknownRank: (input: string, file: string) =>
    new SparsecError(
      "unbound-dim",
      `input ${JSON.stringify(input)} declares no shape`,
      { file, name: input },
      `give --input-shape ${input}=... (option \`inputShapes\`)`,
    ),
  badDim: (name: string, value: unknown, file: string) =>
    new SparsecError("bad-option", `dimension ${JSON.stringify(name)} cannot be ${String(value)}: it must be an integer >= 0`, {
      file,
      name: "",
    }),
  dimConflict: (name: string, a: number, b: number, file: string) =>
    new SparsecError("bad-option", `dimension ${JSON.stringify(name)} is bound to both ${a} and ${b}`, { file, name: "" }),
  shapeConflict: (input: string, declared: readonly unknown[], given: readonly number[], file: string) =>
    new SparsecError(
      "bad-option",
      `input ${JSON.stringify(input)} has shape ${shown(declared)} in the model, and ${shown(given)} was given`,
      { file, name: input },
    ),
  unknownInput: (option: string, name: string, inputs: readonly string[], file: string) =>
    new SparsecError("unknown-input", `\`${option}\` names ${JSON.stringify(name)}, and the model's inputs are ${list(inputs)}`, {
      file,
      name: "",
    }),
  noBatch: (why: string, file: string) =>
    new SparsecError(
      "no-batch",
      `the batch cannot be chosen: ${why}`,
      { file, name: "" },
      "give --dim or --input-shape, or export the model with a symbolic batch",
    ),
  badConstant: (input: string, why: string, file: string) =>
    new SparsecError("bad-option", `the constant for input ${JSON.stringify(input)} does not fit: ${why}`, { file, name: input }),
  budget: (what: string, limit: number, loc: Loc) =>
    new SparsecError(
      "budget",
      `importing would take more than ${limit} ${what}`,
      loc,
      "unrolled loops and nested functions multiply nodes",
    ),
  internal: (why: string, loc: Loc) =>
    new SparsecError("internal", `the import failed unexpectedly: ${why}`, loc, "please report this, with the model if you can"),
} as const;

/** The error with a place, where it has none. */
export function located(e: unknown, loc: Loc): SparsecError {
  if (!(e instanceof SparsecError)) return importErrors.internal(e instanceof Error ? e.message : String(e), loc);
  if (e.loc) return e;
  const placed = new SparsecError(e.code, e.reason, loc, e.hint);
  if (e.inputs) placed.inputs = e.inputs;
  return placed;
}
