// ONNX's matrix products, in floats and in quantized integers.

import type { Value } from "../../../ir/graph.ts";
import { defineOnnxOp, type ImportContext, type OnnxOp } from "../op.ts";
import { scaleOf, zeroOf } from "../steps.ts";
import { castTo } from "../widen.ts";

const matMul = defineOnnxOp({ name: "MatMul", import: (c) => c.add("matmul", [c.input(0), c.input(1)]) });

function scaled(c: ImportContext, x: Value, factor: number): Value {
  if (factor === 1) return x;
  if (!Number.isInteger(factor) && !["f32", "f16", "f64"].includes(x.type.dtype))
    return c.unsupported(`a factor of ${factor} on ${x.type.dtype}`);
  return c.add("mul", [x, c.scalar(x.type.dtype, factor)]);
}

/** alpha A B + beta C, A and B transposed where it says so. */
const gemm = defineOnnxOp({
  name: "Gemm",
  import(c) {
    const side = (k: number, flag: string): Value => {
      const x = c.input(k);
      if (x.type.shape.length !== 2) c.bad(`operand ${k} has ${x.type.shape.length} axes, expected 2`);
      return c.int(flag, 0) !== 0 ? c.add("transpose", [x], { perm: [1, 0] }) : x;
    };
    const product = scaled(c, c.add("matmul", [side(0, "transA"), side(1, "transB")]), c.float("alpha", 1));
    const bias = c.inputs[2];
    const beta = c.float("beta", 1);
    return bias && beta !== 0 ? c.add("add", [product, scaled(c, bias, beta)]) : product;
  },
});

/** Operand `k` less its zero point, operand `at`, as i32; `axisFromEnd` is where a vector of zero points lies. */
export function centred(c: ImportContext, k: number, at: number, axisFromEnd: number): Value {
  const x = c.input(k);
  const wide = castTo(c, x, "i32");
  const zero = zeroOf(c, at, x.type.dtype, undefined);
  if (!zero) return wide;
  return c.add("sub", [wide, aligned(c, castTo(c, zero, "i32"), axisFromEnd)]);
}

/** A scalar, or a vector that lies along the axis `axisFromEnd` (1 is the last), shaped to broadcast. */
export function aligned(c: ImportContext, v: Value, axisFromEnd: number): Value {
  if (v.type.shape.length !== 1) return v;
  const [n] = v.type.shape as [number];
  if (n === 1) return c.add("reshape", [v], { shape: [] });
  return axisFromEnd === 1 ? v : c.add("reshape", [v], { shape: [n, ...Array.from({ length: axisFromEnd - 1 }, () => 1)] });
}

const matMulInteger = defineOnnxOp({
  name: "MatMulInteger",
  import: (c) => c.add("matmul", [centred(c, 0, 2, 2), centred(c, 1, 3, 1)]),
});

/** The i32 accumulators, times `scale` (f32), quantized with the scale and zero point of the result, operands `k` and `k + 1`. */
export function requantized(c: ImportContext, sum: Value, scale: Value, k: number): Value {
  const to = { scale: scaleOf(c, k), zero: zeroOf(c, k + 1, undefined, undefined) ?? c.input(k + 1) };
  const real = c.add("mul", [castTo(c, sum, "f32"), scale]);
  const scalar = (v: Value): Value =>
    v.type.shape.length === 0
      ? v
      : v.type.shape.length === 1 && v.type.shape[0] === 1
        ? c.add("reshape", [v], { shape: [] })
        : c.unsupported("a scale of the result for each row");
  return c.add("quantize", [real, castTo(c, scalar(to.scale), "f32"), scalar(to.zero)], { axis: 0, block: 0, to: to.zero.type.dtype });
}

const qLinearMatMul = defineOnnxOp({
  name: "QLinearMatMul",
  import(c) {
    const sum = c.add("matmul", [centred(c, 0, 2, 2), centred(c, 3, 5, 1)]);
    const scale = c.add("mul", [aligned(c, castTo(c, scaleOf(c, 1), "f32"), 2), aligned(c, castTo(c, scaleOf(c, 4), "f32"), 1)]);
    return requantized(c, sum, scale, 6);
  },
});

export const contractTable: readonly OnnxOp[] = [matMul, gemm, matMulInteger, qLinearMatMul];
