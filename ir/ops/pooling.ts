// Pooling over spatial windows.

import { DTYPES, type DType } from "../dtype.ts";
import { type Compute, defineOp, type InferContext } from "../op.ts";
import { add, binaryOp, cast, constant, div, i32, max, min, mul, rem, select, sub, unary } from "../scalar/build.ts";
import type { Scalar } from "../scalar/scalar.ts";
import { maxOf, type TensorType, typeToString } from "../types.ts";
import { FLOAT, intAttr, intsAttr, NUMBER, operandOf, staticDim, stringAttr } from "./rules.ts";
import { checkWindow, clampInside, inside, position, type Window, windowOf } from "./window.ts";

const kernelOf = (c: { readonly attrs: Compute["attrs"] }): readonly number[] => c.attrs["kernel"] as readonly number[];
const extents = (t: TensorType): readonly number[] => t.shape.slice(2).map(maxOf);

function infer(c: InferContext, dtype: DType): TensorType {
  const x = c.types[0]!;
  const spatial = x.shape.length - 2;
  if (spatial < 1) c.fail(`expects [n, channels, spatial..], got ${typeToString(x)}`);
  for (let axis = 1; axis < x.shape.length; axis++) staticDim(c, 0, axis);
  intsAttr(c, "kernel", spatial, 1);
  checkWindow(c, spatial);
  return { dtype, shape: [x.shape[0]!, x.shape[1]!, ...intsAttr(c, "shape", spatial, 0)] };
}

const lowest = (dtype: DType): Scalar => {
  const { compute, min: least } = DTYPES[dtype];
  return constant(compute, least === undefined ? Number.NEGATIVE_INFINITY : compute === "i64" || compute === "u64" ? least : Number(least));
};

/** How many of a window's positions lie in [low, high): for averages that count only those. */
function countOf(w: Window, axis: number, o: Scalar, low: number, high: number): Scalar {
  const step = w.dilations[axis]!;
  const start = position(w, axis, o, i32(0));
  const up = (x: Scalar): Scalar => (step === 1 ? x : div<Scalar>(add<Scalar>(x, i32(step - 1)), i32(step)));
  const until = (edge: number): Scalar => min<Scalar>(i32(w.kernel[axis]!), up(max<Scalar>(i32(0), sub<Scalar>(i32(edge), start))));
  return sub<Scalar>(until(high), until(low));
}

function average(c: Compute, w: Window, sum: Scalar, o: readonly Scalar[]): Scalar {
  const padded = c.attrs["count_include_pad"] === true;
  const n = w.kernel.length;
  const [x, out] = [extents(c.types[0]!), extents(c.results[0]!)];
  let count: Scalar = i32(1);
  w.kernel.forEach((k, axis) => {
    const [low, high] = padded ? [-w.pads[axis]!, x[axis]! + w.pads[axis + n]!] : [0, x[axis]!];
    const last = (out[axis]! - 1) * w.strides[axis]! - w.pads[axis]! + (k - 1) * w.dilations[axis]!;
    const whole = -w.pads[axis]! >= low && last < high;
    count = mul<Scalar>(count, whole ? i32(k) : countOf(w, axis, o[axis]!, low, high));
  });
  return div<Scalar>(sum, cast<Scalar>(sum.type as "f32", count));
}

export const pool = defineOp({
  name: "pool",
  doc:
    "Over each window of x [n, c, spatial..]: `op` max, the average avg, or the p-norm lp (`p`). Windows stand `strides` apart, their elements " +
    "`dilations`, the first one `pads` before the edge; `shape` is the spatial extents of the result. What is outside x does not count, " +
    "but averages divide by the padded window's extent with `count_include_pad`.",
  operands: ["x"],
  infer(c) {
    const op = stringAttr(c, "op", ["max", "avg", "lp"]);
    if (op === "lp") intAttr(c, "p", 1);
    return infer(c, operandOf(c, 0, op === "max" ? NUMBER : FLOAT).dtype);
  },
  compute(c) {
    const op = c.attrs["op"] as "max" | "avg" | "lp";
    const w = windowOf(c.attrs, kernelOf(c));
    const p = op === "lp" ? (c.attrs["p"] as number) : 1;
    const [n, channel, ...o] = c.i;
    const dtype = c.types[0]!.dtype;
    const whole = c.reduce(op === "max" ? "max" : "sum", w.kernel, (k) => {
      const at = o.map((index, axis) => position(w, axis, index, k[axis]!));
      const x = c.read(0, [n!, channel!, ...at]);
      const lit = (value: number): Scalar => constant(x.type as "f32", value);
      const size = op === "lp" ? unary<Scalar>("abs", x) : x;
      const term = p === 1 ? size : p === 2 ? mul<Scalar>(x, x) : binaryOp<Scalar>("pow", size, lit(p));
      const within = inside(w, at, extents(c.types[0]!), extents(c.results[0]!));
      return within ? select<Scalar>(within, term, op === "max" ? lowest(dtype) : lit(0)) : term;
    });
    if (op === "avg") return average(c, w, whole, o);
    if (p === 1) return whole;
    return p === 2 ? unary<Scalar>("sqrt", whole) : binaryOp<Scalar>("pow", whole, constant(whole.type as "f32", 1 / p));
  },
});

export const maxPoolIndices = defineOp({
  name: "max_pool_indices",
  doc:
    'Where `pool` with op max found its first largest element: its position (i64) in x, row-major, or with `order` "column" counting the first ' +
    "spatial axis fastest.",
  operands: ["x"],
  infer(c) {
    stringAttr(c, "order", ["row", "column"]);
    operandOf(c, 0, NUMBER);
    return infer(c, "i64");
  },
  compute(c) {
    const w = windowOf(c.attrs, kernelOf(c));
    const [n, channel, ...o] = c.i;
    const x = extents(c.types[0]!);
    const found = c.reduce("argmax", w.kernel, (k) => {
      const at = o.map((index, axis) => position(w, axis, index, k[axis]!));
      const value = c.read(0, [n!, channel!, ...at]);
      const within = inside(w, at, x, extents(c.results[0]!));
      return within ? select<Scalar>(within, value, lowest(c.types[0]!.dtype)) : value;
    });
    const weight = (axis: number): number =>
      (c.attrs["order"] === "column" ? x.slice(0, axis) : x.slice(axis + 1)).reduce((a, d) => a * d, 1);
    const size = x.reduce((a, d) => a * d, 1);
    let flat: Scalar = mul<Scalar>(add<Scalar>(mul<Scalar>(n!, i32(maxOf(c.types[0]!.shape[1]!))), channel!), i32(size));
    w.kernel.forEach((extent, axis) => {
      const inner = w.kernel.slice(axis + 1).reduce((a, d) => a * d, 1);
      const k = rem<Scalar>(div<Scalar>(found, i32(inner)), i32(extent));
      flat = add<Scalar>(flat, mul<Scalar>(clampInside(position(w, axis, o[axis]!, k), x[axis]!), i32(weight(axis))));
    });
    return cast<Scalar>("i64", flat);
  },
});

export const poolingOps = [pool, maxPoolIndices] as const;
