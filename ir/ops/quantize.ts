// Between reals and the integers that stand for them: per tensor, per axis, or per block along an axis.

import { DTYPES, type DType } from "../dtype.ts";
import { type Compute, defineOp, type InferContext } from "../op.ts";
import { add, cast, constant, div, i32, max, min, mul, sub, unary } from "../scalar/build.ts";
import type { Scalar } from "../scalar/scalar.ts";
import { maxOf, sameShape, typeToString } from "../types.ts";
import { intAttr, operandOf } from "./rules.ts";

const QUANTIZED: ReadonlySet<DType> = new Set(["i4", "u4", "i8", "u8", "i16", "u16", "i32"]);

/** Checks scale and zero point against x: a scalar, a vector along `axis`, or blocks of `block` elements along it. */
function checkScale(c: InferContext): void {
  const [x, scale] = [c.types[0]!, operandOf(c, 1, ["float"])];
  const block = intAttr(c, "block", 0);
  const axis = intAttr(c, "axis", 0);
  const zero = c.types[2];
  if (zero && !sameShape(zero.shape, scale.shape))
    c.fail(`zero point ${typeToString(zero)} and scale ${typeToString(scale)} differ in shape`);
  if (scale.shape.length === 0) return;
  const extent = x.shape[axis] ?? c.fail(`attribute 'axis' is ${axis}, and ${typeToString(x)} has ${x.shape.length} axes`);
  if (block === 0) {
    if (!sameShape(scale.shape, [extent])) c.fail(`scale ${typeToString(scale)} does not fit axis ${axis} of ${typeToString(x)}`);
    return;
  }
  const blocks = x.shape.map((d, k) => (k === axis ? Math.ceil(maxOf(d) / block) : maxOf(d)));
  if (!sameShape(scale.shape, blocks))
    c.fail(`scale ${typeToString(scale)} does not fit blocks of ${block} along axis ${axis} of ${typeToString(x)}`);
}

/** Where operands 1 and 2 hold what belongs to the element asked for. */
function scaleAt(c: Compute): readonly Scalar[] {
  const axis = c.attrs["axis"] as number;
  const block = c.attrs["block"] as number;
  if (c.types[1]!.shape.length === 0) return [];
  return block === 0 ? [c.i[axis]!] : c.i.with(axis, div<Scalar>(c.i[axis]!, i32(block)));
}

export const quantize = defineOp({
  name: "quantize",
  doc:
    "x / scale rounded to nearest even, plus the zero point (0 without it), saturated to `to`. Scale and zero point are scalars, or hold one " +
    "value for each index of `axis` (`block` 0), or for each `block` elements along it.",
  operands: ["x", "scale", "zero_point?"],
  elementwise: "first",
  infer(c) {
    const x = operandOf(c, 0, ["float", "int"]);
    const to = c.attrs["to"] as DType;
    if (!QUANTIZED.has(to)) c.fail(`cannot quantize to ${String(to)}`);
    if (c.types[2] && c.types[2].dtype !== to) c.fail(`the zero point must be ${to}, got ${typeToString(c.types[2])}`);
    checkScale(c);
    return { dtype: to, shape: x.shape };
  },
  compute(c) {
    const to = c.results[0]!.dtype;
    const at = scaleAt(c);
    const scale = c.read(1, at);
    const real = scale.type === "f64" ? "f64" : "f32";
    const lit = (value: number): Scalar => constant(real, value);
    const units = unary<Scalar>("round_even", div<Scalar>(cast<Scalar>(real, c.read(0, c.i)), scale));
    const shifted = c.types.length > 2 ? add<Scalar>(units, cast<Scalar>(real, c.read(2, at))) : units;
    const { min: low, max: high } = DTYPES[to];
    return cast<Scalar>("i32", min<Scalar>(max<Scalar>(shifted, lit(Number(low))), lit(Number(high))));
  },
});

export const dequantize = defineOp({
  name: "dequantize",
  doc:
    "(x - zero point) * scale, of the scale's type. Scale and zero point are scalars, or hold one value for each index of `axis` (`block` 0), " +
    "or for each `block` elements along it.",
  operands: ["x", "scale", "zero_point?"],
  elementwise: "first",
  infer(c) {
    const x = c.types[0]!;
    if (!QUANTIZED.has(x.dtype)) c.fail(`cannot dequantize ${typeToString(x)}`);
    if (c.types[2] && c.types[2].dtype !== x.dtype) c.fail(`the zero point must be ${x.dtype}, got ${typeToString(c.types[2])}`);
    checkScale(c);
    return { dtype: c.types[1]!.dtype, shape: x.shape };
  },
  compute(c) {
    const at = scaleAt(c);
    const scale = c.read(1, at);
    const x = c.read(0, c.i);
    const steps = c.types.length > 2 ? sub<Scalar>(x, c.read(2, at)) : x;
    return mul<Scalar>(cast<Scalar>(scale.type as "f32", steps), scale);
  },
});

export const quantizeOps = [quantize, dequantize] as const;
