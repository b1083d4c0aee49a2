// Sparse kernels for devices against sums in f64: convolutions and products, all patterns, as the interpreter runs them thread by thread.

import { describe, expect, test } from "vitest";
import { hasVectors } from "../../compiler/lower/device/pixel-places.ts";
import { countOf, fits, nonzerosOf, packBlocks, rowsOf } from "../../compiler/lower/device/sparse-blocks.ts";
import { planPixels, type SparsePlan, sparsePixels } from "../../compiler/lower/device/sparse-pixels.ts";
import type { Lowered } from "../../compiler/lower/template.ts";
import { convShape } from "../../compiler/lower/templates/conv-spec.ts";
import { type Counts, interpret } from "../../ir/kernel/interpret.ts";
import type { Func } from "../../ir/kernel/types.ts";
import { blank, type ConvCase, convProblem, mismatch } from "./conv-cases.ts";
import { buffers, runInterpreted } from "./run-lowered.ts";

const SHAPES = [
  [1, 1],
  [1, 4],
  [4, 1],
  [4, 4],
  [8, 8],
  [16, 16],
] as const;

function check(k: ConvCase, shape: readonly [number, number], change: Partial<SparsePlan> = {}): string | undefined {
  const { spec, operand, expected } = convProblem(k);
  const nonzeros = nonzerosOf(spec);
  if (!fits(nonzeros, shape)) return undefined;
  const blocks = packBlocks(nonzeros, shape);
  const s = convShape(spec)!;
  const lowered = sparsePixels(spec, blocks, { ...planPixels(s, blocks, hasVectors(spec, s) ? 4 : 1), ...change });
  if (!lowered) return "refused";
  const result = blank(spec.output);
  runInterpreted(lowered, [operand], [result]);
  return mismatch(result, spec.output, expected);
}

const CASES: readonly (readonly [string, ConvCase])[] = [
  ["1x1", { c: 16, h: 8, w: 12, m: 24, kernel: [1, 1], bias: true }],
  ["1x1 of two images", { n: 2, c: 16, h: 4, w: 6, m: 20, kernel: [1, 1] }],
  ["1x1 of odd planes", { n: 2, c: 16, h: 5, w: 7, m: 9, kernel: [1, 1], bias: true }],
  ["1x1, stride 2", { c: 16, h: 7, w: 9, m: 8, kernel: [1, 1], strides: [2, 2] }],
  ["one pixel", { c: 32, h: 1, w: 1, m: 19, kernel: [1, 1], bias: true }],
  ["three pixels", { c: 16, h: 1, w: 3, m: 33, kernel: [1, 1] }],
  ["many pixels", { c: 16, h: 24, w: 24, m: 4, kernel: [1, 1] }],
  ["many pixels of odd planes", { c: 16, h: 9, w: 15, m: 4, kernel: [1, 1], bias: true }],
  ["3x3", { c: 16, h: 9, w: 11, m: 12, kernel: [3, 3], pads: [1, 1, 1, 1], bias: true }],
  ["3x3, stride 2, uneven pads", { n: 2, c: 16, h: 9, w: 8, m: 12, kernel: [3, 3], strides: [2, 1], pads: [0, 1, 2, 0] }],
  ["3x3, dilated", { c: 16, h: 9, w: 11, m: 8, kernel: [3, 3], dilations: [2, 3], pads: [2, 3, 2, 3] }],
  ["3x3 without pads", { c: 16, h: 6, w: 6, m: 8, kernel: [3, 3] }],
  ["1x5", { c: 16, h: 6, w: 20, m: 8, kernel: [1, 5], pads: [0, 2, 0, 2], bias: true }],
  ["by groups", { c: 32, h: 6, w: 6, m: 24, kernel: [3, 3], pads: [1, 1, 1, 1], groups: 2 }],
];

for (const shape of SHAPES)
  describe(`blocks of ${shape.join("x")}`, () => {
    for (const [name, k] of CASES)
      test.each([0, 0.2])(`${name}, density %d`, (density) => expect(check({ ...k, density, block: shape }, shape)).toBeUndefined());
    test("rows in one to sixty-four shares", () => {
      for (const split of [1, 2, 8, 64])
        expect(check({ c: 80, h: 1, w: 1, m: 7, kernel: [1, 1], density: 0.5 }, shape, { pixels: 1, split })).toBeUndefined();
      expect(
        check({ c: 80, h: 2, w: 4, m: 7, kernel: [1, 1], density: 0.5 }, shape, { lanes: 4, cells: 1, pixels: 2, split: 4 }),
      ).toBeUndefined();
    });
  });

test("blocks that do not fit the pattern hold zeros beside", () => {
  for (const shape of SHAPES)
    expect(check({ c: 16, h: 5, w: 5, m: 18, kernel: [3, 3], pads: [1, 1, 1, 1], density: 0.1 }, shape)).toBeUndefined();
});

const sparse = (k: ConvCase, shape: readonly [number, number], change: Partial<SparsePlan> = {}): Lowered => {
  const { spec } = convProblem(k);
  const blocks = packBlocks(nonzerosOf(spec), shape);
  const s = convShape(spec)!;
  return sparsePixels(spec, blocks, { ...planPixels(s, blocks, hasVectors(spec, s) ? 4 : 1), ...change })!;
};

test("loads and multiply-adds are as many as the stored blocks ask for", () => {
  const k = { c: 64, h: 16, w: 16, m: 64, kernel: [1, 1], density: 0.1 } as const;
  for (const shape of SHAPES) {
    const lowered = sparse({ ...k, block: shape }, shape);
    const { spec, operand } = convProblem({ ...k, block: shape });
    const counts: Counts = { loads: 0, sharedLoads: 0, multiplyAdds: 0 };
    const program = { functions: lowered.functions, entry: lowered.entry, faults: [] };
    const args = buffers(lowered, [operand], [blank(spec.output)]).map((bytes) => ({ bytes }));
    interpret(program, lowered.entry, args, { counts });
    const stored = packBlocks(nonzerosOf(spec), shape);
    const [pixels, [rows, columns]] = [256, shape];
    expect(counts.multiplyAdds).toBe(stored.values.length * pixels);
    const threads = (pixels / 4) * (rows < 8 ? 1 : rows / 4);
    // Every thread: the ends of each row of blocks, and where each block lies.
    const steering = threads * (2 * rowsOf(stored) + countOf(stored));
    // High blocks are brought to shared memory, inputs and weights once for their pixels; of others, each thread reads what it multiplies.
    const tiles = rows < 8 ? pixels / 4 : pixels / (4 * ((64 * 4) / rows));
    expect(counts.loads).toBe(steering + countOf(stored) * (columns * pixels + rows * columns * tiles));
  }
});

test("every barrier is needed", () => {
  const lowered = sparse({ c: 80, h: 2, w: 4, m: 7, kernel: [1, 1], density: 0.5 }, [1, 1], { lanes: 4, cells: 1, pixels: 2, split: 8 });
  const { spec, operand } = convProblem({ c: 80, h: 2, w: 4, m: 7, kernel: [1, 1], density: 0.5 });
  const [kernel] = lowered.functions as [Func];
  const barriers = kernel.body.flatMap((s, at) => (s.kind === "barrier" ? [at] : []));
  expect(barriers).toHaveLength(3);
  for (const at of barriers) {
    const without = { ...lowered, functions: [{ ...kernel, body: kernel.body.toSpliced(at, 1) }] };
    expect(() => runInterpreted(without, [operand], [blank(spec.output)])).toThrow(expect.objectContaining({ code: "kernel-race" }));
  }
});

test("every barrier around a high block is needed", () => {
  const k = { c: 64, h: 8, w: 16, m: 16, kernel: [1, 1], density: 0.6 } as const;
  const [lowered, { spec, operand }] = [sparse(k, [16, 16]), convProblem(k)];
  const [kernel] = lowered.functions as [Func];
  const loop = kernel.body.find((s) => s.kind === "for")!;
  const barriers = loop.body.flatMap((s, at) => (s.kind === "barrier" ? [at] : []));
  expect(barriers).toHaveLength(2);
  for (const at of barriers) {
    const body = kernel.body.map((s) => (s === loop ? { ...loop, body: loop.body.toSpliced(at, 1) } : s));
    const without = { ...lowered, functions: [{ ...kernel, body }] };
    expect(() => runInterpreted(without, [operand], [blank(spec.output)])).toThrow(expect.objectContaining({ code: "kernel-race" }));
  }
});
