// ONNX operators between reals and quantized integers.

import type { DType } from "../../../ir/dtype.ts";
import type { Value } from "../../../ir/graph.ts";
import { axisOf } from "../axis.ts";
import { defineOnnxOp, type ImportContext, type OnnxOp } from "../op.ts";
import { checkSteps, scaleOf, zeroOf } from "../steps.ts";
import { castTo } from "../widen.ts";
import { dtypeNumbered } from "./convert.ts";

/** One scale for everything, as a scalar; several, as they are. */
const single = (c: ImportContext, v: Value): Value =>
  v.type.shape.length === 1 && v.type.shape[0] === 1 ? c.add("reshape", [v], { shape: [] }) : v;

/** Where the scales lie: `axis` and `block`. */
function granularity(c: ImportContext, x: Value, scale: Value): { readonly axis: number; readonly block: number } {
  if (scale.type.shape.length === 0) return { axis: 0, block: 0 };
  const block = c.int("block_size", 0);
  if (block < 0) c.bad(`attribute 'block_size' is ${block}`);
  const lies = { axis: axisOf(c, c.int("axis", 1), x.type.shape.length), block };
  checkSteps(c, 1, x, lies);
  return lies;
}

/** Operands 1 and 2: scales, and zero points of type `dtype`. */
function steps(c: ImportContext, dtype: DType | undefined): readonly [scale: Value, zero: Value | undefined] {
  const scale = scaleOf(c, 1);
  const zero = zeroOf(c, 2, dtype, scale);
  return [single(c, scale), zero && single(c, zero)];
}

/** Attribute `output_dtype`, 0 being none. */
const outputType = (c: ImportContext): DType | undefined =>
  c.int("output_dtype", 0) === 0 ? undefined : dtypeNumbered(c, c.int("output_dtype"));

const quantizeLinear = defineOnnxOp({
  name: "QuantizeLinear",
  import(c) {
    const x = c.input(0);
    const [scale, zero] = steps(c, undefined);
    const to = zero?.type.dtype ?? outputType(c) ?? "u8";
    const precision = c.int("precision", 0);
    if (precision > 1) c.unsupported(`precision ${precision}`);
    return c.add("quantize", zero ? [x, scale, zero] : [x, scale], { ...granularity(c, x, scale), to });
  },
});

const dequantizeLinear = defineOnnxOp({
  name: "DequantizeLinear",
  import(c) {
    const x = c.input(0);
    const [scale, zero] = steps(c, x.type.dtype);
    const to = outputType(c) ?? scale.type.dtype;
    const real = c.add("dequantize", zero ? [x, scale, zero] : [x, scale], { ...granularity(c, x, scale), to: scale.type.dtype });
    return castTo(c, real, to);
  },
});

/** Scale and zero point from the range of x, which is made to include 0. */
const dynamicQuantizeLinear = defineOnnxOp({
  name: "DynamicQuantizeLinear",
  import(c) {
    const x = c.input(0);
    const lit = (value: number): Value => c.scalar("f32", value);
    const axes = x.type.shape.map((_, axis) => axis);
    const extreme = (op: "min" | "max"): Value => c.add(op, [c.add("reduce", [x], { op, axes, keepdims: false }), lit(0)]);
    const [low, high] = [extreme("min"), extreme("max")];
    const span = c.add("sub", [high, low]);
    // All zeros: any scale will do.
    const scale = c.add("where", [c.add("eq", [span, lit(0)]), lit(1), c.add("div", [span, lit(255)])]);
    const offset = c.add("round", [c.add("clip", [c.add("div", [c.add("neg", [low]), scale]), lit(0), lit(255)])]);
    const zero = c.add("cast", [offset], { to: "u8" });
    return [c.add("quantize", [x, scale, zero], { axis: 0, block: 0, to: "u8" }), scale, zero];
  },
});

/** What onnxruntime's quantizer writes where the default domain is too old for types of 16 or 4 bits, or blocks. */
const elsewhere = (op: OnnxOp): OnnxOp => defineOnnxOp({ ...op, name: `com.microsoft:${op.name}` });

export const quantizeTable: readonly OnnxOp[] = [
  quantizeLinear,
  dequantizeLinear,
  dynamicQuantizeLinear,
  elsewhere(quantizeLinear),
  elsewhere(dequantizeLinear),
];
