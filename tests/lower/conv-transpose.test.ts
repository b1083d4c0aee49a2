// Transposed convolution, phase by phase, against what each input element spreads, in f64; in the interpreter, which checks every access.

import { describe, expect, test } from "vitest";
import { flat, type Margin, rows } from "../../compiler/lower/storage.ts";
import { type Epilogue, noEpilogue } from "../../compiler/lower/template.ts";
import { type ConvTransposeSpec, convTranspose, marginOfPhases } from "../../compiler/lower/templates/conv-transpose.ts";
import { add, binary, cast, i32, splat } from "../../ir/kernel/build.ts";
import { baseline, blank, mismatch, place, random, relaxed, scalars } from "./conv-cases.ts";
import { runInterpreted } from "./run-lowered.ts";

interface Case {
  readonly shape: readonly [number, number, number, number];
  readonly m: number;
  readonly kernel: readonly [number, number];
  readonly strides: readonly [number, number];
  readonly pads?: readonly [number, number, number, number];
  readonly extra?: readonly [number, number];
  readonly groups?: number;
  readonly output?: Margin;
  readonly bias?: boolean;
}

const CASES: Readonly<Record<string, Case>> = {
  "2x2 by 2": { shape: [1, 3, 3, 5], m: 4, kernel: [2, 2], strides: [2, 2], bias: true },
  "3x3 by 2, padded": { shape: [2, 2, 3, 4], m: 3, kernel: [3, 3], strides: [2, 2], pads: [1, 1, 1, 1], extra: [1, 1], bias: true },
  "4x4 by 2, padded": { shape: [1, 3, 4, 9], m: 2, kernel: [4, 4], strides: [2, 2], pads: [1, 1, 1, 1], output: { rows: 1, columns: 1 } },
  "5x5 by 3, more cut than padded": { shape: [1, 2, 4, 4], m: 2, kernel: [5, 5], strides: [3, 3], pads: [4, 3, 2, 4] },
  "1x1 by 2: outputs that nothing reaches": { shape: [1, 2, 3, 3], m: 2, kernel: [1, 1], strides: [2, 2], extra: [1, 0], bias: true },
  "2x3 by 3: some columns": { shape: [1, 2, 2, 3], m: 2, kernel: [2, 3], strides: [1, 3], output: { rows: 0, columns: 2 } },
  "3x3 by 1": { shape: [1, 2, 4, 6], m: 3, kernel: [3, 3], strides: [1, 1], pads: [1, 0, 1, 2], output: { rows: 1, columns: 1 } },
  "rows by 2": { shape: [1, 2, 3, 6], m: 2, kernel: [2, 1], strides: [2, 1], output: { rows: 1, columns: 1 } },
  "2 groups": { shape: [1, 4, 3, 3], m: 6, kernel: [3, 2], strides: [2, 2], groups: 2 },
  depthwise: { shape: [1, 3, 4, 5], m: 3, kernel: [4, 4], strides: [2, 2], pads: [1, 1, 1, 1], groups: 3 },
};

function problem(k: Case, target: ConvTransposeSpec["target"]) {
  const [n, c, h, w] = k.shape;
  const { m, kernel, strides, groups = 1, pads = [0, 0, 0, 0], extra = [0, 0] } = k;
  const [top, left, bottom, right] = pads;
  const ho = strides[0] * (h - 1) + extra[0] + kernel[0] - top - bottom;
  const wo = strides[1] * (w - 1) + extra[1] + kernel[1] - left - right;
  const next = random(3);
  const [perIn, perOut] = [c / groups, m / groups];
  const x = Float32Array.from({ length: n * c * h * w }, next);
  const weights = Float32Array.from({ length: c * perOut * kernel[0] * kernel[1] }, next);
  const bias = k.bias ? Float32Array.from({ length: m }, next) : undefined;
  const expected = Float64Array.from({ length: n * m * ho * wo }, (_, i) => bias?.[Math.floor(i / (ho * wo)) % m] ?? 0);
  x.forEach((value, i) => {
    const [ix, iy, channel, image] = [i % w, Math.floor(i / w) % h, Math.floor(i / (w * h)) % c, Math.floor(i / (w * h * c))];
    for (let o = 0; o < perOut; o++)
      for (let ky = 0; ky < kernel[0]; ky++)
        for (let kx = 0; kx < kernel[1]; kx++) {
          const [oy, ox] = [iy * strides[0] + ky - top, ix * strides[1] + kx - left];
          if (oy < 0 || oy >= ho || ox < 0 || ox >= wo) continue;
          const to = Math.floor(channel / perIn) * perOut + o;
          expected[((image * m + to) * ho + oy) * wo + ox]! += value * weights[((channel * perOut + o) * kernel[0] + ky) * kernel[1] + kx]!;
        }
  });
  const margin = marginOfPhases({ kernel, strides, pads }, k.shape, [n, m, ho, wo]);
  const output = { dtype: "f32", shape: [n, m, ho, wo] } as const;
  const make = (input: ConvTransposeSpec["input"], epilogue: Epilogue) => ({
    spec: {
      name: "spread",
      input,
      output: k.output ? rows(output, k.output) : flat(output),
      weights,
      kernel,
      strides,
      pads,
      groups,
      ...(bias ? { bias } : {}),
      epilogue,
      target,
    } satisfies ConvTransposeSpec,
    operand: place(x, input),
  });
  const type = { dtype: "f32", shape: k.shape } as const;
  return { make, inputs: [rows(type, margin), flat(type)], expected, wo };
}

/** Adds the column's number: lanes that are taken at once share that of the first one. */
const column: Epilogue = {
  ...noEpilogue,
  apply: (acc, { coords, lanes }) => {
    const number = cast("f32", add(coords[3]!, binary("mul", coords[2]!, i32(100))));
    return binary("add", acc, lanes === 4 ? splat("f32x4", number) : number);
  },
};

describe.each(Object.entries(CASES))("%s", (_, k) => {
  test.each([
    ["baseline", baseline],
    ["relaxed", relaxed],
    ["scalars", scalars],
  ])("%s", (_, target) => {
    const { make, inputs, expected } = problem(k, target);
    for (const input of inputs) {
      const { spec, operand } = make(input, noEpilogue);
      const result = blank(spec.output);
      runInterpreted(convTranspose(spec)!, [operand], [result]);
      expect(mismatch(result, spec.output, expected)).toBeUndefined();
    }
  });
  test("what follows knows its place", () => {
    const { make, inputs, expected, wo } = problem(k, baseline);
    const { spec, operand } = make(inputs[0]!, column);
    const result = blank(spec.output);
    runInterpreted(convTranspose(spec)!, [operand], [result]);
    const [, step] = k.strides;
    const sums = expected.map((e, i) => {
      const x = i % wo;
      const first = (x % step) + step * (Math.floor(x / step) - (Math.floor(x / step) % 4));
      return e + first + 100 * (Math.floor(i / wo) % spec.output.shape[2]!);
    });
    expect(mismatch(result, spec.output, sums)).toBeUndefined();
  });
});
