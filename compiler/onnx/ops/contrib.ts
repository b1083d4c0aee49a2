// Operators of onnxruntime's domain com.microsoft that exported and quantized models carry: fused products, GELUs, normalizations, QLinear arithmetic.

import type { Value } from "../../../ir/graph.ts";
import { type Composer, composer } from "../../../ir/ops/compose.ts";
import { elementCount } from "../../../ir/tensor.ts";
import { axisOf, shapeOf } from "../axis.ts";
import { defineOnnxOp, type ImportContext, type OnnxOp } from "../op.ts";
import { scaleOf, zeroOf } from "../steps.ts";

const contrib = (
  name: string,
  body: (c: ImportContext, e: Composer) => Value | readonly (Value | undefined)[],
  shapeOperands?: readonly number[],
): OnnxOp =>
  defineOnnxOp({
    name: `com.microsoft:${name}`,
    ...(shapeOperands ? { shapeOperands } : {}),
    import: (c) => body(c, composer(c.b, c.loc)),
  });

const swapLast = (e: Composer, x: Value): Value => {
  const rank = x.type.shape.length;
  if (rank < 2) return x;
  return e.transpose(
    x,
    Array.from({ length: rank }, (_, a) => (a < rank - 2 ? a : 2 * rank - 3 - a)),
  );
};

const fusedMatMul = contrib("FusedMatMul", (c, e) => {
  if (c.int("transBatchA", 0) || c.int("transBatchB", 0)) c.unsupported("batch axes transposed");
  const a = c.int("transA", 0) ? swapLast(e, c.input(0)) : c.input(0);
  const b = c.int("transB", 0) ? swapLast(e, c.input(1)) : c.input(1);
  const alpha = c.float("alpha", 1);
  const product = e.op("matmul", [a, b]);
  return alpha === 1 ? product : e.op("mul", [product, alpha]);
});

const withBias = (c: ImportContext, e: Composer): Value => (c.inputs[1] ? e.op("add", [c.input(0), c.inputs[1]]) : c.input(0));

const gelus = [
  contrib("Gelu", (c, e) => e.op("gelu", [c.input(0)], { approximate: "none" })),
  contrib("BiasGelu", (c, e) => e.op("gelu", [withBias(c, e)], { approximate: "none" })),
  contrib("FastGelu", (c, e) => e.op("gelu", [withBias(c, e)], { approximate: "tanh" })),
  contrib("QuickGelu", (c, e) => e.op("swish", [c.input(0)], { alpha: c.float("alpha", 1.702) })),
];

/** Outputs 1 and 2 are for training only. */
function inferenceOnly(c: ImportContext): void {
  if (c.wants(1) || c.wants(2)) c.unsupported("mean and inverse deviation as outputs");
}

/** Adds a skip connection and normalizes over the last axis; output 3 is the sum. */
const skipNormalization = (name: string, op: "layer_norm" | "rms_norm"): OnnxOp =>
  contrib(name, (c, e) => {
    inferenceOnly(c);
    const mean = op === "layer_norm";
    const bias = c.inputs[mean ? 4 : 3];
    const skipped = e.op("add", [c.input(0), c.input(1)]);
    const sum = bias ? e.op("add", [skipped, bias]) : skipped;
    const beta = mean ? c.inputs[3] : undefined;
    const y = e.op(op, [sum, c.input(2), ...(beta ? [beta] : [])], { axis: sum.type.shape.length - 1, epsilon: c.float("epsilon", 1e-12) });
    return [y, undefined, undefined, sum];
  });

/** Registered by onnxruntime in the default domain. */
const simplifiedLayerNormalization = defineOnnxOp({
  name: "SimplifiedLayerNormalization",
  import(c) {
    if (c.wants(1)) c.unsupported("the inverse deviation as an output");
    const axis = axisOf(c, c.int("axis", -1), c.input(0).type.shape.length);
    return c.add("rms_norm", [c.input(0), c.input(1)], { axis, epsilon: c.float("epsilon", 1e-5) });
  },
});

/** Operand `k` and its scale and zero point after it, as reals. */
function real(
  c: ImportContext,
  e: Composer,
  k: number,
  at: { readonly scale: number; readonly zero: number } = { scale: k + 1, zero: k + 2 },
): Value {
  const zero = zeroOf(c, at.zero, c.input(k).type.dtype, undefined);
  return e.op("dequantize", [c.input(k), e.reshape(scaleOf(c, at.scale), []), ...(zero ? [e.reshape(zero, [])] : [])], {
    axis: 0,
    block: 0,
  });
}

/** Reals in the integers of operand `like`, by the scale and zero point at `k`. */
function quantized(c: ImportContext, e: Composer, x: Value, k: number, like: Value): Value {
  const zero = zeroOf(c, k + 1, like.type.dtype, undefined);
  return e.op("quantize", [x, e.reshape(scaleOf(c, k), []), ...(zero ? [e.reshape(zero, [])] : [])], {
    axis: 0,
    block: 0,
    to: like.type.dtype,
  });
}

const qlinearBinary = (name: string, op: string): OnnxOp =>
  contrib(name, (c, e) => quantized(c, e, e.op(op, [real(c, e, 0), real(c, e, 3)]), 6, c.input(0)));
const qlinearUnary = (name: string, f: (c: ImportContext, e: Composer, x: Value) => Value): OnnxOp =>
  contrib(name, (c, e) => quantized(c, e, f(c, e, real(c, e, 0)), 3, c.input(0)));

const qlinearGlobalAveragePool = qlinearUnary("QLinearGlobalAveragePool", (c, e, x) => {
  const rank = shapeOf(c, x).length;
  const last = c.int("channels_last", 0) !== 0;
  return e.mean(
    x,
    Array.from({ length: rank - 2 }, (_, a) => a + (last ? 1 : 2)),
  );
});

const qlinearSoftmax = qlinearUnary("QLinearSoftmax", (c, e, x) => {
  const shape = shapeOf(c, x);
  const axis = axisOf(c, c.int("axis", -1), shape.length);
  if (c.int("opset", 13) >= 13) return e.op("softmax", [x], { axis });
  // Before opset 13 all axes from `axis` on are one.
  return e.reshape(
    e.op("softmax", [e.reshape(x, [elementCount(shape.slice(0, axis)), elementCount(shape.slice(axis))])], { axis: 1 }),
    shape,
  );
});

/** Output scale and zero point, then triples of tensor, scale and zero point. */
const qlinearConcat = contrib("QLinearConcat", (c, e) => {
  const pieces = Array.from({ length: (c.inputs.length - 2) / 3 }, (_, k) => real(c, e, 2 + 3 * k));
  if (pieces.length === 0) c.bad("no tensors to concatenate");
  return quantized(c, e, e.concat(pieces, axisOf(c, c.int("axis"), pieces[0]!.type.shape.length)), 0, c.input(2));
});

export const contribTable: readonly OnnxOp[] = [
  fusedMatMul,
  ...gelus,
  skipNormalization("SkipLayerNormalization", "layer_norm"),
  skipNormalization("SkipSimplifiedLayerNormalization", "rms_norm"),
  simplifiedLayerNormalization,
  qlinearBinary("QLinearAdd", "add"),
  qlinearBinary("QLinearMul", "mul"),
  qlinearUnary("QLinearSigmoid", (_, e, x) => e.op("sigmoid", [x])),
  qlinearUnary("QLinearLeakyRelu", (c, e, x) => e.op("leaky_relu", [x], { alpha: c.float("alpha", 0.01) })),
  qlinearGlobalAveragePool,
  qlinearSoftmax,
  qlinearConcat,
];
