// Scales and zero points of quantized operands: what they may be, said by the names that the model gives them.

import { DTYPES, type DType } from "../../ir/dtype.ts";
import type { Value } from "../../ir/graph.ts";
import { fromF16 } from "../../ir/scalar/f16.ts";
import { sameShape, typeToString } from "../../ir/types.ts";
import { importErrors } from "./diagnostics.ts";
import type { ImportContext } from "./op.ts";

const nameOf = (c: ImportContext, k: number): string => JSON.stringify(c.node.inputs[k]);

const wrong = (c: ImportContext, why: string): never => {
  throw importErrors.badStep(`${c.node.opType}: ${why}`, c.loc);
};

/** Operand `k`, a scale. Errors: `bad-model` where it is no float, or a constant that is not positive and finite throughout. */
export function scaleOf(c: ImportContext, k: number): Value {
  const scale = c.input(k);
  if (DTYPES[scale.type.dtype].kind !== "float") wrong(c, `scale ${nameOf(c, k)} is ${typeToString(scale.type)}, and floats are expected`);
  const known = c.constantOf(scale);
  known?.data.forEach((x: number | bigint, i: number) => {
    const value = known.dtype === "f16" ? fromF16(Number(x)) : Number(x);
    if (!(value > 0 && value < Number.POSITIVE_INFINITY))
      wrong(c, `element ${i} of scale ${nameOf(c, k)} is ${value}, and scales are positive and finite`);
  });
  return scale;
}

/** Operand `k`, where it is given: the zero point of integers of type `dtype`, in the shape of their scale. Errors: `bad-model`. */
export function zeroOf(c: ImportContext, k: number, dtype: DType | undefined, scale: Value | undefined): Value | undefined {
  const zero = c.inputs[k];
  if (!zero) return undefined;
  const { kind } = DTYPES[zero.type.dtype];
  const what = `zero point ${nameOf(c, k)} is ${typeToString(zero.type)}`;
  if (dtype !== undefined ? zero.type.dtype !== dtype : kind !== "int" && kind !== "uint")
    wrong(c, `${what}, and the integers are ${dtype ?? "to be integers"}`);
  const single = (v: Value): boolean => v.type.shape.every((d) => d === 1);
  if (scale && !sameShape(zero.type.shape, scale.type.shape) && !(single(zero) && single(scale)))
    wrong(c, `${what}, and its scale is ${typeToString(scale.type)}`);
  return zero;
}

/**
 * Checks the shape of scale `k` against x: one number, one for each index of `axis`, or, with a block size, for each block along it (the last
 * one may be shorter). Errors: `bad-model`.
 */
export function checkSteps(
  c: ImportContext,
  k: number,
  x: Value,
  { axis, block }: { readonly axis: number; readonly block: number },
): void {
  const scale = c.input(k);
  const rank = scale.type.shape.length;
  if (rank === 0) return;
  const extents = x.type.shape.map((d, a) => (typeof d === "number" && a === axis && block > 0 ? Math.ceil(d / block) : d));
  const expected = block > 0 ? extents : [x.type.shape[axis]];
  const fits = rank === expected.length && scale.type.shape.every((d, a) => d === expected[a] || typeof expected[a] !== "number");
  if (fits || (block === 0 && rank === 1 && scale.type.shape[0] === 1)) return;
  const along = block > 0 ? `blocks of ${block} along axis ${axis}` : `axis ${axis}`;
  wrong(c, `scale ${nameOf(c, k)} is ${typeToString(scale.type)}, and ${along} of ${typeToString(x.type)} need [${expected.join(",")}]`);
}
