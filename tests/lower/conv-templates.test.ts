// The convolution templates against sums in f64: many shapes in the interpreter, where every access is checked, larger ones as wasm.

import { describe, expect, test } from "vitest";
import type { Capabilities } from "../../compiler/backend.ts";
import { type Lowered, type Packed, packedBytes } from "../../compiler/lower/template.ts";
import { convCsr } from "../../compiler/lower/templates/conv-csr.ts";
import { convDense } from "../../compiler/lower/templates/conv-dense.ts";
import { convDepthwise } from "../../compiler/lower/templates/conv-depthwise.ts";
import type { ConvSpec } from "../../compiler/lower/templates/conv-spec.ts";
import { balanced } from "../../compiler/lower/templates/tiles.ts";
import { baseline, blank, type ConvCase, convProblem, mismatch, relaxed, scalars } from "./conv-cases.ts";
import { runInterpreted, runWasm } from "./run-lowered.ts";

type Template = (spec: ConvSpec) => Lowered | undefined;

const margin = { rows: 1, columns: 1 };
const wide = { rows: 3, columns: 3 };
const one: readonly [number, number] = [1, 1];
const three: readonly [number, number] = [3, 3];
const same: readonly [number, number, number, number] = [1, 1, 1, 1];

const SHAPES: readonly (readonly [string, ConvCase])[] = [
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

function lower(template: Template, k: ConvCase) {
  const problem = convProblem(k);
  const lowered = template(problem.spec);
  if (!lowered) throw new Error("the template refused");
  return { ...problem, lowered };
}

function interpreted(template: Template, k: ConvCase): string | undefined {
  const { spec, operand, expected, lowered } = lower(template, k);
  const result = blank(spec.output);
  runInterpreted(lowered, [operand], [result]);
  return mismatch(result, spec.output, expected);
}

async function asWasm(template: Template, k: ConvCase): Promise<string | undefined> {
  const { spec, operand, expected, lowered } = lower(template, k);
  const result = blank(spec.output);
  await runWasm(lowered, spec.target, [operand], [result]);
  return mismatch(result, spec.output, expected);
}

const TEMPLATES: readonly (readonly [string, Template])[] = [
  ["convCsr", convCsr],
  ["convDense", convDense],
];

for (const [name, template] of TEMPLATES)
  describe(name, () => {
    for (const [shape, k] of SHAPES)
      for (const density of [0, 0.3, 1])
        test(`${shape}, density ${density}`, () => expect(interpreted(template, { ...k, density })).toBeUndefined());
    for (const [kind, target] of [
      ["relaxed", relaxed],
      ["scalars", scalars],
    ] as const)
      test(`tiles for ${kind}`, () => {
        for (const [, k] of SHAPES) expect(interpreted(template, { ...k, density: 0.4, target })).toBeUndefined();
      });
    test("blocks of channels, whose partial sums wait in scratch", () => {
      for (const [, k] of SHAPES) {
        const { spec, operand, expected } = convProblem({ ...k, density: 0.6 });
        const plan = { rows: balanced(spec.output.shape[2]!, 2), vectors: balanced(Math.ceil(spec.output.shape[3]! / 4), 2), block: 2 };
        const lowered = template({ ...spec, plan: { ...plan, channels: balanced(spec.output.shape[1]! / spec.groups, 2) } })!;
        const result = blank(spec.output);
        runInterpreted(lowered, [operand], [result]);
        expect(mismatch(result, spec.output, expected)).toBeUndefined();
      }
    });
    test("large enough for several runs of output channels, as wasm", async () => {
      const k: ConvCase = { c: 300, h: 3, w: 6, m: 301, kernel: one, density: 0.9, bias: true, input: margin, output: margin };
      expect(await asWasm(template, k)).toBeUndefined();
      expect(await asWasm(template, { ...k, c: 70, m: 110, kernel: three, pads: same })).toBeUndefined();
    });
    test("displacements beyond 16 bits, as wasm", async () => {
      const k: ConvCase = { c: 41, h: 4, w: 600, m: 3, kernel: three, pads: same, density: 0.2, input: margin, output: margin };
      expect(await asWasm(template, k)).toBeUndefined();
    });
  });

describe("convDepthwise", () => {
  const depthwise: readonly (readonly [string, ConvCase])[] = [
    ...SHAPES.filter(([, k]) => k.groups === k.c && k.c > 1),
    ["one channel", { c: 1, h: 9, w: 12, m: 1, kernel: three, pads: same, input: margin, output: margin }],
    ["5x5 stride 2", { c: 3, h: 9, w: 12, m: 3, kernel: [5, 5], strides: [2, 2], pads: [2, 2, 2, 2], groups: 3, output: margin }],
    ["7x7", { c: 2, h: 9, w: 14, m: 2, kernel: [7, 7], pads: [3, 3, 3, 3], groups: 2, input: wide, output: margin }],
    ["3x3, batch", { n: 2, c: 4, h: 5, w: 30, m: 4, kernel: three, pads: same, groups: 4, input: margin, output: margin, bias: true }],
    ["many channels", { c: 70, h: 7, w: 7, m: 70, kernel: three, pads: same, groups: 70, input: margin, output: margin }],
  ];
  for (const [shape, k] of depthwise)
    for (const target of [baseline, relaxed, scalars])
      test(`${shape}, ${target === baseline ? "baseline" : target.fma ? "relaxed" : "scalars"}`, () =>
        expect(interpreted(convDepthwise, { ...k, target })).toBeUndefined());
  test("as wasm", async () => {
    for (const [, k] of depthwise) expect(await asWasm(convDepthwise, k)).toBeUndefined();
  });
  test("refuses other groups", () => {
    expect(convDepthwise(convProblem({ c: 4, h: 4, w: 6, m: 6, kernel: three, pads: same, groups: 2 }).spec)).toBeUndefined();
  });
});

describe("streams of convCsr", () => {
  const packed = (k: ConvCase) => convCsr(convProblem(k).spec)!.bindings.flatMap((b) => (b.kind === "packed" ? [b.packed] : []));
  const indices = (k: ConvCase) => packed(k).flatMap((p) => (p.kind === "indices" ? [p] : []));
  test("six bytes a non-zero and two a channel and block", () => {
    const k: ConvCase = { c: 16, h: 8, w: 8, m: 24, kernel: three, pads: same, density: 0.1, input: margin, output: margin };
    const nonzeros = convProblem(k).spec.weights.filter((w) => w !== 0).length;
    const bytes = packed(k).map(packedBytes);
    expect(bytes.reduce((a, b) => a + b)).toBe(6 * nonzeros + 2 * 24);
  });
  test("displacements beyond 16 bits: blocks of channels, then 32 bits", async () => {
    const tall: ConvCase = { c: 41, h: 4, w: 600, m: 3, kernel: three, pads: same, density: 0.2, input: margin, output: margin };
    expect(indices(tall).map((p) => p.expanded)).toEqual(["u16"]);
    const huge: ConvCase = { c: 12, h: 1, w: 3000, m: 3, kernel: one, density: 0.2, input: margin, output: margin };
    expect(indices(huge).map((p) => p.expanded)).toEqual(["u32"]);
    expect(await asWasm(convCsr, huge)).toBeUndefined();
  });
  /** What an artifact holds of packed data: displacements are the loader's to make. */
  const stored = (p: Packed): unknown => (p.kind === "indices" ? [p.columns, p.bound] : p.kind === "counts" ? [p.counts, p.total] : p);
  test("are the same for every target, so that variants share them", () => {
    for (const [c, h, w, kernel] of [
      [512, 13, 13, one],
      [256, 14, 14, one],
      [256, 1, 196, one],
      [128, 28, 28, three],
    ] as const) {
      const k: ConvCase = {
        c,
        h,
        w,
        m: 40,
        kernel,
        pads: kernel === three ? same : [0, 0, 0, 0],
        density: 0.3,
        input: margin,
        output: margin,
      };
      const { spec } = convProblem(k);
      const streams = (target: Capabilities) =>
        convCsr({ ...spec, target })!.bindings.flatMap((b) => (b.kind === "packed" ? [stored(b.packed)] : []));
      expect(streams(relaxed)).toEqual(streams(baseline));
      expect(streams(scalars)).toEqual(streams(baseline));
    }
  });
  test("long rows of many channels are copied tile by tile", () => {
    const k: ConvCase = { n: 2, c: 180, h: 2, w: 29, m: 14, kernel: one, density: 0.8, bias: true, input: margin, output: margin };
    for (const target of [baseline, relaxed, scalars]) {
      const { spec, operand, expected } = convProblem({ ...k, target });
      for (const plan of [undefined, { rows: balanced(2, 2), vectors: balanced(8, 3), channels: balanced(14, 1), block: 50 }]) {
        const lowered = convCsr(plan ? { ...spec, plan } : spec)!;
        expect(lowered.functions.at(-1)!.params.some((p) => p.name === "panel")).toBe(true);
        const result = blank(spec.output);
        runInterpreted(lowered, [operand], [result]);
        expect(mismatch(result, spec.output, expected)).toBeUndefined();
      }
    }
  });
  test("more non-zeros than stay in the cache are cut by output channels", () => {
    const k: ConvCase = { c: 300, h: 2, w: 6, m: 301, kernel: one, density: 0.9, bias: true, input: margin, output: margin };
    expect(indices(k).length).toBe(3);
  });
});
