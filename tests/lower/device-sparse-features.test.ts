// Products of tokens with sparse weights on devices against sums in f64, as the interpreter runs them thread by thread.

import { expect, test } from "vitest";
import { webgpu } from "../../backends/index.ts";
import type { Capabilities } from "../../compiler/backend.ts";
import { packBlocks } from "../../compiler/lower/device/sparse-blocks.ts";
import { sparseFeatures } from "../../compiler/lower/device/sparse-features.ts";
import { flat, type Storage } from "../../compiler/lower/storage.ts";
import { type Lowered, noEpilogue } from "../../compiler/lower/template.ts";
import type { ConstantMatmulSpec } from "../../compiler/lower/templates/matmul-spec.ts";
import { type Counts, interpret } from "../../ir/kernel/interpret.ts";
import type { Func, Stmt } from "../../ir/kernel/types.ts";
import { blank, mismatch, place, random } from "./conv-cases.ts";
import { buffers, runInterpreted } from "./run-lowered.ts";

const { can } = webgpu.variants.at(-1)!;
/** Room for so many bytes of tokens only: weights are taken in several chunks. */
const small = (sharedBytes: number): Capabilities => ({ ...can, device: { ...can.device!, sharedBytes } });

interface Case {
  readonly leading: readonly number[];
  readonly k: number;
  readonly m: number;
  readonly density: number;
  readonly target?: Capabilities;
  readonly storage?: (shape: readonly number[]) => Storage;
}

const packed = (shape: readonly number[]): Storage => flat({ dtype: "f32", shape });
/** A slice of something wider. */
function slice(shape: readonly number[]): Storage {
  const [width, own] = [shape.at(-1)! + 12, packed(shape)];
  const strides = shape.map(
    (_, axis) => 4 * shape.slice(axis + 1).reduce((a, b, k) => a * (axis + 1 + k === shape.length - 1 ? width : b), 1),
  );
  return { ...own, strides, offset: 32, bytes: (own.bytes / shape.at(-1)!) * width + 64 };
}

function problem({ leading, k, m, density, target = can, storage = packed }: Case) {
  const next = random(k * 10 + m);
  const tokens = leading.reduce((a, b) => a * b, 1);
  const x = Float32Array.from({ length: tokens * k }, next);
  const weights = Float32Array.from({ length: m * k }, () => ((next() + 1) / 2 < density ? next() : 0));
  const expected = new Float64Array(tokens * m);
  for (let t = 0; t < tokens; t++)
    for (let o = 0; o < m; o++) for (let d = 0; d < k; d++) expected[t * m + o]! += weights[o * k + d]! * x[t * k + d]!;
  const [input, output] = [storage([...leading, k]), storage([...leading, m])];
  const spec: ConstantMatmulSpec = { name: "product", side: "right", input, output, weights, epilogue: noEpilogue, target };
  const [starts, columns, values] = [new Uint32Array(m + 1), [] as number[], [] as number[]];
  for (let o = 0; o < m; o++) {
    for (let d = 0; d < k; d++)
      if (weights[o * k + d] !== 0) {
        columns.push(d);
        values.push(weights[o * k + d]!);
      }
    starts[o + 1] = columns.length;
  }
  const nonzeros = {
    rows: m,
    channels: k,
    taps: 1,
    elements: m * k,
    starts,
    columns: Uint32Array.from(columns),
    values: Float32Array.from(values),
  };
  return { spec, nonzeros, operand: place(x, input), expected };
}

const SHAPES = [
  [1, 1],
  [1, 4],
  [4, 1],
  [4, 4],
  [4, 8],
] as const;

const CASES: readonly (readonly [string, Case])[] = [
  ["tokens", { leading: [16], k: 64, m: 32, density: 0.2 }],
  ["few tokens", { leading: [3], k: 32, m: 33, density: 0.2 }],
  ["odd tokens and features", { leading: [11], k: 40, m: 139, density: 0.1 }],
  ["batches", { leading: [2, 3], k: 32, m: 40, density: 0.3 }],
  ["no weights", { leading: [8], k: 32, m: 32, density: 0 }],
  ["all weights", { leading: [5], k: 16, m: 20, density: 1 }],
  ["in chunks", { leading: [9], k: 88, m: 36, density: 0.2, target: small(1024) }],
  ["in slices", { leading: [2, 5], k: 32, m: 36, density: 0.2, storage: slice }],
];

for (const shape of SHAPES)
  test.each(CASES)(`blocks of ${shape.join("x")}: %s`, (_, c) => {
    const { spec, nonzeros, operand, expected } = problem(c);
    for (const vectors of shape[0] === 4 && c.m % 4 === 0 ? [false, true] : [false]) {
      const lowered = sparseFeatures(spec, packBlocks(nonzeros, shape), { vectors })!;
      const result = blank(spec.output);
      runInterpreted(lowered, [operand], [result]);
      expect(mismatch(result, spec.output, expected)).toBeUndefined();
    }
  });

test("loads and multiply-adds are as many as the stored blocks ask for", () => {
  const [tokens, k, m] = [32, 256, 128];
  for (const shape of SHAPES) {
    const { spec, nonzeros, operand } = problem({ leading: [tokens], k, m, density: 0.1 });
    const blocks = packBlocks(nonzeros, shape);
    const lowered = sparseFeatures(spec, blocks, { vectors: false })!;
    const counts: Counts = { loads: 0, sharedLoads: 0, multiplyAdds: 0 };
    const args = buffers(lowered, [operand], [blank(spec.output)]).map((bytes) => ({ bytes }));
    interpret({ functions: lowered.functions, entry: lowered.entry, faults: [] }, lowered.entry, args, { counts });
    const [size, count] = [shape[0] * shape[1], blocks.columns.length];
    expect(counts.multiplyAdds).toBe(size * count * tokens);
    // Every block is read for eight tokens, and so are its inputs; the tokens themselves once.
    const rows = Math.ceil(m / shape[0]);
    expect(counts.loads).toBe(((size + 1) * count + 2 * rows) * (tokens / 8) + tokens * k);
    expect(counts.sharedLoads).toBe(shape[1] * count * tokens);
  }
});

/** The function without its barrier number `n`, counted as they stand. */
function without(func: Func, n: number): Func {
  let seen = 0;
  const walk = (body: readonly Stmt[]): Stmt[] =>
    body.flatMap((s): Stmt[] => {
      if (s.kind === "barrier") return seen++ === n ? [] : [s];
      return "body" in s ? [{ ...s, body: walk(s.body) }] : [s];
    });
  return { ...func, body: walk(func.body) };
}

test("every barrier is needed", () => {
  const { spec, nonzeros, operand } = problem(CASES.find(([name]) => name === "in chunks")![1]);
  const lowered: Lowered = sparseFeatures(spec, packBlocks(nonzeros, [1, 1]), { vectors: false })!;
  const [kernel] = lowered.functions as [Func];
  for (const n of [0, 1]) {
    const changed = { ...lowered, functions: [without(kernel, n)] };
    expect(changed.functions[0]).not.toEqual(kernel);
    expect(() => runInterpreted(changed, [operand], [blank(spec.output)])).toThrow(expect.objectContaining({ code: "kernel-race" }));
  }
});
