// Epilogues of convolution templates, at the accumulators and heavy ones over the stored tile: a residual and the number of the element.

import { expect, test } from "vitest";
import type { Epilogue, Lowered } from "../../compiler/lower/template.ts";
import { convDense } from "../../compiler/lower/templates/conv-dense.ts";
import { convDepthwise } from "../../compiler/lower/templates/conv-depthwise.ts";
import { convSparse } from "../../compiler/lower/templates/conv-sparse.ts";

import type { ConvSpec } from "../../compiler/lower/templates/conv-spec.ts";
import { convWinograd } from "../../compiler/lower/templates/conv-winograd.ts";
import { add, advance, binary, cast, i32, load, splat, variable } from "../../ir/kernel/build.ts";
import { baseline, blank, type ConvCase, convProblem, mismatch, place, random, relaxed, scalars } from "./conv-cases.ts";
import { runInterpreted } from "./run-lowered.ts";

/** value (value + residual + first element's number): wrong if applied twice, to another element, or with the wrong coordinates. */
const residual = ({ output }: ConvSpec, heavy: boolean): Epilogue => ({
  params: [{ name: "e0", type: "ptr", access: "read", bytes: output.bytes }],
  bindings: [{ kind: "operand", operand: 1 }],
  heavy,
  saturated: false,
  wholes: false,
  apply(acc, site, keep) {
    const index = site.coords.reduce((sum, c, axis) => add(binary("mul", sum, i32(output.shape[axis]!)), c), i32(0));
    const at = advance(variable("e0", "ptr"), site.offset);
    const number = cast("f32", index);
    const vector = site.lanes === 4;
    const sum = binary("add", load(vector ? "f32x4" : "f32", at, site.displacement), vector ? splat("f32x4", number) : number);
    return binary("mul", keep(binary("add", acc, sum)), acc);
  },
});

const margin = { rows: 1, columns: 1 };
const three = { kernel: [3, 3], pads: [1, 1, 1, 1] } as const;
const CASES: readonly (readonly [string, (s: ConvSpec) => Lowered | undefined, ConvCase])[] = [
  ["dense, padded", convDense, { c: 5, h: 3, w: 9, m: 7, ...three, input: margin, output: margin, bias: true }],
  ["dense, blocks", convDense, { c: 700, h: 2, w: 8, m: 13, kernel: [1, 1], input: margin, output: margin }],
  ["dense, flat, odd width", convDense, { n: 2, c: 5, h: 3, w: 7, m: 13, ...three, input: margin }],
  ["dense, flat, whole vectors", convDense, { c: 5, h: 3, w: 8, m: 4, ...three, input: margin }],
  ["sparse", convSparse, { n: 2, c: 6, h: 5, w: 21, m: 5, ...three, density: 0.3, input: margin, output: margin }],
  ["sparse, flat", convSparse, { c: 6, h: 5, w: 21, m: 5, ...three, density: 0.3, input: margin }],
  ["Winograd", (s) => convWinograd(s, 2), { c: 5, h: 6, w: 11, m: 7, ...three, input: margin, output: margin, bias: true }],
  ["Winograd, flat", (s) => convWinograd(s, 4), { c: 5, h: 6, w: 11, m: 7, ...three, input: margin }],
  ["depthwise", convDepthwise, { c: 5, h: 6, w: 11, m: 5, groups: 5, ...three, input: margin, output: margin }],
];

for (const [name, template, k] of CASES)
  for (const heavy of [false, true])
    test(`${name}${heavy ? ", heavy" : ""}`, () => {
      for (const target of [baseline, relaxed, scalars]) {
        const { spec, operand, expected } = convProblem({ ...k, target });
        const lowered = template({ ...spec, epilogue: residual(spec, heavy) });
        if (!lowered) {
          expect(target, "templates without scalars").toBe(scalars);
          continue;
        }
        const added = Float32Array.from({ length: expected.length }, random(5));
        const result = blank(spec.output);
        runInterpreted(lowered, [operand, place(added, spec.output)], [result]);
        // Lanes of a vector share the number of the first one.
        const width = spec.output.shape[3]!;
        const number = (i: number): number => i - ((i % width) % 4);
        const sums = expected.map((e, i) => (e + added[i]! + number(i)) * e);
        expect(mismatch(result, spec.output, sums)).toBeUndefined();
      }
    });
