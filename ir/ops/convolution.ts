// Convolution and transposed convolution over any number of spatial axes.

import type { DType } from "../dtype.ts";
import { type Compute, defineOp, type InferContext } from "../op.ts";
import { add, compare, constant, div, i32, mul, rem, select, sub } from "../scalar/build.ts";
import type { Scalar } from "../scalar/scalar.ts";
import { maxOf, type TensorType, typeToString } from "../types.ts";
import { intAttr, intsAttr, NUMBER, numberAttr, operandOf, productDType, staticDim } from "./rules.ts";
import { all, checkWindow, inside, position, windowOf, windows } from "./window.ts";

function checkOperands(c: InferContext): {
  readonly x: TensorType;
  readonly w: TensorType;
  readonly spatial: number;
  readonly group: number;
  readonly dtype: DType;
} {
  const [x, w] = [operandOf(c, 0, NUMBER), operandOf(c, 1, NUMBER)];
  const dtype = productDType(c);
  const spatial = x.shape.length - 2;
  if (spatial < 1 || w.shape.length !== x.shape.length) {
    c.fail(`expects an input [n, channels, spatial..] and a kernel of as many axes, got ${typeToString(x)} and ${typeToString(w)}`);
  }
  for (let axis = 1; axis < x.shape.length; axis++) staticDim(c, 0, axis);
  for (let axis = 0; axis < w.shape.length; axis++) staticDim(c, 1, axis);
  checkWindow(c, spatial);
  return { x, w, spatial, group: intAttr(c, "group", 1), dtype };
}

function checkBias(c: InferContext, channels: number, dtype: DType): void {
  const bias = c.types[2];
  if (bias && bias.dtype !== dtype) c.fail(`the bias must be ${dtype}, got ${typeToString(bias)}`);
  if (bias && (bias.shape.length !== 1 || bias.shape[0] !== channels))
    c.fail(`the bias must have shape [${channels}], got ${typeToString(bias)}`);
}

const extents = (t: TensorType): readonly number[] => t.shape.slice(2).map(maxOf);

/** `sum`, and the bias of channel `m` where there is one. */
const biased = (c: Compute, sum: Scalar, m: Scalar): Scalar => (c.types.length > 2 ? add<Scalar>(sum, c.read(2, [m])) : sum);

export const conv = defineOp({
  name: "conv",
  doc:
    "Cross-correlation of x [n, c, spatial..] with w [m, c / group, kernel..], plus bias [m]: " +
    "out[n, m, o] = bias[m] + sum over c', k of x[n, g c / group + c', o * stride + k * dilation - pad] w[m, c', k], where g = m * group / m's extent. " +
    "Outside x counts as `fill` (0 where left out); `pads` are begins, then ends. Products of i8, u8 and i16 are summed in i32.",
  operands: ["x", "w", "bias?"],
  infer(c) {
    const { x, w, spatial, group, dtype } = checkOperands(c);
    const [channels, m] = [maxOf(x.shape[1]!), maxOf(w.shape[0]!)];
    if (channels !== maxOf(w.shape[1]!) * group || m % group !== 0) {
      c.fail(
        `${typeToString(x)} and ${typeToString(w)} do not fit ${group} group(s): channels must be ${group} x ${maxOf(w.shape[1]!)}, and ${m} a multiple of ${group}`,
      );
    }
    checkBias(c, m, dtype);
    if (c.attrs["fill"] !== undefined) numberAttr(c, "fill");
    const window = windowOf(c.attrs, extents(w));
    return {
      dtype,
      shape: [x.shape[0]!, m, ...Array.from({ length: spatial }, (_, axis) => windows(window, axis, maxOf(x.shape[axis + 2]!)))],
    };
  },
  compute(c) {
    const [x, w] = [c.types[0]!, c.types[1]!];
    const window = windowOf(c.attrs, extents(w));
    const perGroup = maxOf(w.shape[1]!);
    const group = c.attrs["group"] as number;
    const fill = c.attrs["fill"] as number | undefined;
    const [n, m, ...o] = c.i;
    const first = group === 1 ? i32(0) : mul<Scalar>(div<Scalar>(m!, i32(maxOf(w.shape[0]!) / group)), i32(perGroup));
    const sum = c.reduce("sum", [perGroup, ...window.kernel], ([channel, ...k]) => {
      const at = o.map((index, axis) => position(window, axis, index, k[axis]!));
      const [value, weight] = [c.read(0, [n!, add<Scalar>(first, channel!), ...at]), c.read(1, [m!, channel!, ...k])];
      const product = mul<Scalar>(value, weight);
      const within = inside(window, at, extents(x), extents(c.results[0]!));
      if (!within) return product;
      if (!fill) return select<Scalar>(within, product, constant(product.type as "f32", 0));
      return mul<Scalar>(select<Scalar>(within, value, constant(value.type as "f32", fill)), weight);
    });
    return biased(c, sum, m!);
  },
});

export const convTranspose = defineOp({
  name: "conv_transpose",
  doc:
    "The transpose of convolution: x [n, c, spatial..] spreads each element over w [c, m / group, kernel..]: " +
    "out[n, m, o] = bias[m] + sum of x[n, c', i] w[c', m', k] over all i * stride + k * dilation - pad = o. " +
    "Extents: stride (in - 1) + output_padding + (k - 1) dilation + 1 - pads.",
  operands: ["x", "w", "bias?"],
  infer(c) {
    const { x, w, spatial, group, dtype } = checkOperands(c);
    const extra = intsAttr(c, "output_padding", spatial, 0);
    const [channels, m] = [maxOf(x.shape[1]!), maxOf(w.shape[1]!) * group];
    if (channels !== maxOf(w.shape[0]!) || channels % group !== 0) {
      c.fail(
        `${typeToString(x)} and ${typeToString(w)} do not fit ${group} group(s): the kernel needs ${channels} channels, a multiple of ${group}`,
      );
    }
    checkBias(c, m, dtype);
    const { kernel, strides, pads, dilations } = windowOf(c.attrs, extents(w));
    const out = extents(x).map(
      (d, axis) =>
        strides[axis]! * (d - 1) + extra[axis]! + (kernel[axis]! - 1) * dilations[axis]! + 1 - pads[axis]! - pads[axis + spatial]!,
    );
    if (out.some((d) => d < 0)) c.fail(`an extent of the result is negative: [${out}]`);
    return { dtype, shape: [x.shape[0]!, m, ...out] };
  },
  compute(c) {
    const [x, w] = [c.types[0]!, c.types[1]!];
    const { kernel, strides, pads, dilations } = windowOf(c.attrs, extents(w));
    const group = c.attrs["group"] as number;
    const [inPerGroup, outPerGroup] = [maxOf(w.shape[0]!) / group, maxOf(w.shape[1]!)];
    const [n, m, ...o] = c.i;
    const first = group === 1 ? i32(0) : mul<Scalar>(div<Scalar>(m!, i32(outPerGroup)), i32(inPerGroup));
    const m2 = group === 1 ? m! : rem<Scalar>(m!, i32(outPerGroup));
    const sum = c.reduce("sum", [inPerGroup, ...kernel], ([channel, ...k]) => {
      const tests: Scalar[] = [];
      const at = o.map((index, axis) => {
        const spread = sub<Scalar>(add<Scalar>(index, i32(pads[axis]!)), mul<Scalar>(k[axis]!, i32(dilations[axis]!)));
        const i = div<Scalar>(spread, i32(strides[axis]!));
        tests.push(compare<Scalar>("ge", spread, i32(0)), compare<Scalar>("lt", i, i32(extents(x)[axis]!)));
        if (strides[axis] !== 1) tests.push(compare<Scalar>("eq", rem<Scalar>(spread, i32(strides[axis]!)), i32(0)));
        return i;
      });
      const source = add<Scalar>(first, channel!);
      const product = mul<Scalar>(c.read(0, [n!, source, ...at]), c.read(1, [source, m2, ...k]));
      return select<Scalar>(all(tests)!, product, constant(product.type as "f32", 0));
    });
    return biased(c, sum, m!);
  },
});

export const convolutionOps = [conv, convTranspose] as const;
