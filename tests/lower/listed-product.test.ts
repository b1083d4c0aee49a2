// Products of few rows by lists of words of weights, to the last bit of the formula: every variant, and the generic loops, as interpreted.

import { describe, expect, test } from "vitest";
import { js } from "../../backends/js/index.ts";
import { wasm } from "../../backends/wasm/index.ts";
import type { Capabilities } from "../../compiler/backend.ts";
import { lowerGraph } from "../../compiler/lower/lower.ts";
import { wordLists } from "../../compiler/lower/templates/word-lists.ts";
import { passContext, runPass } from "../../compiler/pass.ts";
import { fuse } from "../../compiler/passes/fuse.ts";
import { type Graph, GraphBuilder } from "../../ir/graph.ts";
import { interpret } from "../../ir/interpret.ts";
import { standardOps } from "../../ir/ops/index.ts";
import type { Tensor } from "../../ir/tensor.ts";
import { weightStore } from "../../ir/weights.ts";
import { noise } from "../support/noise.ts";
import { runLowered } from "../support/run-lowered.ts";

const targets: readonly (readonly [string, Capabilities])[] = [...wasm.variants, ...js.variants].map((v) => [
  v.name,
  { ...v.can, fma: false },
]);

interface Case {
  readonly rows: number;
  readonly depth: number;
  readonly features: number;
  /** Features by inputs of blocks that are zero or not as a whole, of which a part of `zeros` is zero. */
  readonly block: readonly [number, number];
  readonly zeros: number;
  readonly layout?: "bsr-8x4" | "bsr-4x4";
}

interface Values {
  readonly x: Int32Array;
  readonly xScale: Float32Array;
  readonly w: Int8Array;
  readonly wScale: Float32Array;
  readonly bias: Float32Array;
}

const uniform = (n: number, seed: number): Float32Array => noise([n], seed).data as Float32Array;

/** `extreme`: every integer the largest of its kind, of either sign. */
function valuesOf({ rows, depth, features, block: [tall, wide], zeros }: Case, extreme: boolean): Values {
  const across = Math.ceil(depth / wide);
  const kept = uniform(Math.ceil(features / tall) * across, 7).map((u) => (u >= 2 * zeros - 1 ? 1 : 0));
  const between = (u: number, low: number, high: number): number =>
    extreme ? (u < 0 ? low : high) : Math.min(high, low + Math.floor(((u + 1) / 2) * (high - low + 1)));
  const w = Int8Array.from(uniform(features * depth, 3), (u, i) => {
    const [m, k] = [Math.floor(i / depth), i % depth];
    return kept[Math.floor(m / tall) * across + Math.floor(k / wide)] ? between(u, -128, 127) : 0;
  });
  return {
    x: Int32Array.from(uniform(rows * depth, 1), (u) => between(u, -32767, 32767)),
    xScale: uniform(rows, 2).map((u) => 0.001 + 0.1 * Math.abs(u)),
    w,
    wScale: uniform(features, 4).map((u) => 0.001 + 0.1 * Math.abs(u)),
    bias: uniform(features, 6),
  };
}

function graphOf({ rows, depth, features, layout }: Case, v: Values): Graph {
  const b = new GraphBuilder(standardOps, weightStore());
  const params = [b.param("x", "i32", [rows, depth]), b.param("s", "f32", [rows, 1])];
  const operands = [
    ...params,
    b.constant({ dtype: "i8", shape: [features, depth], data: v.w }, layout ? { layout } : {}),
    b.constant({ dtype: "f32", shape: [features, 1], data: v.wScale }),
  ];
  const y = b.value("block_product", operands, { block: depth, zero: 0, limit: 32767 });
  const biased = b.value("relu", [b.value("add", [y, b.constant({ dtype: "f32", shape: [features], data: v.bias })])]);
  return { ops: standardOps, name: "g", params, outputs: [biased], weights: b.weights };
}

/** By the operator's words, in f32. */
function expected({ rows, depth, features }: Case, v: Values): Float32Array {
  const { fround } = Math;
  return Float32Array.from({ length: rows * features }, (_, i) => {
    const [t, m] = [Math.floor(i / features), i % features];
    let dot = 0;
    for (let k = 0; k < depth; k++) dot += v.x[t * depth + k]! * v.w[m * depth + k]!;
    return Math.max(0, fround(fround(fround(fround(dot) * v.xScale[t]!) * v.wScale[m]!) + v.bias[m]!));
  });
}

const CASES: readonly Case[] = [
  { rows: 1, depth: 64, features: 32, block: [8, 4], zeros: 0.7, layout: "bsr-8x4" },
  { rows: 1, depth: 64, features: 44, block: [4, 4], zeros: 0.9, layout: "bsr-4x4" },
  { rows: 2, depth: 40, features: 20, block: [8, 4], zeros: 0.5, layout: "bsr-8x4" },
  { rows: 8, depth: 136, features: 12, block: [1, 1], zeros: 0.9, layout: "bsr-8x4" },
  { rows: 3, depth: 24, features: 4, block: [4, 4], zeros: 0.5, layout: "bsr-8x4" },
  { rows: 1, depth: 32, features: 16, block: [8, 4], zeros: 1, layout: "bsr-8x4" },
  { rows: 1, depth: 48, features: 28, block: [8, 4], zeros: 0.5 },
  { rows: 1, depth: 32800, features: 8, block: [8, 4], zeros: 0.99, layout: "bsr-8x4" },
];

describe.each(targets)("products by lists of words, %s", (_, can) => {
  test.each(CASES)("$rows x $depth by $features, $layout", (c) => {
    for (const extreme of [false, true]) {
      const v = valuesOf(c, extreme);
      const graph = runPass(fuse, graphOf(c, v), passContext());
      const inputs: readonly Tensor[] = [
        { dtype: "i32", shape: [c.rows, c.depth], data: v.x },
        { dtype: "f32", shape: [c.rows, 1], data: v.xScale },
      ];
      const want = [...expected(c, v)];
      expect([...(runLowered(graph, inputs, can)[0]!.data as Float32Array)]).toEqual(want);
      expect([...(runLowered(graph, inputs, { ...can, threads: 3 })[0]!.data as Float32Array)]).toEqual(want);
      interpret(graph, inputs)[0]!.data.forEach((y: number | bigint, i: number) => {
        expect(Math.abs(Number(y) - want[i]!)).toBeLessThanOrEqual(1e-5 * Math.max(1, Math.abs(want[i]!)));
      });
      const kernels = lowerGraph(graph, can).steps.map((s) => (s.kind === "kernel" ? [s.lowered.kernel, s.lowered.format] : []));
      expect(kernels).toEqual([["matmul_i16_i8_lists", c.layout]]);
    }
  });
});

test("lists hold a word where any feature of the group has a weight, and are cut where they are long enough", () => {
  const weights = new Int8Array(12 * 16);
  weights[2 * 16 + 5] = 3;
  weights[11 * 16] = -7;
  const { counts, words, weights: kept, parts } = wordLists(weights, 12, 16, 8, false, 4);
  expect([...counts]).toEqual([1, 1]);
  expect([...words]).toEqual([1, 0]);
  expect([...kept]).toEqual([...Array(8).fill(0), 0, 3, ...Array(22).fill(0), ...Array(12).fill(0), -7, 0, 0, 0]);
  expect(parts.map((p) => [p.features, p.first, p.end, p.group, p.word, p.byte, p.words])).toEqual([
    [8, 0, 8, 0, 0, 0, 1],
    [4, 8, 12, 1, 1, 32, 1],
  ]);
  expect([...wordLists(weights, 12, 16, 4, true, 4).counts]).toEqual([4, 4, 4]);
});
