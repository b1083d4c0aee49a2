// Views of storages: every element of a reshaped, transposed or sliced value lies where the operand has it.

import { describe, expect, test } from "vitest";
import { lowerRelayout, relaidConstant } from "../../compiler/lower/relayout.ts";
import { along, columns, features, flat, type Storage } from "../../compiler/lower/storage.ts";
import { operandOf, reshaped, transposed, viewOf } from "../../compiler/lower/views.ts";
import { GraphBuilder } from "../../ir/graph.ts";
import { standardOps } from "../../ir/ops/index.ts";
import { weightStore } from "../../ir/weights.ts";
import { baseline } from "./conv-cases.ts";
import { runInterpreted, runWasm } from "./run-lowered.ts";

const type = (shape: readonly number[]) => ({ dtype: "f32", shape }) as const;
const count = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);

/** Byte offsets of all elements in row-major order. */
function offsets(s: Storage): number[] {
  let all = [s.offset];
  s.shape.forEach((n, axis) => {
    all = all.flatMap((at) => Array.from({ length: n }, (_, i) => at + i * s.strides[axis]!));
  });
  return all;
}

describe("reshaped", () => {
  test("flat stays flat", () => {
    expect(reshaped(flat(type([2, 3, 4])), [6, 4])).toMatchObject({ strides: [16, 4] });
    expect(reshaped(flat(type([24])), [2, 1, 3, 4])!.strides.filter((_, k) => k !== 1)).toEqual([48, 16, 4]);
  });
  test.each([
    [features(type([6, 8])), [2, 3, 2, 4]],
    [features(type([2, 3, 8])), [6, 8]],
    [columns(type([2, 5, 4])), [2, 5, 2, 2]],
    [features(type([1, 5, 4])), [5, 4]],
  ] as const)("splits and merges axes: %#", (s, shape) => {
    expect(offsets(reshaped(s, shape)!)).toEqual(offsets(s));
  });
  test("axes with no common distance are not merged", () => {
    expect(reshaped(features(type([6, 8])), [48])).toBeUndefined();
    expect(reshaped(features(type([6, 8])), [3, 16])).toBeUndefined();
    expect(reshaped(columns(type([2, 6, 4])), [12, 4])).toBeUndefined();
  });
});

test("heads of attention are views of features, and the way back leads to the same storage", () => {
  const b = new GraphBuilder(standardOps, weightStore());
  const x = b.param("x", "f32", [10, 12]);
  const split = b.value("reshape", [x], { shape: [2, 5, 3, 4] });
  const heads = b.value("transpose", [split], { perm: [0, 2, 1, 3] });
  const own = features(x.type);
  const view = viewOf(heads.node, viewOf(split.node, own)!)!;
  const at = (n: number, h: number, t: number, d: number) => offsets(own)[(n * 5 + t) * 12 + h * 4 + d];
  expect(view.shape).toEqual([2, 3, 5, 4]);
  expect(offsets(view)[((1 * 3 + 2) * 5 + 3) * 4 + 1]).toBe(at(1, 2, 3, 1));
  expect(operandOf(split.node, operandOf(heads.node, view)!)!.strides).toEqual(own.strides);
});

test("slices are views where steps go forward", () => {
  const b = new GraphBuilder(standardOps, weightStore());
  const x = b.param("x", "f32", [4, 9]);
  const slice = b.value("slice", [x], { starts: [1, 2], steps: [2, 3], shape: [2, 2] });
  const s = flat(x.type);
  expect(offsets(viewOf(slice.node, s)!)).toEqual([11, 14, 29, 32].map((k) => 4 * k));
  const back = b.value("slice", [x], { starts: [3, 0], steps: [-1, 1], shape: [4, 9] });
  expect(viewOf(back.node, s)).toBeUndefined();
});

describe("relayout moves every element", () => {
  const shapes = [
    [8, 8],
    [7, 9],
    [2, 5, 6],
    [1, 13],
    [4, 1],
    [3, 4, 12],
    [2, 3, 9, 5],
  ];
  const storages: readonly ((shape: readonly number[]) => Storage)[] = [
    (shape) => flat(type(shape)),
    (shape) => features(type(shape)),
    (shape) => columns(type(shape)),
    (shape) => along(type(shape), 0),
    (shape) =>
      transposed(
        flat(type(shape.toReversed())),
        shape.map((_, axis) => shape.length - 1 - axis),
      ),
  ];
  test.each(shapes.map((shape) => [shape]))("%j", async (own) => {
    for (const from of storages)
      for (const to of storages) {
        const [a, b] = [from(own), to(own)];
        const x = new Float32Array(a.bytes / 4).fill(-1);
        offsets(a).forEach((at, k) => {
          x[at / 4] = k;
        });
        const want = Array.from({ length: count(own) }, (_, k) => k);
        const read = (y: Float32Array) => offsets(b).map((at) => y[at / 4]);
        const lowered = lowerRelayout(a, b);
        const [y, z] = [new Float32Array(b.bytes / 4), new Float32Array(b.bytes / 4)];
        runInterpreted(lowered, [new Uint8Array(x.buffer)], [new Uint8Array(y.buffer)]);
        expect(read(y)).toEqual(want);
        await runWasm(lowered, baseline, [new Uint8Array(x.buffer)], [new Uint8Array(z.buffer)]);
        expect(read(z)).toEqual(want);
        const constant = relaidConstant({ dtype: "f32", shape: [x.length], data: x }, a, b);
        expect(read(constant.data as Float32Array)).toEqual(want);
      }
  });
});
