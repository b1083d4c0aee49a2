// Sparse convolutions with every way of listing taps, against sums in f64: pairs of channels, blocks, channels in turn.

import { describe, expect, test } from "vitest";
import type { Epilogue } from "../../compiler/lower/template.ts";
import { convSparse } from "../../compiler/lower/templates/conv-sparse.ts";
import { type Grouping, listed, pairs, single, together, zipped } from "../../compiler/lower/templates/tap-lists.ts";
import { balanced } from "../../compiler/lower/templates/tiles.ts";
import { add, advance, binary, cast, i32, load, splat, variable } from "../../ir/kernel/build.ts";
import { baseline, blank, type ConvCase, convProblem, mismatch, place, random, relaxed, scalars } from "./conv-cases.ts";
import { margin, one, SHAPES, same, three } from "./conv-shapes.ts";
import { runInterpreted, runWasm } from "./run-lowered.ts";

const GROUPINGS: readonly (readonly [string, Grouping])[] = [
  ["one by one", single],
  ["pairs", pairs],
  ["two together", together(2)],
  ["four together", together(4)],
  ["two in turn", zipped(2)],
  ["four in turn", zipped(4)],
];

/** Channels of different groups of a convolution share no taps. */
const fits = (k: ConvCase, g: Grouping): boolean => g.sorted || (k.m / (k.groups ?? 1)) % g.rows === 0 || (k.groups ?? 1) === 1;

function interpreted(k: ConvCase, grouping: Grouping, plan?: boolean): string | undefined {
  const { spec, operand, expected } = convProblem(k);
  const cut = (extent: number) => balanced(extent, 2);
  const tiles = { rows: cut(spec.output.shape[2]!), vectors: cut(Math.ceil(spec.output.shape[3]! / 4)), channels: cut(k.m), block: 2 };
  const result = blank(spec.output);
  runInterpreted(convSparse({ ...spec, grouping, ...(plan ? { plan: tiles } : {}) })!, [operand], [result]);
  return mismatch(result, spec.output, expected);
}

for (const [name, grouping] of GROUPINGS)
  describe(name, () => {
    test.each(SHAPES.filter(([, k]) => fits(k, grouping)))("%s", (_, k) => {
      for (const density of [0, 0.3, 0.8]) expect(interpreted({ ...k, density }, grouping)).toBeUndefined();
      for (const target of [relaxed, scalars]) expect(interpreted({ ...k, density: 0.5, target }, grouping)).toBeUndefined();
    });
    test("blocks of channels, whose partial sums wait in scratch", () => {
      for (const [, k] of SHAPES) if (fits(k, grouping)) expect(interpreted({ ...k, density: 0.6 }, grouping, true)).toBeUndefined();
    });
    test("as wasm, in several parts", async () => {
      const wide: ConvCase = { c: 300, h: 2, w: 6, m: 303, kernel: one, density: 0.5, bias: true, input: margin, output: margin };
      for (const k of [wide, { ...wide, c: 20, m: 31, kernel: three, pads: same }] as const) {
        const { spec, operand, expected } = convProblem(k);
        const result = blank(spec.output);
        await runWasm(convSparse({ ...spec, grouping })!, baseline, [operand], [result]);
        expect(mismatch(result, spec.output, expected)).toBeUndefined();
      }
    });
    test("what follows finds the channel that it is at", () => {
      const { spec, operand, expected } = convProblem({ c: 9, h: 2, w: 5, m: 7, kernel: one, density: 0.5, output: margin });
      const channelAndResidual: Epilogue = {
        params: [{ name: "e0", type: "ptr", access: "read", bytes: spec.output.bytes }],
        bindings: [{ kind: "operand", operand: 1 }],
        heavy: false,
        saturated: false,
        wholes: false,
        apply(acc, site) {
          const at = advance(variable("e0", "ptr"), site.offset);
          const code = cast("f32", add(binary("mul", site.coords[1]!, i32(10)), site.coords[2]!));
          return site.lanes === 1
            ? add(add(acc, code), load("f32", at, site.displacement))
            : add(add(acc, splat("f32x4", code)), load("f32x4", at, site.displacement));
        },
      };
      const residual = Float32Array.from({ length: expected.length }, random(5));
      const result = blank(spec.output);
      const lowered = convSparse({ ...spec, grouping, epilogue: channelAndResidual })!;
      runInterpreted(lowered, [operand, place(residual, spec.output)], [result]);
      const sums = expected.map((e, i) => e + residual[i]! + 10 * Math.floor(i / 10) + (Math.floor(i / 5) % 2));
      expect(mismatch(result, spec.output, sums)).toBeUndefined();
    });
  });

test("taps that two channels share come first, once; blocks name each tap once; turns are as long as the shortest", () => {
  const rows = [
    [1, 2, 5, 7],
    [0, 2, 7, 9],
  ];
  expect(listed(pairs, rows)).toEqual([
    [2, 7],
    [1, 5],
    [0, 9],
  ]);
  expect(listed(together(2), rows)).toEqual([[0, 1, 2, 5, 7, 9]]);
  expect(listed(zipped(2), [[1, 2, 5], [0]])).toEqual([[1, 0], [2, 5], []]);
});

test("the cheapest way is chosen: pairs for few zeros, blocks for blocks, turns for few columns", () => {
  const groupingOf = (k: Partial<ConvCase>): string =>
    convSparse(convProblem({ c: 64, h: 1, w: 64, m: 32, kernel: one, output: margin, ...k }).spec)!.why.replace(/^.*the others(, )?/, "");
  expect(groupingOf({ density: 0.9 })).toBe("two output channels at a time");
  expect(groupingOf({ density: 0.1 })).toBe("");
  expect(groupingOf({ density: 0.2, block: [4, 1] })).toMatch(/^\d output channels share their taps$/);
  expect(groupingOf({ density: 0.2, w: 4 })).toBe("4 output channels in turn");
  expect(groupingOf({ density: 0.2, w: 8 })).toBe("2 output channels in turn");
});

test("short rows that end within a vector are put end to end", async () => {
  for (const [h, w, c, input, output] of [
    [14, 14, 7, margin, margin],
    [7, 7, 9, margin, undefined],
    [9, 5, 3, undefined, margin],
    [5, 13, 40, margin, margin],
    [6, 3, 5, undefined, undefined],
  ] as const)
    for (const target of [baseline, relaxed, scalars]) {
      const storages = { ...(input ? { input } : {}), ...(output ? { output } : {}) };
      const k: ConvCase = { n: 2, c, h, w, m: 24, kernel: one, density: 0.6, bias: true, target, ...storages };
      const { spec, operand, expected } = convProblem(k);
      const lowered = convSparse({ ...spec, grouping: single })!;
      expect(lowered.functions.at(-1)!.params.some((p) => p.name === "panel")).toBe(true);
      const result = blank(spec.output);
      runInterpreted(lowered, [operand], [result]);
      expect(mismatch(result, spec.output, expected)).toBeUndefined();
    }
  const { spec, operand, expected } = convProblem({ c: 600, h: 7, w: 7, m: 20, kernel: one, density: 0.5, input: margin, output: margin });
  const result = blank(spec.output);
  await runWasm(convSparse({ ...spec, grouping: single })!, baseline, [operand], [result]);
  expect(mismatch(result, spec.output, expected)).toBeUndefined();
});
