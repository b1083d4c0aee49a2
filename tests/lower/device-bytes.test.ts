// Products of bytes on a device against the reference, bit for bit: sums and requantized, in the interpreter and on a driver, with and
// without dot products of packed bytes.

import { describe, test } from "vitest";
import type { DType } from "../../ir/dtype.ts";
import type { Value } from "../../ir/graph.ts";
import type { Sketch } from "../conformance/sketch.ts";
import { attrs, bytes, convOf, convs, product, requantized, weights } from "./byte-cases.ts";
import { checkDevice, deviceCase, testOnDriver } from "./device-cases.ts";

type Build = (s: Sketch) => Value | readonly Value[];

/** Expects the reference's bits of sums and of what quantized networks make of them, by kernels of one name; on a driver, of all at once. */
function both(cases: readonly (readonly [name: string, kernel: string, sums: (s: Sketch) => Value])[]): void {
  const builds = cases.flatMap(([name, kernel, sums]): Build[] => {
    const steps: Build = (s) => requantized(s, sums(s));
    test(`${name}: sums`, () => checkDevice(deviceCase(sums), [kernel], "exact"));
    test(`${name}: requantized`, () => checkDevice(deviceCase(steps), [kernel], "exact"));
    return [sums, steps];
  });
  testOnDriver(builds, "exact");
}

/** Every element the same, and every weight: the largest sums there are. */
const extreme = (x: number, w: number, dtype: DType) => (s: Sketch) => {
  const all = (n: number, value: number): number[] => Array.from({ length: n }, () => value);
  const own = attrs(1, { fill: x });
  return s.op("conv", [s.input("u8", [1, 36, 3, 3], all(36 * 9, x)), s.constant(dtype, [5, 36, 3, 3], all(5 * 36 * 9, w))], own);
};

describe("convolutions", () => {
  const more: typeof convs = [
    ["channels by 16", { c: 32, h: 6, w: 7, m: 20, attrs: { fill: 128 } }],
    ["groups of whole words", { n: 2, c: 16, h: 5, w: 6, m: 24, attrs: { group: 2, fill: 9 } }],
    ["one channel", { c: 1, h: 6, w: 5, m: 8, attrs: { fill: 3 } }],
    ["deep", { c: 260, h: 5, w: 5, m: 8, kernel: 1 }],
  ];
  const kernel = (name: string): string => (name.startsWith("depthwise") ? "conv_u8_depthwise" : "conv_u8_tiled");
  both([
    ...[...convs, ...more].map(([name, k]) => [name, kernel(name), (s: Sketch) => convOf(s, k)] as const),
    ["one place", "conv_u8_vector", (s) => convOf(s, { c: 70, h: 1, w: 1, m: 18, kernel: 1 })],
    ["one place, weights of 9 bits", "conv_u8_vector", (s) => convOf(s, { c: 32, h: 1, w: 1, m: 5, kernel: 1, dtype: "i16" })],
    ...[0, 255].flatMap((x) => [-128, 127].map((w) => [`${x} by ${w} throughout`, "conv_u8_tiled", extreme(x, w, "i8")] as const)),
    ...[-255, 255].map((w) => [`255 by ${w} throughout`, "conv_u8_tiled", extreme(255, w, "i16")] as const),
  ]);
});

describe("matrices", () => {
  const shapes = [
    [1, 16, 10],
    [1, 300, 33],
    [5, 24, 16],
    [7, 30, 33],
    [70, 64, 66],
  ] as const;
  both([
    ...shapes.map(
      (shape) => [shape.join(" x "), `matmul_u8_${shape[0] === 1 ? "vector" : "tiled"}`, (s: Sketch) => product(s, shape)] as const,
    ),
    ["weights of 9 bits", "matmul_u8_tiled", (s) => product(s, [6, 20, 12], "i16")],
  ]);
});

describe("what lies around products", () => {
  const around: readonly (readonly [string, Build])[] = [
    [
      "what is added, and a second convolution that pads otherwise",
      (s) => {
        const sums = convOf(s, { c: 8, h: 6, w: 5, m: 12, attrs: { fill: 4 } });
        const y = requantized(s, sums, bytes(s, [1, 12, 6, 5]));
        const again = (fill: number): Value => s.op("conv", [y, weights(s, [5, 12, 3, 3])], attrs(1, { fill }));
        return [again(119), again(0), s.op("concat", [y, y], { axis: 1 })];
      },
    ],
    [
      "a concatenation at odd channels",
      (s) => {
        const x = bytes(s, [1, 8, 4, 5]);
        const part = (m: number): Value => requantized(s, s.op("conv", [x, weights(s, [m, 8, 1, 1])], attrs(0)));
        const whole = s.op("concat", [part(6), part(3), part(8)], { axis: 1 });
        return s.op("conv", [whole, weights(s, [4, 17, 3, 3])], attrs(1, { fill: 2 }));
      },
    ],
    [
      "pools and largest elements",
      (s) => {
        const y = requantized(s, convOf(s, { c: 6, h: 8, w: 8, m: 10, kernel: 1 }));
        const pool = { kernel: [3, 3], strides: [2, 2], dilations: [1, 1], pads: [1, 1, 1, 1], op: "max", count_include_pad: false, p: 1 };
        const small = s.op("pool", [y], { ...pool, shape: [4, 4] });
        return [
          s.op("conv", [small, weights(s, [4, 10, 3, 3])], attrs(1)),
          s.op("reduce", [small], { op: "max", axes: [2, 3], keepdims: true }),
        ];
      },
    ],
  ];
  for (const [name, build] of around) test(name, () => checkDevice(deviceCase(build), ["conv_u8_tiled"], "exact"));
  testOnDriver(
    around.map(([, build]) => build),
    "exact",
  );
});

describe("steps that a run gives", () => {
  const cases: readonly (readonly [string, readonly string[], Build])[] = [
    [
      "a scale for each row",
      ["matmul_u8_tiled"],
      (s) => {
        const sums = s.op("cast", [product(s, [7, 30, 33])], { to: "f32" });
        const scales = s.input("f32", [7, 1], [3, 0.125, 1e-3, 7, 5e4, 0, 0.3]);
        return s.op("mul", [s.op("mul", [sums, s.constant("f32", [], [0.01])]), scales]);
      },
    ],
    [
      "a frame of the zero point",
      ["pad_u8", "cast_i32", "mul_i32", "conv_u8_tiled"],
      (s) => {
        const z = s.input("u8", [], [97]);
        const x = s.op("pad", [bytes(s, [1, 8, 5, 6]), z], { mode: "constant", begins: [0, 0, 1, 1], ends: [0, 0, 1, 0] });
        const of = s.constant(
          "i32",
          [1, 12, 1, 1],
          Array.from({ length: 12 }, (_, i) => 31 * i - 170),
        );
        const excess = s.op("mul", [of, s.op("cast", [z], { to: "i32" })]);
        return s.op("sub", [s.op("conv", [x, weights(s, [12, 8, 3, 3])], attrs(0)), excess]);
      },
    ],
  ];
  for (const [name, kernels, build] of cases) test(name, () => checkDevice(deviceCase(build), kernels, "exact"));
  testOnDriver(
    cases.map(([, , build]) => build),
    "exact",
  );
});

describe("products of floats that end in bytes", () => {
  // Small integers, so that sums are exact in any order.
  const whole = (shape: readonly number[]): number[] =>
    Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => ((i * 37) % 11) - 5);
  const quantized = (s: Sketch, y: Value, to: "u8" | "i8"): Value =>
    s.op("quantize", [y, s.constant("f32", [], [2]), s.constant(to, [], [10])], { axis: 0, block: 0, to });
  const cases: readonly (readonly [string, string, Build])[] = [
    [
      "matrices",
      "matmul_f32_tiled",
      (s) => quantized(s, s.op("matmul", [s.input("f32", [6, 8], whole([6, 8])), s.constant("f32", [8, 12], whole([8, 12]))]), "u8"),
    ],
    [
      "convolutions",
      "conv_f32_tiled",
      (s) =>
        quantized(
          s,
          s.op("conv", [s.input("f32", [1, 5, 4, 6], whole([1, 5, 4, 6])), s.constant("f32", [6, 5, 3, 3], whole([6, 5, 3, 3]))], attrs(1)),
          "i8",
        ),
    ],
    [
      "a convolution of one pixel",
      "conv_f32_vector",
      (s) =>
        quantized(
          s,
          s.op("conv", [s.input("f32", [1, 9, 1, 1], whole([9])), s.constant("f32", [6, 9, 1, 1], whole([6, 9]))], attrs(0)),
          "u8",
        ),
    ],
    [
      "each channel by itself",
      "conv_f32_depthwise",
      (s) =>
        quantized(
          s,
          s.op(
            "conv",
            [s.input("f32", [1, 5, 4, 7], whole([5, 28])), s.constant("f32", [5, 1, 3, 3], whole([5, 9]))],
            attrs(1, { group: 5 }),
          ),
          "u8",
        ),
    ],
  ];
  for (const [name, kernel, build] of cases) test(name, () => checkDevice(deviceCase(build), [kernel], "exact"));
  testOnDriver(
    cases.map(([, , build]) => build),
    "exact",
  );
});
