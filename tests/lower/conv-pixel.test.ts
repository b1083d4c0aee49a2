// Sparse products of one to three pixels against sums in f64: every count of channels, blocks of every shape, batches, bias.

import { expect, test } from "vitest";
import { convPixel, mostPixels } from "../../compiler/lower/templates/conv-pixel.ts";
import { baseline, blank, type ConvCase, convProblem, mismatch, relaxed, scalars } from "./conv-cases.ts";
import { runInterpreted, runWasm } from "./run-lowered.ts";

const SHAPES: readonly (readonly [string, ConvCase])[] = [
  ["one channel", { c: 1, h: 1, w: 1, m: 1, kernel: [1, 1] }],
  ["three channels", { c: 9, h: 1, w: 1, m: 3, kernel: [1, 1], bias: true }],
  ["four channels", { c: 9, h: 1, w: 1, m: 4, kernel: [1, 1] }],
  [
    "eleven channels, padded rows",
    { c: 17, h: 1, w: 1, m: 11, kernel: [1, 1], bias: true, input: { rows: 1, columns: 1 }, output: { rows: 2, columns: 0 } },
  ],
  ["three images", { n: 3, c: 8, h: 1, w: 1, m: 16, kernel: [1, 1], bias: true, block: [8, 1] }],
  ["two pixels", { c: 8, h: 1, w: 2, m: 9, kernel: [1, 1], block: [4, 1] }],
  ["displacements beyond 16 bits", { c: 20000, h: 1, w: 1, m: 5, kernel: [1, 1] }],
];

for (const [name, k] of SHAPES)
  test(name, async () => {
    for (const density of [0, 0.2, 1])
      for (const target of [baseline, relaxed, scalars]) {
        const { spec, operand, expected } = convProblem({ ...k, density, target });
        const lowered = convPixel(spec)!;
        const result = blank(spec.output);
        runInterpreted(lowered, [operand], [result]);
        expect(mismatch(result, spec.output, expected)).toBeUndefined();
        if (target !== baseline) continue;
        const assembled = blank(spec.output);
        await runWasm(lowered, target, [operand], [assembled]);
        expect(mismatch(assembled, spec.output, expected)).toBeUndefined();
      }
  });

for (const [rows, columns] of [
  [2, 1],
  [4, 1],
  [8, 1],
  [16, 1],
  [1, 4],
  [1, 8],
  [4, 4],
  [2, 2],
  [1, 2],
] as const)
  test(`blocks of ${rows} x ${columns}`, async () => {
    for (const [c, m] of [
      [16, 32],
      [9, 21],
      [3, 5],
    ] as const)
      for (const density of [0, 0.3, 1]) {
        const { spec, operand, expected } = convProblem({
          c,
          h: 1,
          w: mostPixels([rows, columns]),
          m,
          kernel: [1, 1],
          density,
          block: [rows, columns],
          bias: true,
        });
        const result = blank(spec.output);
        runInterpreted(convPixel(spec)!, [operand], [result]);
        expect(mismatch(result, spec.output, expected)).toBeUndefined();
      }
    const { spec, operand, expected } = convProblem({ c: 70, h: 1, w: 1, m: 61, kernel: [1, 1], density: 0.3, block: [rows, columns] });
    const result = blank(spec.output);
    await runWasm(convPixel(spec)!, baseline, [operand], [result]);
    expect(mismatch(result, spec.output, expected)).toBeUndefined();
  });

test("an infinite input reaches only the outputs whose weights for it are not zero", () => {
  const { spec, operand } = convProblem({ c: 8, h: 1, w: 1, m: 8, kernel: [1, 1] });
  const weights = new Float32Array(64);
  for (let m = 0; m < 8; m++) weights[m * 8 + (m % 7)] = 1;
  new DataView(operand.buffer).setFloat32(0, Number.POSITIVE_INFINITY, true);
  const result = blank(spec.output);
  runInterpreted(convPixel({ ...spec, weights })!, [operand], [result]);
  const y = new Float32Array(result.buffer, spec.output.offset, 8);
  expect([y[0], y[7]]).toEqual([Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY]);
  expect([...y.slice(1, 7)].every(Number.isFinite)).toBe(true);
});

test("more pixels, other kernels and groups are for others", () => {
  for (const k of [
    { c: 4, h: 1, w: 2, m: 4, kernel: [1, 1] },
    { c: 4, h: 2, w: 2, m: 8, kernel: [1, 1], block: [8, 1] },
    { c: 4, h: 1, w: 1, m: 4, kernel: [3, 3], pads: [1, 1, 1, 1] },
    { c: 4, h: 1, w: 1, m: 4, kernel: [1, 1], groups: 2 },
  ] as const)
    expect(convPixel(convProblem(k).spec)).toBeUndefined();
});
