// Arithmetic of several steps on f16: in f32 within, rounded once at the end.

import type { DType } from "../../ir/dtype.ts";
import type { Value } from "../../ir/graph.ts";
import type { ImportContext } from "./op.ts";

export const castTo = (c: ImportContext, x: Value, to: DType): Value => (x.type.dtype === to ? x : c.add("cast", [x], { to }));

/** `body` on the values, in `wide` if their type is one of `narrow` (f16 in f32 by default); its result has the first one's type. */
export function widened(
  c: ImportContext,
  values: readonly Value[],
  body: (values: readonly Value[]) => Value,
  narrow: readonly DType[] = ["f16"],
  wide: DType = "f32",
): Value {
  const { dtype } = values[0]!.type;
  if (!narrow.includes(dtype)) return body(values);
  return castTo(c, body(values.map((v) => castTo(c, v, wide))), dtype);
}

/** A value of one element as a scalar of rank 0. */
export function toScalar(c: ImportContext, v: Value): Value {
  if (v.type.shape.length === 0) return v;
  if (v.type.shape.some((d) => d !== 1))
    c.bad(`an operand must be a scalar, and has shape [${v.type.shape.map((d) => (typeof d === "number" ? d : "?")).join(", ")}]`);
  return c.add("reshape", [v], { shape: [] });
}
