// Discrete Fourier transforms.

import { defineOp } from "../op.ts";
import { add, eq, literal, mul, rem, select, sub } from "../scalar/element.ts";
import type { Scalar } from "../scalar/scalar.ts";
import { typeToString } from "../types.ts";
import { axisAttr, intAttr } from "./rules.ts";
import { staticShape } from "./static-shape.ts";

export const dft = defineOp({
  name: "dft",
  doc:
    "y[k] = sum over n of x[n] exp(-2 pi i n k / length) along `axis`; `inverse` takes the conjugate factor and divides by `length`. The last " +
    "axis of x holds the real part or both, that of y both, or the real part alone where `real`. `twiddle` is [length, 2]: the cosine and " +
    "sine of 2 pi n / length. x counts as zero beyond its extent and is cut off at `length`. `bins` is the extent of the result along `axis`. " +
    "`hermitian` takes x for the first half of a spectrum whose other half is its mirrored conjugate.",
  operands: ["x", "twiddle"],
  infer(c) {
    const shape = staticShape(c, 0);
    const [axis, length, bins] = [axisAttr(c, shape.length), intAttr(c, "length", 1), intAttr(c, "bins", 0)];
    const last = shape.length - 1;
    if (shape[last] !== 1 && shape[last] !== 2) c.fail(`the last axis of ${typeToString(c.types[0]!)} must hold 1 or 2 parts`);
    if (axis === last) c.fail(`axis ${axis} of ${typeToString(c.types[0]!)} is no signal`);
    const w = staticShape(c, 1);
    if (w[0] !== length || w[1] !== 2) c.fail(`the twiddle factors must be [${length},2], got ${typeToString(c.types[1]!)}`);
    return {
      dtype: c.types[0]!.dtype,
      shape: shape.map((d, i) => (i === axis ? bins : i === last ? (c.attrs.real ? 1 : 2) : d)),
    };
  },
  compute(c) {
    const [axis, length] = [c.attrs.axis as number, c.attrs.length as number];
    const shape = c.types[0]!.shape as readonly number[];
    const last = shape.length - 1;
    const k = c.i[axis]!;
    const part = (n: Scalar, which: 0 | 1): Scalar =>
      which === 1 && shape[last] === 1
        ? literal(c.read(1, [literal("i32", 0), literal("i32", 0)]).type, 0)
        : c.read(
            0,
            c.i.map((i, a) => (a === axis ? n : a === last ? literal("i32", which) : i)),
          );
    const sum = (which: 0 | 1): Scalar =>
      c.reduce("sum", [Math.min(shape[axis]!, c.attrs.hermitian ? Math.floor(length / 2) + 1 : length)], ([n]) => {
        // length < 46341 keeps n * k below 2^31: the importer sees to it.
        const at = rem(mul(n!, k), length);
        const [cos, sin] = [c.read(1, [at, literal("i32", 0)]), c.read(1, [at, literal("i32", 1)])];
        const [re, im] = [part(n!, 0), part(n!, 1)];
        const turned =
          which === 0
            ? add(mul(re, cos), mul(c.attrs.inverse ? sub(0, im) : im, sin))
            : sub(mul(im, cos), mul(c.attrs.inverse ? sub(0, re) : re, sin));
        if (!c.attrs.hermitian) return turned;
        // Every bin but the first, and the middle one of an even length, stands for two.
        const single = length % 2 === 0 ? eq(rem(n!, Math.max(length / 2, 1)), 0) : eq(n!, 0);
        return select(single, turned, mul(turned, 2));
      });
    const y = c.attrs.real ? sum(0) : select(eq(c.i[last]!, 0), sum(0), sum(1));
    return c.attrs.inverse ? mul(y, 1 / length) : y;
  },
});

export const spectrumOps = [dft] as const;
