// Convolutions on a device: tiled, grouped and of each channel by itself, every edge, against the reference.

import { describe, expect, test } from "vitest";
import { deviceConv } from "../../compiler/lower/device/conv.ts";
import { deviceConvTranspose } from "../../compiler/lower/device/conv-transpose.ts";
import { deviceConvVector } from "../../compiler/lower/device/conv-vector.ts";
import { TILINGS, whyTiled } from "../../compiler/lower/device/tiling.ts";
import type { Value } from "../../ir/graph.ts";
import type { Sketch } from "../conformance/sketch.ts";
import { can, checkDevice, checkKernel, deviceCase, lowerLast, testOnDriver } from "./device-cases.ts";

interface Case {
  /** [N, C, ...] */
  readonly x: readonly number[];
  readonly m: number;
  readonly kernel: readonly number[];
  readonly strides?: readonly number[];
  readonly dilations?: readonly number[];
  readonly pads?: readonly number[];
  readonly group?: number;
  readonly bias?: boolean;
}

const build =
  ({ x, m, kernel, strides, dilations, pads, group = 1, bias }: Case, after: (s: Sketch, y: Value) => Value = (_, y) => y) =>
  (s: Sketch): Value => {
    const ones = kernel.map(() => 1);
    const attrs = { strides: strides ?? ones, dilations: dilations ?? ones, pads: pads ?? [...ones, ...ones].map(() => 0), group };
    const operands = [s.input("f32", x), s.weight("f32", [m, x[1]! / group, ...kernel]), ...(bias ? [s.weight("f32", [m])] : [])];
    return after(s, s.op("conv", operands, attrs));
  };
const conv = (...of: Parameters<typeof build>) => deviceCase(build(...of));

const same3 = { kernel: [3, 3], pads: [1, 1, 1, 1] } as const;
const TILED: readonly (readonly [string, Case])[] = [
  ["1 x 1", { x: [1, 8, 4, 6], m: 12, kernel: [1, 1], bias: true }],
  ["1 x 1, odd", { x: [2, 7, 3, 5], m: 9, kernel: [1, 1], bias: true }],
  ["1 x 1, strided", { x: [2, 6, 7, 9], m: 5, kernel: [1, 1], strides: [2, 2] }],
  ["1 x 1, padded", { x: [1, 4, 4, 4], m: 4, kernel: [1, 1], pads: [1, 0, 1, 2], bias: true }],
  ["3 x 3", { x: [1, 3, 8, 8], m: 8, ...same3, bias: true }],
  ["3 x 3, odd, images", { x: [2, 5, 7, 9], m: 7, ...same3, bias: true }],
  ["3 x 3, not padded", { x: [2, 4, 6, 6], m: 8, kernel: [3, 3] }],
  ["rows that are no vectors, images that are", { x: [1, 4, 6, 6], m: 8, ...same3 }],
  ["strided, padded on one side", { x: [1, 3, 9, 11], m: 10, kernel: [3, 3], strides: [2, 2], pads: [0, 0, 1, 1], bias: true }],
  ["dilated", { x: [1, 4, 9, 10], m: 6, kernel: [3, 2], dilations: [2, 3], pads: [2, 0, 1, 3] }],
  ["5 x 7, more pads than taps", { x: [1, 2, 4, 5], m: 3, kernel: [5, 7], pads: [5, 7, 4, 8], bias: true }],
  ["groups", { x: [2, 12, 5, 6], m: 9, ...same3, group: 3, bias: true }],
  ["groups of 1 x 1", { x: [2, 8, 4, 4], m: 8, kernel: [1, 1], group: 2 }],
  ["one input channel, several output channels a group", { x: [1, 4, 6, 7], m: 12, ...same3, group: 4, bias: true }],
  ["one axis", { x: [2, 6, 13], m: 5, kernel: [3], pads: [1, 1], bias: true }],
  ["three axes", { x: [1, 3, 4, 5, 6], m: 5, kernel: [2, 3, 3], pads: [1, 0, 1, 0, 1, 1] }],
];
const DEPTHWISE: readonly (readonly [string, Case])[] = [
  ["3 x 3", { x: [2, 5, 8, 8], m: 5, ...same3, group: 5, bias: true }],
  ["3 x 3, odd", { x: [1, 3, 7, 9], m: 3, ...same3, group: 3 }],
  ["strided", { x: [2, 4, 9, 10], m: 4, kernel: [3, 3], strides: [2, 2], pads: [0, 0, 1, 1], group: 4, bias: true }],
  [
    "5 x 5, strided, dilated",
    { x: [1, 3, 14, 15], m: 3, kernel: [5, 5], strides: [2, 3], dilations: [1, 2], pads: [2, 4, 2, 4], group: 3 },
  ],
  ["not padded", { x: [1, 2, 6, 10], m: 2, kernel: [3, 3], group: 2, bias: true }],
  ["one axis", { x: [2, 6, 13], m: 6, kernel: [4], pads: [1, 2], group: 6, bias: true }],
];

const VECTOR: readonly (readonly [string, Case])[] = [
  ["1 x 1", { x: [1, 8, 1, 1], m: 12, kernel: [1, 1], bias: true }],
  ["1 x 1, odd, images", { x: [3, 7, 1, 1], m: 9, kernel: [1, 1], bias: true }],
  ["1 x 1, deep", { x: [1, 300, 1, 1], m: 70, kernel: [1, 1], bias: true }],
  ["a step beyond the image", { x: [1, 5, 3, 3], m: 6, kernel: [1, 1], strides: [3, 3] }],
  ["taps of a whole image", { x: [2, 3, 4, 5], m: 7, kernel: [4, 5], bias: true }],
  ["dilated", { x: [1, 4, 5, 3], m: 8, kernel: [3, 2], dilations: [2, 2] }],
  ["groups", { x: [2, 8, 1, 1], m: 8, kernel: [1, 1], group: 2, bias: true }],
  ["groups of odd channels", { x: [1, 6, 2, 2], m: 9, kernel: [2, 2], group: 3, bias: true }],
  ["one axis", { x: [2, 6, 3], m: 5, kernel: [3], bias: true }],
];

const MENUS = [
  ["of one pixel", "conv_f32_vector", VECTOR],
  ["tiled", "conv_f32_tiled", TILED],
  ["of each channel", "conv_f32_depthwise", DEPTHWISE],
] as const;

for (const [title, kernel, cases] of MENUS)
  describe(title, () => {
    for (const [name, c] of cases) test(name, () => checkDevice(conv(c), [kernel]));
    for (const [name, c] of cases.filter(([, c]) => c.x.length === 4)) {
      const after = (s: Sketch, y: Value): Value => {
        const shape = y.type.shape as readonly number[];
        const sum = s.op("add", [s.op("mul", [y, s.weight("f32", [shape[1]!, 1, 1])]), s.input("f32", shape)]);
        return s.op("relu", [sum]);
      };
      test(`${name}: scale, residual, activation`, () => checkDevice(conv(c, after), [kernel]));
      test(`${name}: one number for each column`, () =>
        checkDevice(
          conv(c, (s, y) => s.op("add", [y, s.weight("f32", [1, 1, 1, y.type.shape[3] as number])])),
          [kernel],
        ));
    }
    testOnDriver(cases.filter((_, k) => k % 5 === 1).map(([, c]) => build(c)));
  });

describe("tilings", () => {
  for (const tiling of TILINGS)
    test(whyTiled(tiling), () => {
      const c = conv({ x: [2, 3, 7, 12], m: Math.min(tiling.rows + 3, 70), ...same3, bias: true });
      checkKernel(
        c,
        lowerLast(c, (u, context) => deviceConv(u, context, can, () => tiling)),
      );
    });
  test("one global load for at least sixteen multiply-adds", () => {
    const c = conv({ x: [1, 8, 12, 12], m: 64, ...same3, bias: true });
    const counts = checkKernel(
      c,
      lowerLast(c, (u, context) => deviceConv(u, context, can)),
    );
    expect(counts.loads * 16).toBeLessThanOrEqual(counts.multiplyAdds);
  });
});

describe("transposed", () => {
  const transposed =
    (x: readonly number[], w: readonly number[], more: Readonly<Record<string, unknown>> = {}, bias = true) =>
    (s: Sketch): Value => {
      const spatial = x.slice(2).map(() => 1);
      const none = spatial.map(() => 0);
      const { group = 1, ...others } = more as { group?: number };
      const attrs = { strides: spatial, dilations: spatial, pads: [...none, ...none], output_padding: none, group, ...others };
      const b = bias ? [s.weight("f32", [w[1]! * group])] : [];
      const y = s.op("conv_transpose", [s.input("f32", x), s.weight("f32", w), ...b], attrs);
      return s.op("relu", [s.op("add", [y, s.input("f32", y.type.shape as readonly number[])])]);
    };
  const two = { strides: [2, 2] } as const;
  const CASES: readonly (readonly [string, (s: Sketch) => Value])[] = [
    ["2 x 2 by 2", transposed([1, 8, 4, 6], [8, 3, 2, 2], two)],
    ["2 x 2 by 2, images, odd", transposed([2, 5, 3, 5], [5, 7, 2, 2], two, false)],
    ["3 x 3 by 2", transposed([1, 6, 5, 7], [6, 4, 3, 3], { ...two, pads: [1, 1, 1, 1], output_padding: [1, 1] })],
    ["4 x 4 by 2", transposed([1, 6, 4, 4], [6, 5, 4, 4], { ...two, pads: [1, 1, 1, 1] })],
    ["3 x 3 by 1", transposed([1, 4, 5, 6], [4, 3, 3, 3], { pads: [1, 0, 0, 1] })],
    ["taps that lack a phase", transposed([1, 4, 3, 4], [4, 3, 1, 2], { strides: [2, 3], output_padding: [1, 1] })],
    ["dilated", transposed([1, 4, 5, 6], [4, 3, 2, 3], { ...two, dilations: [3, 2], pads: [1, 2, 1, 1] })],
    ["more pads than taps", transposed([1, 3, 6, 6], [3, 2, 2, 2], { ...two, pads: [3, 4, 5, 4] })],
    ["groups", transposed([2, 6, 4, 5], [6, 2, 3, 3], { ...two, pads: [1, 1, 1, 1], output_padding: [1, 1], group: 3 })],
    ["a last result that some phases lack", transposed([1, 4, 5, 6], [4, 3, 3, 3], { ...two, pads: [1, 1, 1, 1] })],
    ["last results that most phases lack", transposed([2, 4, 3, 4], [4, 3, 2, 2], { strides: [4, 3], output_padding: [1, 0] })],
    ["one axis", transposed([2, 5, 9], [5, 4, 4], { strides: [2], pads: [1, 1] })],
  ];
  for (const [name, build] of CASES) test(name, () => checkDevice(deviceCase(build), ["conv_transpose_f32_tiled"]));
  testOnDriver(CASES.filter((_, k) => k % 4 === 2).map(([, build]) => build));

  test("one global load for at least eight multiply-adds, those of the epilogue and all", () => {
    const c = deviceCase(transposed([1, 32, 8, 8], [32, 16, 2, 2], two));
    const counts = checkKernel(
      c,
      lowerLast(c, (u, context) => deviceConvTranspose(u, context, can)),
    );
    expect(counts.loads * 8).toBeLessThanOrEqual(counts.multiplyAdds);
  });
});

test("one pixel: no product is made for nothing, and each weight is loaded once", () => {
  const c = conv({ x: [1, 256, 1, 1], m: 64, kernel: [1, 1], bias: true });
  const counts = checkKernel(
    c,
    lowerLast(c, (u, context) => deviceConvVector(u, context, can)),
  );
  expect(counts.multiplyAdds).toBe(256 * 64);
  // Four results share what is read of the vector.
  expect(counts.loads).toBeLessThanOrEqual(1.25 * 256 * 64 + 64);
});

test("results that lie in slices of channels", () =>
  checkDevice(
    deviceCase((s) => {
      const x = s.input("f32", [2, 6, 5, 8]);
      const part = (m: number, group: number, bias: boolean) => {
        const attrs = { strides: [1, 1], dilations: [1, 1], pads: [1, 1, 1, 1], group };
        return s.op("conv", [x, s.weight("f32", [m, 6 / group, 3, 3]), ...(bias ? [s.weight("f32", [m])] : [])], attrs);
      };
      return s.op("concat", [part(5, 1, true), part(6, 6, false), part(4, 2, true)], { axis: 1 });
    }),
    ["conv_f32_tiled", "conv_f32_depthwise", "conv_f32_tiled"],
  ));
