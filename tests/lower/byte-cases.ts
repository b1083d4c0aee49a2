// Products of bytes as graphs: convolutions of every kind, matrices, and what becomes of their sums.

import type { DType } from "../../ir/dtype.ts";
import type { Value } from "../../ir/graph.ts";
import type { Sketch } from "../conformance/sketch.ts";

export const bytes = (s: Sketch, shape: readonly number[]): Value => {
  const n = shape.reduce((a, b) => a * b, 1);
  return s.input(
    "u8",
    shape,
    Array.from({ length: n }, (_, i) => (i * 89 + ((i * i) % 61)) % 256),
  );
};

/** `zero`: of unsigned weights, what was taken off them; they need 9 bits then. */
export const weights = (s: Sketch, shape: readonly number[], dtype: DType = "i8", zero?: number): Value => {
  const n = shape.reduce((a, b) => a * b, 1);
  const reach = dtype === "i16" && zero === undefined ? 511 : 256;
  return s.constant(
    dtype,
    shape,
    Array.from({ length: n }, (_, i) => ((i * 131 + ((i * i) % 97)) % reach) - (zero ?? reach >> 1)),
  );
};

/** Of every so many words of four neighbouring channels one is not zero, or of single weights. */
export function sparse(s: Sketch, shape: readonly number[], layout: string, every: number, dtype: DType = "i8"): Value {
  const n = shape.reduce((a, b) => a * b, 1);
  const last = layout === "csc" || layout.startsWith("bsc");
  const [rows, channels, taps] = last ? [shape[1]!, shape[0]!, 1] : [shape[0]!, shape[1]!, n / shape[0]! / shape[1]!];
  const values = new Array<number>(n).fill(0);
  for (let m = 0; m < rows; m++)
    for (let c = 0; c < channels; c++)
      for (let tap = 0; tap < taps; tap++) {
        const unit = layout.includes("x4") ? c >> 2 : c;
        const at = last ? c * rows + m : (m * channels + c) * taps + tap;
        // The third output has no weights at all.
        if (m !== 2 && (7 * m + 3 * unit + 5 * tap) % every === 0)
          values[at] = ((at * 131) % (dtype === "i16" ? 511 : 255)) - (dtype === "i16" ? 255 : 127);
      }
  return s.constant(dtype, shape, values, layout);
}

export const attrs = (pad: number, more: object = {}) => ({
  strides: [1, 1],
  dilations: [1, 1],
  pads: [pad, pad, pad, pad],
  group: 1,
  ...more,
});

/** What becomes of sums in quantized networks: scales for each channel, perhaps something added, steps again. */
export function requantized(s: Sketch, sums: Value, beside?: Value): Value {
  const m = sums.type.shape[1] as number;
  const scale = s.constant(
    "f32",
    sums.type.shape.length === 4 ? [1, m, 1, 1] : [m],
    Array.from({ length: m }, (_, i) => 0.0007 + i / 65536),
  );
  const real = s.op("mul", [s.op("cast", [sums], { to: "f32" }), scale]);
  const zero = s.constant("u8", [], [119]);
  const other = beside && s.op("dequantize", [beside, s.constant("f32", [], [0.5]), zero], { axis: 0, block: 0 });
  const y = other ? s.op("add", [real, other]) : real;
  return s.op("quantize", [y, s.constant("f32", [], [1]), zero], { axis: 0, block: 0, to: "u8" });
}

export interface Case {
  readonly n?: number;
  readonly c: number;
  readonly h: number;
  readonly w: number;
  readonly m: number;
  readonly kernel?: number;
  readonly attrs?: object;
  readonly dtype?: DType;
  readonly zero?: number;
  /** Its weights have a sparse layout, by which one of `every` is not zero. */
  readonly layout?: string;
  readonly every?: number;
}

export const convOf = (s: Sketch, k: Case): Value => {
  const kernel = k.kernel ?? 3;
  const group = (k.attrs as { group?: number } | undefined)?.group ?? 1;
  const bias = s.constant(
    "i32",
    [k.m],
    Array.from({ length: k.m }, (_, i) => 1000 * i - 3000),
  );
  const shape = [k.m, k.c / group, kernel, kernel];
  const constants = k.layout ? sparse(s, shape, k.layout, k.every ?? 5, k.dtype) : weights(s, shape, k.dtype, k.zero);
  const operands = [bytes(s, [k.n ?? 1, k.c, k.h, k.w]), constants, bias];
  return s.op("conv", operands, attrs(kernel >> 1, k.attrs));
};

export const convs: readonly (readonly [string, Case])[] = [
  ["a few channels, padded by 7", { c: 3, h: 6, w: 7, m: 16, attrs: { fill: 7 } }],
  ["1x1, many outputs", { c: 24, h: 5, w: 6, m: 41, kernel: 1 }],
  ["1x1 of one word", { c: 4, h: 3, w: 8, m: 12, kernel: 1 }],
  ["two images, strided", { n: 2, c: 12, h: 7, w: 9, m: 10, attrs: { strides: [2, 2], fill: 200 } }],
  ["dilated", { c: 5, h: 8, w: 9, m: 6, attrs: { dilations: [2, 2], pads: [2, 2, 2, 2], fill: 3 } }],
  ["weights of 9 bits", { c: 8, h: 5, w: 5, m: 9, dtype: "i16", attrs: { fill: 128 } }],
  ["unsigned weights less 100", { n: 2, c: 8, h: 5, w: 5, m: 9, dtype: "i16", zero: 100, attrs: { fill: 128 } }],
  [
    "unsigned weights less 255, channels to spare",
    { c: 6, h: 7, w: 5, m: 17, dtype: "i16", zero: 255, attrs: { strides: [2, 2], fill: 9 } },
  ],
  ["unsigned weights less 1", { c: 22, h: 3, w: 11, m: 13, dtype: "i16", zero: 1, kernel: 1 }],
  ["no padding", { c: 6, h: 7, w: 6, m: 8, attrs: { pads: [0, 0, 0, 0] } }],
  ["uneven padding", { c: 8, h: 6, w: 6, m: 8, attrs: { pads: [0, 0, 1, 1], strides: [2, 2], fill: 9 } }],
  ["depthwise", { c: 16, h: 6, w: 8, m: 16, attrs: { group: 16, fill: 5 } }],
  ["depthwise, twelve channels, strided", { c: 12, h: 7, w: 7, m: 12, attrs: { group: 12, strides: [2, 2] } }],
  ["depthwise, six channels, 5x5, two images", { n: 2, c: 6, h: 7, w: 6, m: 6, kernel: 5, attrs: { group: 6, fill: 77 } }],
  ["depthwise, weights of 9 bits", { c: 9, h: 5, w: 6, m: 9, dtype: "i16", attrs: { group: 9, fill: 1 } }],
];

/** [t, k] by [k, m]. */
export const product = (s: Sketch, [t, k, m]: readonly [number, number, number], dtype?: DType, zero?: number): Value =>
  s.op("matmul", [bytes(s, [t, k]), weights(s, [k, m], dtype, zero)]);

export const sparseConvs: readonly (readonly [string, Case])[] = [
  ["1x1 by words", { c: 24, h: 5, w: 6, m: 41, kernel: 1, layout: "bsr-1x4" }],
  ["1x1 one by one", { c: 24, h: 5, w: 6, m: 41, kernel: 1, layout: "csr" }],
  ["1x1 one by one, whole vectors, lists of all lengths", { c: 37, h: 4, w: 11, m: 21, kernel: 1, layout: "csr", every: 3 }],
  ["1x1 one by one, many channels", { c: 300, h: 6, w: 8, m: 18, kernel: 1, layout: "csr", every: 13 }],
  ["fewer pixels than a vector and a half", { c: 20, h: 1, w: 5, m: 16, kernel: 1, layout: "csr", attrs: { pads: [0, 0, 0, 0] } }],
  ["padded, two images", { n: 2, c: 6, h: 5, w: 9, m: 18, layout: "csr", attrs: { fill: 7 } }],
  ["padded, by words", { c: 12, h: 6, w: 8, m: 9, layout: "bsr-1x4", attrs: { fill: 90 } }],
  ["strided", { c: 12, h: 9, w: 17, m: 10, layout: "csr", attrs: { strides: [2, 2], fill: 200 } }],
  [
    "strided, by words, dilated",
    { c: 8, h: 9, w: 17, m: 10, layout: "bsr-1x4", attrs: { strides: [2, 2], dilations: [2, 2], pads: [2, 2, 2, 2] } },
  ],
  ["more channels than a panel holds", { c: 410, h: 5, w: 9, m: 18, kernel: 1, layout: "csr", every: 23 }],
  ["more channels than a panel holds, by words", { c: 404, h: 5, w: 9, m: 18, layout: "bsr-1x4", every: 17 }],
  ["weights of 9 bits by words", { c: 8, h: 5, w: 5, m: 9, dtype: "i16", layout: "bsr-1x4", attrs: { fill: 128 } }],
  ["weights of 9 bits one by one", { c: 8, h: 5, w: 5, m: 9, dtype: "i16", layout: "csr", attrs: { fill: 128 } }],
];
