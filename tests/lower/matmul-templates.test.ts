// The matrix product templates against sums in f64: constant weights on either side, sparse and dense, and products of activations.

import { describe, expect, test } from "vitest";
import type { Capabilities } from "../../compiler/backend.ts";
import { features as featureRows, flat, type Storage } from "../../compiler/lower/storage.ts";
import { type Epilogue, type Lowered, noEpilogue } from "../../compiler/lower/template.ts";
import { matmulDense, matmulDynamic } from "../../compiler/lower/templates/matmul-dense.ts";
import { matmulFeatures, matmulSparse } from "../../compiler/lower/templates/matmul-features.ts";
import type { ConstantMatmulSpec } from "../../compiler/lower/templates/matmul-spec.ts";
import { add, advance, binary, cast, f32, i32, load, max, splat, variable } from "../../ir/kernel/build.ts";
import { baseline, blank, mismatch, place, random, relaxed, scalars } from "./conv-cases.ts";
import { runInterpreted, runWasm } from "./run-lowered.ts";

const storage = (shape: readonly number[]): Storage => flat({ dtype: "f32", shape });

/** The last two axes in the other order in memory, with room for whole vectors of the last but one. */
function transposed(shape: readonly number[]): Storage {
  const [r, c] = shape.slice(-2) as [number, number];
  const pitch = Math.ceil(r / 4) * 16;
  const leading = shape.slice(0, -2);
  const image = c * pitch;
  const strides = leading.map((_, axis) => leading.slice(axis + 1).reduce((a, b) => a * b, image));
  const bytes = leading.reduce((a, b) => a * b, image) + 16;
  return { name: "tokens", dtype: "f32", shape, strides: [...strides, 4, pitch], offset: 16, bytes, zeroed: true };
}

const features = (shape: readonly number[]): Storage => featureRows({ dtype: "f32", shape });

interface Constant {
  readonly side: "left" | "right";
  /** Leading axes, tokens, depth, features. */
  readonly leading?: readonly number[];
  readonly t: number;
  readonly k: number;
  readonly m: number;
  readonly density?: number;
  readonly bias?: boolean;
  readonly input?: (shape: readonly number[]) => Storage;
  readonly output?: (shape: readonly number[]) => Storage;
  readonly target?: Capabilities;
}

function problem(p: Constant) {
  const next = random(p.t * 100 + p.k * 10 + p.m);
  const { leading = [], t, k, m, density = 1, side } = p;
  const images = leading.reduce((a, b) => a * b, 1);
  const right = side === "right";
  const input = (p.input ?? storage)([...leading, ...(right ? [t, k] : [k, t])]);
  const output = (p.output ?? storage)([...leading, ...(right ? [t, m] : [m, t])]);
  const x = Float32Array.from({ length: images * t * k }, next);
  const weights = Float32Array.from({ length: m * k }, () => ((next() + 1) / 2 < density ? next() : 0));
  const bias = p.bias ? Float32Array.from({ length: m }, next) : undefined;
  const expected = new Float64Array(images * t * m);
  for (let n = 0; n < images; n++)
    for (let i = 0; i < t; i++)
      for (let o = 0; o < m; o++) {
        let sum = bias?.[o] ?? 0;
        for (let d = 0; d < k; d++) sum += weights[o * k + d]! * x[right ? (n * t + i) * k + d : (n * k + d) * t + i]!;
        expected[right ? (n * t + i) * m + o : (n * m + o) * t + i] = sum;
      }
  const spec: ConstantMatmulSpec = {
    name: "product",
    side,
    input,
    output,
    weights,
    ...(bias ? { bias } : {}),
    epilogue: noEpilogue,
    target: p.target ?? baseline,
  };
  return { spec, operand: place(x, input), expected };
}

type Template = (spec: ConstantMatmulSpec) => Lowered | undefined;
const RIGHT: readonly (readonly [string, Constant])[] = [
  ["one token", { side: "right", t: 1, k: 9, m: 10, bias: true }],
  ["tokens", { side: "right", t: 7, k: 5, m: 12 }],
  ["odd features", { side: "right", t: 6, k: 8, m: 13, bias: true }],
  ["batch", { side: "right", leading: [2, 3], t: 5, k: 4, m: 6, bias: true }],
  ["one feature", { side: "right", t: 5, k: 6, m: 1 }],
  ["depth 1", { side: "right", t: 3, k: 1, m: 5 }],
  ["wide", { side: "right", t: 3, k: 3, m: 70 }],
];
const LEFT: readonly (readonly [string, Constant])[] = [
  ["tokens last", { side: "left", t: 12, k: 5, m: 7, bias: true }],
  ["tokens last, odd", { side: "left", t: 13, k: 6, m: 3 }],
  ["tokens last, batch", { side: "left", leading: [3], t: 9, k: 4, m: 5, bias: true }],
  ["one token last", { side: "left", t: 1, k: 5, m: 6 }],
];
const TOKENS: readonly (readonly [string, Constant])[] = [
  ["tokens contiguous", { side: "right", t: 9, k: 6, m: 7, bias: true, input: transposed, output: transposed }],
  ["tokens contiguous, then not", { side: "right", t: 8, k: 6, m: 7, input: transposed }],
];

function check(template: Template, p: Constant, epilogue?: Epilogue): string | undefined {
  const { spec, operand, expected } = problem(p);
  const lowered = template(epilogue ? { ...spec, epilogue } : spec);
  if (!lowered) return "refused";
  const result = blank(spec.output);
  runInterpreted(lowered, [operand], [result]);
  return mismatch(result, spec.output, expected);
}

describe("matmulDense", () => {
  for (const [name, p] of [...RIGHT, ...TOKENS])
    for (const target of [baseline, relaxed, scalars]) test(name, () => expect(check(matmulDense, { ...p, target })).toBeUndefined());
  test("refuses constant weights on the left", () => expect(matmulDense(problem(LEFT[0]![1]).spec)).toBeUndefined());
  test("as wasm", async () => {
    for (const [, p] of [["large", { side: "right", t: 33, k: 130, m: 65, bias: true }] as const, ...RIGHT]) {
      const { spec, operand, expected } = problem(p);
      const result = blank(spec.output);
      await runWasm(matmulDense(spec)!, baseline, [operand], [result]);
      expect(mismatch(result, spec.output, expected)).toBeUndefined();
    }
  });
});

describe("matmulSparse", () => {
  for (const [name, p] of [...RIGHT, ...LEFT, ...TOKENS])
    for (const density of [0, 0.3, 1])
      test(`${name}, density ${density}`, () => expect(check(matmulSparse, { ...p, density })).toBeUndefined());
});

describe("matmulFeatures", () => {
  for (const [name, p] of [...LEFT.slice(0, 3), TOKENS[0]!]) test(name, () => expect(check(matmulFeatures, p)).toBeUndefined());
  const MANY: readonly (readonly [string, Constant])[] = [
    ["features in several parts", { side: "right", t: 6, k: 300, m: 301 }],
    ["tokens copied tile by tile", { side: "right", t: 45, k: 7, m: 13 }],
    ["both", { side: "right", t: 41, k: 260, m: 400 }],
  ];
  for (const [name, p] of MANY)
    test(name, async () => {
      const { spec, operand, expected } = problem({ ...p, input: features, output: features });
      const lowered = matmulFeatures(spec)!;
      const [once, again] = [blank(spec.output), blank(spec.output)];
      await runWasm(lowered, baseline, [operand], [once]);
      expect(mismatch(once, spec.output, expected)).toBeUndefined();
      if (expected.length * p.k > 100_000) return;
      runInterpreted(lowered, [operand], [again]);
      expect(mismatch(again, spec.output, expected)).toBeUndefined();
    });
  test("refuses tokens that are not contiguous", () => expect(matmulFeatures(problem(RIGHT[1]![1]).spec)).toBeUndefined());
});

describe("matmulDynamic", () => {
  interface Dynamic {
    readonly a: readonly number[];
    readonly b: readonly number[];
    readonly out: readonly number[];
    readonly aStorage?: typeof transposed;
    readonly bStorage?: typeof transposed;
  }
  const CASES: readonly (readonly [string, Dynamic])[] = [
    ["square", { a: [8, 8], b: [8, 8], out: [8, 8] }],
    ["odd", { a: [5, 3], b: [3, 7], out: [5, 7] }],
    ["one row", { a: [1, 6], b: [6, 9], out: [1, 9] }],
    ["heads", { a: [2, 3, 5, 4], b: [2, 3, 4, 8], out: [2, 3, 5, 8] }],
    ["broadcast b over heads", { a: [2, 3, 5, 4], b: [2, 1, 4, 6], out: [2, 3, 5, 6] }],
    ["broadcast a", { a: [5, 4], b: [2, 3, 4, 6], out: [2, 3, 5, 6] }],
    ["one b for a batch", { a: [3, 5, 4], b: [4, 8], out: [3, 5, 8] }],
    ["one b of more axes", { a: [3, 5, 4], b: [1, 4, 8], out: [3, 5, 8] }],
    ["b transposed", { a: [2, 5, 6], b: [2, 6, 8], out: [2, 5, 8], bStorage: transposed }],
    ["both transposed", { a: [2, 5, 6], b: [2, 6, 7], out: [2, 5, 7], aStorage: transposed, bStorage: transposed }],
    ["column", { a: [6, 5], b: [5, 1], out: [6, 1] }],
  ];
  const count = (shape: readonly number[]): number => shape.reduce((x, y) => x * y, 1);
  /** Row-major number in `shape`, broadcast, of an element of the leading axes of `out`. */
  const batchOf = (shape: readonly number[], out: readonly number[], number: number): number => {
    let [rest, found, step] = [number, 0, 1];
    for (let axis = out.length - 3, own = shape.length - 3; own >= 0; axis--, own--) {
      const i = rest % out[axis]!;
      rest = Math.floor(rest / out[axis]!);
      found += (shape[own] === 1 ? 0 : i) * step;
      step *= shape[own]!;
    }
    return found;
  };
  for (const [name, c] of CASES)
    for (const target of [baseline, relaxed])
      test(`${name}${target.fma ? ", relaxed" : ""}`, () => {
        const next = random(count(c.a));
        const [x, w] = [Float32Array.from({ length: count(c.a) }, next), Float32Array.from({ length: count(c.b) }, next)];
        const [m, n, depth] = [c.out.at(-2)!, c.out.at(-1)!, c.a.at(-1)!];
        const expected = Float64Array.from({ length: count(c.out) }, (_, i) => {
          const batch = Math.floor(i / (m * n));
          const [row, column] = [Math.floor(i / n) % m, i % n];
          const [xa, wb] = [batchOf(c.a, c.out, batch) * m * depth, batchOf(c.b, c.out, batch) * depth * n];
          let sum = 0;
          for (let d = 0; d < depth; d++) sum += x[xa + row * depth + d]! * w[wb + d * n + column]!;
          return sum;
        });
        const [a, b, output] = [(c.aStorage ?? storage)(c.a), (c.bStorage ?? storage)(c.b), storage(c.out)];
        const lowered = matmulDynamic({ name: "product", a, b, output, epilogue: noEpilogue, target })!;
        const result = blank(output);
        runInterpreted(lowered, [place(x, a), place(w, b)], [result]);
        expect(mismatch(result, output, expected)).toBeUndefined();
      });
});

/** Adds the coordinates' code, and a residual read at the site: wrong if either is. */
const codeOf = (shape: readonly number[], coords: readonly number[]): number => coords.reduce((sum, c, axis) => sum * shape[axis]! + c, 0);
describe("epilogues", () => {
  const code = (shape: readonly number[], heavy: boolean): Epilogue => ({
    params: [{ name: "e0", type: "ptr", access: "read", bytes: storage(shape).bytes }],
    bindings: [{ kind: "operand", operand: 1 }],
    heavy,
    saturated: false,
    wholes: false,
    apply(acc, site, keep) {
      const index = site.coords.reduce((sum, c, axis) => add(binary("mul", sum, i32(shape[axis]!)), c), i32(0));
      const at = advance(variable("e0", "ptr"), site.offset);
      if (site.lanes === 1)
        return max(binary("add", binary("add", acc, cast("f32", index)), load("f32", at, site.displacement)), f32(-1e9));
      const kept = keep(binary("add", acc, splat("f32x4", cast("f32", index))));
      return binary("add", kept, load("f32x4", at, site.displacement));
    },
  });
  const cases: readonly (readonly [string, Template, Constant])[] = [
    ["matmulDense", matmulDense, { side: "right", leading: [2, 3], t: 5, k: 4, m: 6, bias: true }],
    ["matmulSparse", matmulSparse, { side: "right", leading: [2, 3], t: 5, k: 4, m: 6, density: 0.5 }],
    ["matmulSparse left", matmulSparse, { side: "left", leading: [2], t: 11, k: 4, m: 6, density: 0.5 }],
    ["matmulFeatures", matmulFeatures, { side: "left", leading: [2], t: 11, k: 4, m: 6 }],
  ];
  const both = cases.flatMap((c) => [false, true].map((heavy) => [...c, heavy] as const));
  for (const [name, template, p, heavy] of both)
    test(`${name}${heavy ? ", heavy" : ""}`, () => {
      const { spec, operand, expected } = problem(p);
      const shape = spec.output.shape;
      const lowered = template({ ...spec, epilogue: code(shape, heavy) })!;
      const residual = Float32Array.from({ length: expected.length }, random(5));
      const result = blank(spec.output);
      runInterpreted(lowered, [operand, place(residual, spec.output)], [result]);
      // Lanes of a vector share the code of the first one.
      const width = shape.at(-1)!;
      const scattered = spec.side === "right" && template === matmulSparse;
      const sums = expected.map((e, i) => {
        const column = i % width;
        const first = scattered ? column : column - (column % 4);
        const coords = shape.map((_, axis) => Math.floor(i / shape.slice(axis + 1).reduce((a, b) => a * b, 1)) % shape[axis]!);
        return e + residual[i]! + codeOf(shape, [...coords.slice(0, -1), first]);
      });
      expect(mismatch(result, spec.output, sums)).toBeUndefined();
    });
});
