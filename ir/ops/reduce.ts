// Reductions over axes, and the positions of extremes.

import { DTYPES } from "../dtype.ts";
import { type Compute, defineOp, type InferContext } from "../op.ts";
import { cast, i32, max, min } from "../scalar/build.ts";
import type { ReduceOp, Scalar } from "../scalar/scalar.ts";
import type { Dim, TensorType } from "../types.ts";
import { axesAttr, axisAttr, NUMBER, operandOf, stringAttr } from "./rules.ts";

const KINDS = ["sum", "prod", "min", "max", "and", "or"] as const;
const ARG_KINDS = ["argmin", "argmax", "argmin_last", "argmax_last"] as const;

/** The shape without the reduced axes, or with extent 1 there. */
function reducedShape(c: InferContext, axes: readonly number[]): readonly Dim[] {
  const { shape } = c.types[0]!;
  if (c.attrs["keepdims"] === true) return shape.map((d, axis) => (axes.includes(axis) ? 1 : d));
  return shape.filter((_, axis) => !axes.includes(axis));
}

/** The operand's coordinates: the result's, and `at` on the reduced axes, in their order. */
function coordinates(c: Compute, axes: readonly number[], at: readonly Scalar[]): readonly Scalar[] {
  const keep = c.attrs["keepdims"] === true;
  let next = 0;
  return c.types[0]!.shape.map((_, axis) => {
    const reduced = axes.indexOf(axis);
    if (reduced >= 0) return at[reduced]!;
    return c.i[keep ? axis : next++]!;
  });
}

/** Narrow integers compute in wider ones, whose extremes an empty reduction gives: brings those to the narrow extremes. */
function overNothing(c: Compute, axes: readonly number[], whole: Scalar): Scalar {
  const { dtype, shape } = c.types[0]!;
  const { min: low, max: high, compute } = DTYPES[dtype];
  const op = c.attrs["op"];
  const occupied = axes.every((axis) => typeof shape[axis] === "number" && shape[axis] > 0);
  if (occupied || (op !== "min" && op !== "max") || low === undefined || high === undefined || compute !== "i32") return whole;
  return min<Scalar>(max<Scalar>(whole, i32(Number(low))), i32(Number(high)));
}

export const reduce = defineOp({
  name: "reduce",
  doc:
    "`op` (sum, prod, min, max on numbers; and, or on bools) over `axes`, which are kept with extent 1 if `keepdims`. " +
    "Over nothing: 0, 1, the largest and the smallest number, true, false.",
  operands: ["x"],
  infer(c): TensorType {
    const op = stringAttr(c, "op", KINDS);
    const x = operandOf(c, 0, op === "and" || op === "or" ? ["bool"] : NUMBER);
    return { dtype: x.dtype, shape: reducedShape(c, axesAttr(c, x.shape.length)) };
  },
  compute(c) {
    const axes = c.attrs["axes"] as readonly number[];
    if (axes.length === 0) return c.read(0, c.i);
    const whole = c.reduce(
      c.attrs["op"] as ReduceOp,
      axes.map((axis) => c.extent(0, axis)),
      (at) => c.read(0, coordinates(c, axes, at)),
    );
    return overNothing(c, axes, whole);
  },
});

export const argReduce = defineOp({
  name: "arg_reduce",
  doc: "The position (i64) along `axis` of the smallest (argmin) or largest (argmax) element: the first of equals, or the last with `_last`.",
  operands: ["x"],
  infer(c): TensorType {
    stringAttr(c, "op", ARG_KINDS);
    const x = operandOf(c, 0, NUMBER);
    return { dtype: "i64", shape: reducedShape(c, [axisAttr(c, x.shape.length)]) };
  },
  compute(c) {
    const axis = c.attrs["axis"] as number;
    const at = c.reduce(c.attrs["op"] as ReduceOp, [c.extent(0, axis)], ([r]) => c.read(0, coordinates(c, [axis], [r ?? i32(0)])));
    return cast<Scalar>("i64", at);
  },
});

export const reduceOps = [reduce, argReduce] as const;
