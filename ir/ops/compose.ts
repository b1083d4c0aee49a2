// Shorthands for compositions: operators as functions on values, with scalar operands as numbers.

import type { Loc } from "../diagnostics.ts";
import type { DType } from "../dtype.ts";
import type { GraphBuilder, Value } from "../graph.ts";
import type { Attrs } from "../op.ts";
import { toF16 } from "../scalar/f16.ts";
import { tensorOf } from "../tensor.ts";
import { maxShape } from "../types.ts";

export interface Composer {
  readonly b: GraphBuilder;
  op(name: string, inputs: readonly (Value | number)[], attrs?: Attrs): Value;
  /** A scalar constant of rank 0. */
  scalar(dtype: DType, value: number): Value;
  /** One value all over. */
  fill(dtype: DType, shape: readonly number[], value: number): Value;
  /** i32: 0, 1, ..., along one axis of a tensor of `rank` axes whose others have extent 1. */
  positions(count: number, axis: number, rank: number): Value;
  reshape(x: Value, shape: readonly number[]): Value;
  transpose(x: Value, perm: readonly number[]): Value;
  /** `length` elements from `start` on along one axis. */
  part(x: Value, axis: number, start: number, length: number): Value;
  concat(xs: readonly Value[], axis: number): Value;
  cast(x: Value, to: DType): Value;
  reduce(x: Value, op: string, axes: readonly number[]): Value;
  mean(x: Value, axes: readonly number[]): Value;
}

/** A number among the operands of `op` becomes a scalar of the element type of the first value among them. */
export function composer(b: GraphBuilder, loc: Loc | undefined): Composer {
  const scalar = (dtype: DType, value: number): Value =>
    b.constant(tensorOf(dtype, [], [dtype === "f16" ? toF16(value) : dtype === "i64" || dtype === "u64" ? BigInt(value) : value]), { loc });
  const op = (name: string, inputs: readonly (Value | number)[], attrs: Attrs = {}): Value => {
    const typed = inputs.find((v) => typeof v !== "number") as Value;
    return b.value(
      name,
      inputs.map((v) => (typeof v === "number" ? scalar(typed.type.dtype, v) : v)),
      attrs,
      loc,
    );
  };
  const same = (a: readonly number[], c: readonly number[]): boolean => a.length === c.length && a.every((d, i) => d === c[i]);
  const c: Composer = {
    b,
    op,
    scalar,
    fill: (dtype, shape, value) => op("expand", [scalar(dtype, value)], { shape }),
    positions: (count, axis, rank) =>
      c.reshape(
        op("range", [scalar("i32", 0), scalar("i32", 1)], { count }),
        Array.from({ length: rank }, (_, a) => (a === axis ? count : 1)),
      ),
    reshape: (x, shape) => (same(maxShape(x.type), shape) ? x : op("reshape", [x], { shape })),
    transpose: (x, perm) => (perm.every((p, i) => p === i) ? x : op("transpose", [x], { perm })),
    part(x, axis, start, length) {
      const shape = maxShape(x.type);
      if (start === 0 && length === shape[axis]) return x;
      return op("slice", [x], {
        starts: shape.map((_, a) => (a === axis ? start : 0)),
        steps: shape.map(() => 1),
        shape: shape.with(axis, length),
      });
    },
    concat: (xs, axis) => (xs.length === 1 ? xs[0]! : op("concat", xs, { axis })),
    cast: (x, to) => (x.type.dtype === to ? x : op("cast", [x], { to })),
    reduce: (x, kind, axes) => op("reduce", [x], { op: kind, axes, keepdims: true }),
    mean(x, axes) {
      const count = axes.reduce((n, a) => n * maxShape(x.type)[a]!, 1);
      return op("div", [c.reduce(x, "sum", axes), count]);
    },
  };
  return c;
}
