// Winograd convolution against sums in f64: tiles that hang over every edge, in the interpreter, where every access is checked, and as wasm.

import { expect, test } from "vitest";
import type { ConvShape } from "../../compiler/lower/templates/conv-spec.ts";
import { convWinograd } from "../../compiler/lower/templates/conv-winograd.ts";
import type { TileSize } from "../../compiler/lower/templates/winograd-matrices.ts";
import { bestWinograd } from "../../compiler/lower/templates/winograd-plan.ts";
import { baseline, blank, type ConvCase, convProblem, each, mismatch, relaxed, scalars } from "./conv-cases.ts";
import { runInterpreted, runWasm } from "./run-lowered.ts";

const margin = { rows: 1, columns: 1 };
const three: readonly [number, number] = [3, 3];
const same: readonly [number, number, number, number] = [1, 1, 1, 1];
const padded = { kernel: three, pads: same, input: margin, output: margin };

const SHAPES: readonly (readonly [string, ConvCase])[] = [
  ["one tile", { c: 3, h: 4, w: 4, m: 2, ...padded }],
  ["one output", { c: 2, h: 1, w: 1, m: 1, ...padded }],
  ["whole vectors of tiles", { c: 2, h: 8, w: 32, m: 3, ...padded }],
  ["14 x 14", { c: 5, h: 14, w: 14, m: 7, ...padded, bias: true }],
  ["7 x 7", { c: 9, h: 7, w: 7, m: 5, ...padded }],
  ["13 x 13, batch", { n: 3, c: 2, h: 13, w: 13, m: 4, ...padded, bias: true }],
  ["27 wide", { c: 1, h: 5, w: 27, m: 13, ...padded }],
  ["19 wide, wide margins", { c: 2, h: 6, w: 19, m: 4, ...padded, input: { rows: 3, columns: 3 }, output: { rows: 2, columns: 2 } }],
  ["no padding", { c: 3, h: 9, w: 18, m: 3, kernel: three, input: margin, output: margin }],
  ["no padding, no margin behind", { c: 3, h: 9, w: 16, m: 3, kernel: three, input: { rows: 0, columns: 0 }, output: margin }],
  ["padding on some sides", { n: 2, c: 2, h: 6, w: 11, m: 3, kernel: three, pads: [0, 1, 2, 0], input: margin, output: margin }],
  ["padding of two", { c: 2, h: 5, w: 5, m: 3, kernel: three, pads: [2, 2, 2, 2], input: { rows: 2, columns: 2 }, output: margin }],
  ["from flat", { c: 2, h: 6, w: 10, m: 3, kernel: three, pads: same, output: margin }],
  ["to flat", { n: 2, c: 2, h: 5, w: 6, m: 2, kernel: three, pads: same, input: margin, bias: true }],
  ["groups", { n: 2, c: 6, h: 5, w: 9, m: 4, groups: 2, ...padded, bias: true }],
];

for (const m of [2, 4] as const satisfies readonly TileSize[])
  for (const [name, k] of SHAPES)
    test(`F(${m}x${m}): ${name}`, async () => {
      for (const target of [baseline, relaxed]) {
        const { spec, operand, expected } = convProblem({ ...k, target });
        const lowered = convWinograd(spec, m)!;
        const result = blank(spec.output);
        runInterpreted(lowered, [operand], [result]);
        expect(mismatch(result, spec.output, expected)).toBeUndefined();
        if (target !== baseline) continue;
        const assembled = blank(spec.output);
        await runWasm(lowered, target, [operand], [assembled]);
        expect(mismatch(assembled, spec.output, expected)).toBeUndefined();
      }
    });

test("other kernels, strides, dilations and targets are for others", () => {
  const k: ConvCase = { c: 2, h: 8, w: 8, m: 2, ...padded };
  for (const other of [
    { ...k, kernel: [5, 3] as const },
    { ...k, strides: [1, 2] as const },
    { ...k, dilations: [2, 1] as const },
    { ...k, target: scalars },
  ])
    expect(convWinograd(convProblem(other).spec, 4)).toBeUndefined();
});

test("tiles are chosen by predicted cost, weights that grow too large and exact sums counted out", () => {
  const shape = (c: number, m: number, h: number, w = h) =>
    ({ n: 1, c, h, w, m, ho: h, wo: w, kh: 3, kw: 3, groupIn: c, groupOut: m }) satisfies ConvShape;
  for (const target of [baseline, relaxed]) {
    const chosen = (...k: Parameters<typeof shape>) => bestWinograd(shape(...k), target)?.m;
    expect([chosen(64, 64, 56), chosen(32, 32, 16), chosen(256, 256, 14)]).toEqual([4, 4, 4]);
    expect([chosen(64, 64, 8), chosen(512, 512, 7), chosen(1024, 1024, 14), chosen(1, 16, 64)]).toEqual([2, 2, undefined, undefined]);
    expect(bestWinograd(shape(64, 64, 56), { ...target, exactSums: true })).toBeUndefined();
  }
});

/**
 * Error model: each transform multiplies rounding errors by the norms of its matrix, whatever the depth of the sums; measured on uniform
 * inputs and weights against sums in f64. F(4x4) may be off by 3e-6 of the root mean square, F(2x2) by 1e-6.
 */
test.each([
  [2, 1e-6],
  [4, 3e-6],
] as const)("F(%ix%i) is as exact as stated", (m, limit) => {
  for (const target of [baseline, relaxed]) {
    const { spec, operand, expected } = convProblem({ c: 64, h: 8, w: 16, m: 8, ...padded, target });
    const result = blank(spec.output);
    runInterpreted(convWinograd(spec, m)!, [operand], [result]);
    const view = new DataView(result.buffer);
    let [error, square] = [0, 0];
    each(spec.output, (at, i) => {
      error += (view.getFloat32(at, true) - expected[i]!) ** 2;
      square += expected[i]! ** 2;
    });
    expect(Math.sqrt(error / square)).toBeLessThan(limit);
  }
});

test("what lies behind a row enters nothing: NaN in the next channel's first column stays there", () => {
  const unpadded = { kernel: three, input: { rows: 0, columns: 0 }, output: margin };
  for (const [m, k] of [
    [2, { ...padded, h: 5, w: 13 }],
    [4, { ...padded, h: 5, w: 14 }],
    [4, { ...unpadded, h: 7, w: 16 }],
  ] as const) {
    // Two groups of one channel: the second has NaN where tiles of the first reach behind their rows.
    const { spec, operand } = convProblem({ c: 2, m: 2, groups: 2, ...k });
    const view = new DataView(operand.buffer);
    const { offset, strides, shape } = spec.input;
    for (let y = 0; y < shape[2]!; y++) view.setFloat32(offset + strides[1]! + y * strides[2]!, Number.NaN, true);
    const result = blank(spec.output);
    runInterpreted(convWinograd(spec, m)!, [operand], [result]);
    each({ ...spec.output, shape: [1, 1, ...spec.output.shape.slice(2)] }, (at) =>
      expect(new DataView(result.buffer).getFloat32(at, true)).not.toBeNaN(),
    );
  }
});
