// The pooling template against windows in f64: in the interpreter, where every access is checked, and as wasm.

import { describe, expect, test } from "vitest";
import type { Capabilities } from "../../compiler/backend.ts";
import { flat, type Margin, rows, type Storage } from "../../compiler/lower/storage.ts";
import { noEpilogue } from "../../compiler/lower/template.ts";
import { type PoolSpec, poolRows } from "../../compiler/lower/templates/pool-rows.ts";
import { baseline, blank, mismatch, place, random, relaxed, scalars } from "./conv-cases.ts";
import { runInterpreted, runWasm } from "./run-lowered.ts";

interface PoolCase {
  readonly shape: readonly [number, number, number, number];
  readonly kernel: readonly [number, number];
  readonly strides: readonly [number, number];
  readonly dilations?: readonly [number, number];
  readonly pads?: readonly [number, number, number, number];
  /** Extents of the result, where they are not rounded down. */
  readonly out?: readonly [number, number];
  readonly input?: Margin;
}

const margin = { rows: 1, columns: 1 };
const CASES: readonly (readonly [string, PoolCase])[] = [
  ["2x2 stride 2", { shape: [1, 3, 6, 10], kernel: [2, 2], strides: [2, 2], input: margin }],
  ["2x2 stride 2, batch, from flat", { shape: [2, 3, 4, 14], kernel: [2, 2], strides: [2, 2] }],
  ["3x3 stride 2", { shape: [1, 2, 9, 21], kernel: [3, 3], strides: [2, 2], input: margin }],
  ["3x3 stride 2, padded", { shape: [1, 2, 8, 20], kernel: [3, 3], strides: [2, 2], pads: [1, 1, 1, 1], input: margin }],
  ["3x3 stride 2, rounded up", { shape: [1, 2, 8, 12], kernel: [3, 3], strides: [2, 2], out: [4, 6], input: margin }],
  ["3x3 stride 1, padded", { shape: [2, 2, 5, 11], kernel: [3, 3], strides: [1, 1], pads: [1, 1, 1, 1], input: margin }],
  ["3x3 stride 3", { shape: [1, 2, 9, 15], kernel: [3, 3], strides: [3, 3], input: margin }],
  [
    "3x2 dilated, stride 2",
    { shape: [1, 2, 9, 15], kernel: [3, 2], strides: [1, 2], dilations: [2, 3], pads: [2, 1, 0, 2], input: margin },
  ],
  ["5x5 stride 1", { shape: [1, 1, 7, 9], kernel: [5, 5], strides: [1, 1], pads: [2, 2, 2, 2] }],
  ["whole plane", { shape: [1, 5, 7, 7], kernel: [7, 7], strides: [1, 1], input: margin }],
  ["1x1 stride 2", { shape: [1, 2, 5, 9], kernel: [1, 1], strides: [2, 2], input: margin }],
];

function problem(k: PoolCase, op: "max" | "avg", countPads: boolean, target: Capabilities) {
  const next = random(31);
  const [n, c, h, w] = k.shape;
  const { kernel, strides, dilations = [1, 1], pads = [0, 0, 0, 0] } = k;
  const extent = (i: number, size: number): number =>
    Math.floor((size + pads[i]! + pads[i + 2]! - (kernel[i]! - 1) * dilations[i]! - 1) / strides[i]!) + 1;
  const [ho, wo] = k.out ?? [extent(0, h), extent(1, w)];
  // All below zero, so that padding with zeros would show.
  const x = Float32Array.from({ length: n * c * h * w }, () => next() - 2);
  const expected = new Float64Array(n * c * ho * wo);
  for (let i = 0; i < expected.length; i++) {
    const [ox, oy, image] = [i % wo, Math.floor(i / wo) % ho, Math.floor(i / (wo * ho))];
    let [largest, sum, count] = [Number.NEGATIVE_INFINITY, 0, 0];
    for (let ky = 0; ky < kernel[0]; ky++)
      for (let kx = 0; kx < kernel[1]; kx++) {
        const [y, z] = [oy * strides[0] + ky * dilations[0] - pads[0], ox * strides[1] + kx * dilations[1] - pads[1]];
        const within = y >= 0 && y < h && z >= 0 && z < w;
        if (within || (countPads && y < h + pads[2] && z < w + pads[3])) count++;
        if (!within) continue;
        const value = x[(image * h + y) * w + z]!;
        largest = Math.max(largest, value);
        sum += value;
      }
    expected[i] = op === "max" ? largest : sum / count;
  }
  const storage = (shape: readonly number[], m: Margin | undefined): Storage =>
    m ? rows({ dtype: "f32", shape }, m) : flat({ dtype: "f32", shape });
  const input = storage(k.shape, k.input);
  const spec: PoolSpec = {
    name: "pool",
    input,
    output: storage([n, c, ho, wo], k.input),
    kernel,
    strides,
    dilations,
    pads,
    op,
    countPads,
    epilogue: noEpilogue,
    target,
  };
  return { spec, operand: place(x, input), expected };
}

describe("poolRows", () => {
  for (const [name, k] of CASES)
    for (const [op, countPads] of [
      ["max", false],
      ["avg", false],
      ["avg", true],
    ] as const)
      test(`${name}, ${op}${countPads ? " with padding" : ""}`, () => {
        for (const target of [baseline, relaxed, scalars]) {
          const { spec, operand, expected } = problem(k, op, countPads, target);
          const result = blank(spec.output);
          runInterpreted(poolRows(spec)!, [operand], [result]);
          expect(mismatch(result, spec.output, expected)).toBeUndefined();
        }
      });
  test("as wasm", async () => {
    for (const [, k] of CASES) {
      const { spec, operand, expected } = problem({ ...k, shape: [1, 12, k.shape[2], k.shape[3]] }, "max", false, baseline);
      const result = blank(spec.output);
      await runWasm(poolRows(spec)!, baseline, [operand], [result]);
      expect(mismatch(result, spec.output, expected)).toBeUndefined();
    }
  });
  test("refuses windows with nothing to average, and large ones", () => {
    const outside: PoolCase = { shape: [1, 1, 4, 4], kernel: [1, 1], strides: [1, 1], pads: [1, 1, 1, 1] };
    expect(poolRows(problem(outside, "avg", false, baseline).spec)).toBeUndefined();
    expect(poolRows(problem({ shape: [1, 1, 9, 9], kernel: [8, 8], strides: [1, 1] }, "max", false, baseline).spec)).toBeUndefined();
  });
});
