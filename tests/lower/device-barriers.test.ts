// No barrier of a device's kernels can be spared: without any one of them, threads get in each other's way.

import { expect, test } from "vitest";
import { deviceConv } from "../../compiler/lower/device/conv.ts";
import { deviceMatmul } from "../../compiler/lower/device/matmul.ts";
import { TILINGS } from "../../compiler/lower/device/tiling.ts";
import type { Lowered } from "../../compiler/lower/template.ts";
import type { Value } from "../../ir/graph.ts";
import type { Sketch } from "../conformance/sketch.ts";
import { can, countBarriers, deviceCase, kernelsOf, lowerLast, most, runKernel, withoutEachBarrier } from "./device-cases.ts";

/** Kernels, run so long that each of their loops goes round, and the barriers that they have. */
const matmul = (m: number, k: number, n: number, tiling: number): Lowered =>
  lowerLast(
    deviceCase((s) => s.op("matmul", [s.input("f32", [m, k]), s.weight("f32", [k, n])])),
    (u, c) => deviceMatmul(u, c, can, () => TILINGS[tiling]!),
  );
const conv = (tiling: number): Lowered =>
  lowerLast(
    deviceCase((s) => {
      const attrs = { strides: [1, 1], dilations: [1, 1], pads: [1, 1, 1, 1], group: 1 };
      return s.op("conv", [s.input("f32", [1, 5, 6, 8]), s.weight("f32", [32, 5, 3, 3])], attrs);
    }),
    (u, c) => deviceConv(u, c, can, () => TILINGS[tiling]!),
  );
const only = (build: (s: Sketch) => Value, target = can): Lowered => {
  const [kernel, ...others] = kernelsOf(deviceCase(build).graph, target);
  expect(others).toEqual([]);
  return kernel!;
};

const rows = (shape: readonly number[], op: string, axis: number, target = can): Lowered =>
  only((s) => s.op(op, [s.input("f32", shape)], { axis }), target);
const attention = (keys: number): Lowered =>
  only((s) => {
    const scores = s.op("matmul", [s.input("f32", [16, 8]), s.input("f32", [8, keys])]);
    return s.op("matmul", [s.op("softmax", [scores], { axis: 1 }), s.input("f32", [keys, 8])]);
  });

const SAMPLES: readonly (readonly [string, number, () => Lowered])[] = [
  ["a tiled product", 2, () => matmul(32, 40, 32, 2)],
  ["a tiled product of large tiles", 2, () => matmul(64, 40, 64, 1)],
  ["a tiled product of one round", 1, () => matmul(32, 12, 32, 2)],
  ["a tiled product in two slices", 4, () => matmul(32, 40, 32, 5)],
  ["a tiled product in four slices", 4, () => matmul(32, 70, 32, 8)],
  ["a convolution", 2, () => conv(2)],
  ["a convolution in two slices", 4, () => conv(5)],
  ["a row by a matrix", 1, () => only((s) => s.op("matmul", [s.input("f32", [1, 70]), s.input("f32", [70, 10])]))],
  ["a matrix by a column", 1, () => only((s) => s.op("matmul", [s.weight("f32", [10, 70]), s.input("f32", [70, 1])]))],
  ["softmax of rows", 10, () => rows([9, 70], "softmax", 1)],
  ["softmax of columns", 6, () => rows([100, 30], "softmax", 0)],
  ["log softmax of a few", 2, () => rows([1, 5], "log_softmax", 1)],
  [
    "the last of the largest",
    5,
    () => only((s) => s.op("arg_reduce", [s.input("f32", [3, 90])], { op: "argmax_last", axis: 1, keepdims: false })),
  ],
  ["softmax of rows, by swaps", 2, () => rows([9, 70], "softmax", 1, most)],
  ["softmax of columns, by swaps", 2, () => rows([100, 30], "softmax", 0, most)],
  ["a row by a matrix, by swaps", 1, () => only((s) => s.op("matmul", [s.input("f32", [1, 70]), s.input("f32", [70, 10])]), most)],
  ["a matrix by a column, by swaps", 1, () => only((s) => s.op("matmul", [s.weight("f32", [10, 70]), s.input("f32", [70, 1])]), most)],
  ["attention to many keys", 2, () => attention(70)],
  ["attention to keys that are there at once", 1, () => attention(20)],
];

test.each(SAMPLES)("%s", (_, barriers, make) => {
  const kernel = make();
  runKernel(kernel);
  expect(countBarriers(kernel.functions)).toBe(barriers);
  for (const functions of withoutEachBarrier(kernel.functions))
    expect(() => runKernel(kernel, functions)).toThrow(expect.objectContaining({ code: "kernel-race" }));
});
