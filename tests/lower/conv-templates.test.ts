// The convolution templates against sums in f64: many shapes in the interpreter, where every access is checked, larger ones as wasm.

import { describe, expect, test } from "vitest";
import type { Capabilities } from "../../compiler/backend.ts";
import { type Lowered, type Packed, packedBytes } from "../../compiler/lower/template.ts";
import { convDense } from "../../compiler/lower/templates/conv-dense.ts";
import { convDepthwise } from "../../compiler/lower/templates/conv-depthwise.ts";
import { convSparse } from "../../compiler/lower/templates/conv-sparse.ts";
import type { ConvSpec } from "../../compiler/lower/templates/conv-spec.ts";
import { balanced } from "../../compiler/lower/templates/tiles.ts";
import { baseline, blank, type ConvCase, convProblem, mismatch, relaxed, scalars } from "./conv-cases.ts";
import { margin, one, SHAPES, same, three, wide } from "./conv-shapes.ts";
import { runInterpreted, runWasm } from "./run-lowered.ts";

type Template = (spec: ConvSpec) => Lowered | undefined;

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
  ["convSparse", convSparse],
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

describe("streams of convSparse", () => {
  const packed = (k: ConvCase) => convSparse(convProblem(k).spec)!.bindings.flatMap((b) => (b.kind === "packed" ? [b.packed] : []));
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
    expect(await asWasm(convSparse, huge)).toBeUndefined();
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
        convSparse({ ...spec, target })!.bindings.flatMap((b) => (b.kind === "packed" ? [stored(b.packed)] : []));
      expect(streams(relaxed)).toEqual(streams(baseline));
      expect(streams(scalars)).toEqual(streams(baseline));
    }
  });
  test("long rows of many channels are copied tile by tile", () => {
    const k: ConvCase = { n: 2, c: 220, h: 2, w: 29, m: 14, kernel: one, density: 0.8, bias: true, input: margin, output: margin };
    for (const target of [baseline, relaxed, scalars]) {
      const { spec, operand, expected } = convProblem({ ...k, target });
      for (const plan of [undefined, { rows: balanced(2, 2), vectors: balanced(8, 3), channels: balanced(14, 1), block: 50 }]) {
        const lowered = convSparse(plan ? { ...spec, plan } : spec)!;
        expect(lowered.functions.at(-1)!.params.some((p) => p.name === "panel")).toBe(true);
        const result = blank(spec.output);
        runInterpreted(lowered, [operand], [result]);
        expect(mismatch(result, spec.output, expected)).toBeUndefined();
      }
    }
  });
  test("more non-zeros than stay in the cache, or that threads may share, are cut by output channels", () => {
    const k: ConvCase = { c: 300, h: 2, w: 6, m: 301, kernel: one, density: 0.9, bias: true, input: margin, output: margin };
    expect(indices({ ...k, m: 300 }).length).toBe(4);
    expect(indices({ ...k, m: 300, h: 8, w: 57 }).length).toBe(3);
    // What is left of a group is a part of its own.
    expect(indices({ ...k, h: 8, w: 57 }).length).toBe(4);
  });
});
