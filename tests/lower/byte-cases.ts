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

export const weights = (s: Sketch, shape: readonly number[], dtype: DType = "i8"): Value => {
  const n = shape.reduce((a, b) => a * b, 1);
  const reach = dtype === "i16" ? 511 : 256;
  return s.constant(
    dtype,
    shape,
    Array.from({ length: n }, (_, i) => ((i * 131 + ((i * i) % 97)) % reach) - (reach >> 1)),
  );
};

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
}

export const convOf = (s: Sketch, k: Case): Value => {
  const kernel = k.kernel ?? 3;
  const group = (k.attrs as { group?: number } | undefined)?.group ?? 1;
  const bias = s.constant(
    "i32",
    [k.m],
    Array.from({ length: k.m }, (_, i) => 1000 * i - 3000),
  );
  const operands = [bytes(s, [k.n ?? 1, k.c, k.h, k.w]), weights(s, [k.m, k.c / group, kernel, kernel], k.dtype), bias];
  return s.op("conv", operands, attrs(kernel >> 1, k.attrs));
};

export const convs: readonly (readonly [string, Case])[] = [
  ["a few channels, padded by 7", { c: 3, h: 6, w: 7, m: 16, attrs: { fill: 7 } }],
  ["1x1, many outputs", { c: 24, h: 5, w: 6, m: 41, kernel: 1 }],
  ["1x1 of one word", { c: 4, h: 3, w: 8, m: 12, kernel: 1 }],
  ["two images, strided", { n: 2, c: 12, h: 7, w: 9, m: 10, attrs: { strides: [2, 2], fill: 200 } }],
  ["dilated", { c: 5, h: 8, w: 9, m: 6, attrs: { dilations: [2, 2], pads: [2, 2, 2, 2], fill: 3 } }],
  ["weights of 9 bits", { c: 8, h: 5, w: 5, m: 9, dtype: "i16", attrs: { fill: 128 } }],
  ["no padding", { c: 6, h: 7, w: 6, m: 8, attrs: { pads: [0, 0, 0, 0] } }],
  ["uneven padding", { c: 8, h: 6, w: 6, m: 8, attrs: { pads: [0, 0, 1, 1], strides: [2, 2], fill: 9 } }],
  ["depthwise", { c: 16, h: 6, w: 8, m: 16, attrs: { group: 16, fill: 5 } }],
  ["depthwise, twelve channels, strided", { c: 12, h: 7, w: 7, m: 12, attrs: { group: 12, strides: [2, 2] } }],
  ["depthwise, six channels, 5x5, two images", { n: 2, c: 6, h: 7, w: 6, m: 6, kernel: 5, attrs: { group: 6, fill: 77 } }],
  ["depthwise, weights of 9 bits", { c: 9, h: 5, w: 6, m: 9, dtype: "i16", attrs: { group: 9, fill: 1 } }],
];

/** [t, k] by [k, m]. */
export const product = (s: Sketch, [t, k, m]: readonly [number, number, number], dtype?: DType): Value =>
  s.op("matmul", [bytes(s, [t, k]), weights(s, [k, m], dtype)]);
