// What the steps of random graphs have in common: tests of operands, and constants.

import type { DType } from "../../ir/dtype.ts";
import { DTYPES, isFloat, isInteger } from "../../ir/dtype.ts";
import type { Value } from "../../ir/graph.ts";
import { toF16 } from "../../ir/scalar/f16.ts";
import { tensorOf } from "../../ir/tensor.ts";
import { rank } from "../../ir/types.ts";
import type { Choices, StepContext } from "./random-graph.ts";

export type Step = (s: StepContext) => Value | undefined;

export const float = (v: Value): boolean => isFloat(v.type.dtype);

export const number = (v: Value): boolean => float(v) || isInteger(v.type.dtype);

export const atLeast =
  (n: number) =>
  (v: Value): boolean =>
    rank(v.type) >= n;

export const both =
  (...tests: readonly ((v: Value) => boolean)[]) =>
  (v: Value): boolean =>
    tests.every((t) => t(v));

/** A scalar constant; the numbers that rules look for come often. */
export function literal(
  { b, c }: StepContext,
  dtype: DType,
  x = c.of([0, -0, 1, 2, 0.5, 4, 3, 6, -1, 1.5, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]),
): Value {
  const finite = Number.isFinite(x) ? x : Math.sign(x) * 100;
  const { kind } = DTYPES[dtype];
  const value =
    kind === "float" ? x : kind === "bool" ? Number(x > 0) : kind === "uint" ? Math.abs(Math.trunc(finite)) : Math.trunc(finite);
  const big = dtype === "i64" || dtype === "u64";
  return b.constant(tensorOf(dtype, [], [big ? BigInt(value) : dtype === "f16" ? toF16(value) : value]));
}

/** A shape that broadcasts with `shape`: itself, one value a channel, one axis, a scalar. */
export function broadcastable(c: Choices, shape: readonly number[]): readonly number[] {
  const kind = c.below(4);
  if (kind === 0 || shape.length === 0) return shape;
  if (kind === 1) return [];
  if (kind === 2 && shape.length > 1) return [shape[1]!, ...shape.slice(2).map(() => 1)];
  return shape.slice(c.below(shape.length)).map((d) => (c.chance(0.5) ? d : 1));
}
