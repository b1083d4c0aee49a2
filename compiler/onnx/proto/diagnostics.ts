// The errors of decoding ONNX: every message and code of this folder.

import type { Loc } from "../../../ir/diagnostics.ts";
import { SparsecError } from "../../../ir/diagnostics.ts";

const quoted = (text: string): string => JSON.stringify(text.length > 120 ? `${text.slice(0, 117)}...` : text);

/** Where a tensor, node or attribute stands: `part("tensor", "w")` of file `f` shows as `f (tensor "w")`. */
export const part = (file: string, what: string, name: string): Loc => ({ file, name: `${what} ${quoted(name)}` });

export const onnxErrors = {
  malformed: (file: string, why: string) =>
    new SparsecError("bad-model", `not a well-formed ONNX file: ${why}`, { file, name: "" }, "is it complete, and an .onnx file?"),
  bad: (why: string, loc: Loc) => new SparsecError("bad-model", why, loc),
  duplicate: (what: string, name: string, loc: Loc) => new SparsecError("bad-model", `${what} ${quoted(name)} is defined twice`, loc),
  budget: (what: string, found: number, limit: number, loc: Loc) =>
    new SparsecError("budget", `${found} ${what}, and at most ${limit} are accepted`, loc, "raise the limit if the model is trusted"),
  tooLarge: (what: string, loc: Loc) => new SparsecError("too-large", `${what} exceeds 2^31 elements`, loc),
  unsupportedType: (type: string, loc: Loc) => new SparsecError("unsupported-dtype", `elements of type ${type} are not supported`, loc),
  externalDisabled: (location: string, why: string, loc: Loc) =>
    new SparsecError("external-disabled", `the data is in an external file ${quoted(location)}, and ${why}`, loc),
  externalPath: (location: string, why: string, loc: Loc) =>
    new SparsecError(
      "external-path",
      `external file ${quoted(location)} is refused: ${why}`,
      loc,
      "external data must be a plain file below the model's folder",
    ),
  externalMissing: (location: string, why: string, loc: Loc) =>
    new SparsecError("external-missing", `external file ${quoted(location)} cannot be read: ${why}`, loc),
  externalRange: (location: string, why: string, loc: Loc) =>
    new SparsecError("external-range", `external file ${quoted(location)}: ${why}`, loc),
  encode: (why: string, name: string) => new SparsecError("bad-model", why, { file: "encodeModel", name }),
} as const;
