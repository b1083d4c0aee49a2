// Shapes of convolutions that every template of theirs is held against: kernels, strides, padding, groups, batches, flat and padded storage.

import type { ConvCase } from "./conv-cases.ts";

export const margin = { rows: 1, columns: 1 };
export const wide = { rows: 3, columns: 3 };
export const one: readonly [number, number] = [1, 1];
export const three: readonly [number, number] = [3, 3];
export const same: readonly [number, number, number, number] = [1, 1, 1, 1];

export const SHAPES: readonly (readonly [string, ConvCase])[] = [
  ["1x1", { c: 3, h: 2, w: 9, m: 5, kernel: one, input: margin, output: margin }],
  ["1x1, flat to flat, whole vectors", { c: 2, h: 3, w: 8, m: 3, kernel: one }],
  ["1x1, flat to flat, odd width", { c: 2, h: 3, w: 7, m: 3, kernel: one, bias: true }],
  ["1x1, one row", { c: 5, h: 1, w: 33, m: 4, kernel: one, input: margin, output: margin }],
  ["1x1, one pixel, batch", { n: 3, c: 6, h: 1, w: 1, m: 7, kernel: one, bias: true }],
  ["3x3 in place", { c: 2, h: 5, w: 10, m: 3, kernel: three, pads: same, input: margin, output: margin, bias: true }],
  ["3x3 in place, batch", { n: 2, c: 2, h: 4, w: 5, m: 3, kernel: three, pads: same, input: margin, output: wide }],
  ["3x3 from flat", { c: 2, h: 5, w: 6, m: 3, kernel: three, pads: same, output: margin }],
  ["3x3, margin too small", { c: 1, h: 5, w: 6, m: 2, kernel: three, pads: [2, 2, 2, 2], input: margin, output: margin }],
  ["3x3, too few rows of margin", { n: 2, c: 1, h: 5, w: 6, m: 2, kernel: three, pads: [0, 1, 2, 1], input: margin, output: margin }],
  ["3x3 without padding", { c: 2, h: 5, w: 7, m: 2, kernel: three, input: margin, output: margin }],
  ["3x3 to flat", { c: 2, h: 4, w: 6, m: 2, kernel: three, pads: same, input: margin }],
  ["3x3 stride 2", { c: 2, h: 7, w: 9, m: 3, kernel: three, strides: [2, 2], pads: same, input: margin, output: margin, bias: true }],
  [
    "3x3 stride 2, even, one side",
    { n: 2, c: 3, h: 8, w: 8, m: 2, kernel: three, strides: [2, 2], pads: [0, 0, 1, 1], input: margin, output: margin },
  ],
  ["1x1 stride 2", { c: 3, h: 6, w: 10, m: 4, kernel: one, strides: [2, 2], input: margin, output: margin }],
  ["7x7 stride 2 from flat", { c: 2, h: 15, w: 17, m: 2, kernel: [7, 7], strides: [2, 2], pads: [3, 3, 3, 3], output: margin }],
  ["4x4 stride 4 (patches)", { c: 2, h: 8, w: 20, m: 3, kernel: [4, 4], strides: [4, 4] }],
  ["2x3 stride 3 by 1", { c: 2, h: 8, w: 6, m: 3, kernel: [2, 3], strides: [3, 1], pads: [1, 0, 0, 2], input: wide, output: margin }],
  ["3x3 dilation 2", { c: 2, h: 7, w: 8, m: 2, kernel: three, dilations: [2, 2], pads: [2, 2, 2, 2], input: wide, output: margin }],
  [
    "3x3 dilation 3 stride 2",
    { c: 1, h: 9, w: 12, m: 2, kernel: three, dilations: [1, 3], strides: [1, 2], pads: [1, 3, 1, 3], input: wide, output: margin },
  ],
  ["5x1", { c: 2, h: 6, w: 5, m: 2, kernel: [5, 1], pads: [2, 0, 2, 0], input: wide, output: margin }],
  ["1x5 on one row", { c: 2, h: 1, w: 18, m: 3, kernel: [1, 5], pads: [0, 2, 0, 2], input: wide, output: margin }],
  ["2 groups", { c: 4, h: 4, w: 6, m: 6, kernel: three, pads: same, groups: 2, input: margin, output: margin, bias: true }],
  ["depthwise", { c: 5, h: 5, w: 7, m: 5, kernel: three, pads: same, groups: 5, input: margin, output: margin, bias: true }],
  ["depthwise, stride 2", { c: 3, h: 6, w: 8, m: 3, kernel: three, pads: same, strides: [2, 2], groups: 3, input: margin, output: margin }],
  ["depthwise, two outputs a channel", { c: 3, h: 4, w: 5, m: 6, kernel: three, pads: same, groups: 3, input: margin, output: margin }],
  ["wide rows", { c: 2, h: 3, w: 61, m: 7, kernel: three, pads: same, input: margin, output: margin }],
  ["many channels", { c: 33, h: 2, w: 4, m: 17, kernel: one, input: margin, output: margin }],
];
