// Products of activations by weights that are both small integers, with scales for blocks of them along the axis that is summed over.

import { DTYPES } from "../dtype.ts";
import { defineOp } from "../op.ts";
import { add, cast, i32, mul, sub } from "../scalar/build.ts";
import type { Scalar } from "../scalar/scalar.ts";
import { isStatic, sameShape, typeToString } from "../types.ts";
import { intAttr, operandOf } from "./rules.ts";

/**
 * Activations x i8 or i32 [T, K] with a scale for each `block` of a row, x_scale f32 [T, K / block]; weights w u8, u4 or i8 [M, K] less `zero`, or
 * less zero points [M, K / block] or [M, 1] of their own, with scales f32 [M, K / block], or [M, 1]: then those multiply whole sums. Sums of a
 * block are integers, exact; their multiples are added up in order. `limit` is the largest magnitude in x.
 */
export const blockProduct = defineOp({
  name: "block_product",
  doc:
    "For each row of x and of w, the sum over blocks of (x . (w - zero point)) * (x_scale * w_scale), the dot product in i32; " +
    "with one scale to a row of w, the sum over blocks of (x . (w - zero point)) * x_scale, times that scale.",
  operands: ["x", "x_scale", "w", "w_scale", "w_zero?"],
  infer(c) {
    const [x, scale, w, ws] = [c.types[0]!, operandOf(c, 1, ["float"]), c.types[2]!, operandOf(c, 3, ["float"])];
    const [block, zero, limit] = [intAttr(c, "block"), intAttr(c, "zero"), intAttr(c, "limit")];
    if ((x.dtype !== "i8" && x.dtype !== "i32") || x.shape.length !== 2 || !isStatic(x))
      return c.fail(`x must be i8 or i32 [T, K], got ${typeToString(x)}`);
    if ((w.dtype !== "u8" && w.dtype !== "u4" && w.dtype !== "i8") || w.shape.length !== 2 || w.shape[1] !== x.shape[1])
      return c.fail(`w must be u8, u4 or i8 [M, ${x.shape[1]}], got ${typeToString(w)}`);
    const [t, k] = x.shape as readonly [number, number];
    const m = w.shape[0] as number;
    if (!(block > 0) || k % block !== 0) return c.fail(`blocks of ${block} do not divide rows of ${k}`);
    if (scale.dtype !== "f32" || !sameShape(scale.shape, [t, k / block]))
      c.fail(`the scales of x must be f32 [${t}, ${k / block}], got ${typeToString(scale)}`);
    if (ws.dtype !== "f32" || !(sameShape(ws.shape, [m, k / block]) || sameShape(ws.shape, [m, 1])))
      c.fail(`the scales of w must be f32 [${m}, ${k / block}] or [${m}, 1], got ${typeToString(ws)}`);
    const zeros = c.types[4];
    if (zeros && (zeros.dtype !== w.dtype || !(sameShape(zeros.shape, [m, k / block]) || sameShape(zeros.shape, [m, 1]))))
      c.fail(`zero points must be ${w.dtype} [${m}, ${k / block}] or [${m}, 1], got ${typeToString(zeros)}`);
    if (zero < 0 || BigInt(zero) > DTYPES[w.dtype].max!) c.fail(`the zero point ${zero} is no ${w.dtype}`);
    if (limit < 0 || limit > (x.dtype === "i8" ? 128 : 2 ** 31)) c.fail(`the limit ${limit} of x is none of ${x.dtype}`);
    return { dtype: "f32", shape: [t, m] };
  },
  compute(c) {
    const [t, m] = c.i as [Scalar, Scalar];
    const block = c.attrs["block"] as number;
    const blocks = c.types[1]!.shape[1] as number;
    const whole = c.types[3]!.shape[1] === 1;
    const sum = c.reduce("sum", [blocks], ([b]) => {
      const zero = c.types.length > 4 ? c.read(4, [m, c.types[4]!.shape[1] === 1 ? i32(0) : b!]) : i32(c.attrs["zero"] as number);
      const dot = c.reduce("sum", [block], ([r]) => {
        const k = add<Scalar>(mul<Scalar>(b!, i32(block)), r!);
        return mul<Scalar>(c.read(0, [t, k]), sub<Scalar>(c.read(2, [m, k]), zero));
      });
      const scale = c.read(1, [t, b!]);
      return mul<Scalar>(cast<Scalar>("f32", dot), whole ? scale : mul<Scalar>(scale, c.read(3, [m, b!])));
    });
    return whole ? mul<Scalar>(sum, c.read(3, [m, i32(0)])) : sum;
  },
});

export const blockProductOps = [blockProduct] as const;
