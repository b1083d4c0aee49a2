// Products of small integers in blocks, to the last bit of the formula: templates of each variant, and the generic loops, as interpreted.

import { describe, expect, test } from "vitest";
import { js } from "../../backends/js/index.ts";
import { wasm } from "../../backends/wasm/index.ts";
import type { Capabilities } from "../../compiler/backend.ts";
import { lowerGraph } from "../../compiler/lower/lower.ts";
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
  readonly bits: 4 | 8;
  /** A scale, and a zero point, for each block; else one to a row, and one for all. */
  readonly scaled: boolean;
  readonly centred: "blocks" | "rows" | false;
  readonly limit: number;
}

interface Values {
  readonly x: Int8Array;
  readonly xScale: Float32Array;
  readonly w: Uint8Array;
  readonly wScale: Float32Array;
  readonly zeros: Uint8Array;
  readonly bias: Float32Array;
}

/** `extreme`: every integer the largest of its kind, of either sign. */
function valuesOf({ rows, depth, features, bits, scaled, centred, limit }: Case, extreme: boolean): Values {
  const blocks = depth / 32;
  const between = (n: number, low: number, high: number, seed: number): number[] =>
    Array.from(noise([n], seed).data as Float32Array, (u) =>
      extreme ? (u < 0 ? low : high) : Math.min(high, low + Math.floor(((u + 1) / 2) * (high - low + 1))),
    );
  const scales = (n: number, seed: number): Float32Array => (noise([n], seed).data as Float32Array).map((u) => 0.001 + 0.1 * Math.abs(u));
  const top = 2 ** bits - 1;
  return {
    x: Int8Array.from(between(rows * depth, -limit, Math.min(limit, 127), 1)),
    xScale: scales(rows * blocks, 2),
    w: Uint8Array.from(between(features * depth, 0, top, 3)),
    wScale: scales(scaled ? features * blocks : features, 4),
    zeros: Uint8Array.from(centred ? between(features * (centred === "rows" ? 1 : blocks), 0, top, 5) : [2 ** (bits - 1)]),
    bias: noise([features], 6).data as Float32Array,
  };
}

function graphOf({ rows, depth, features, bits, scaled, centred, limit }: Case, v: Values): Graph {
  const b = new GraphBuilder(standardOps, weightStore());
  const dtype = bits === 4 ? "u4" : "u8";
  const blocks = depth / 32;
  const params = [b.param("x", "i8", [rows, depth]), b.param("s", "f32", [rows, blocks])];
  const operands = [
    ...params,
    b.constant({ dtype, shape: [features, depth], data: v.w }),
    b.constant({ dtype: "f32", shape: [features, scaled ? blocks : 1], data: v.wScale }),
    ...(centred ? [b.constant({ dtype, shape: [features, centred === "rows" ? 1 : blocks], data: v.zeros })] : []),
  ];
  const y = b.value("block_product", operands, { block: 32, zero: centred ? 0 : v.zeros[0]!, limit });
  const biased = b.value("relu", [b.value("add", [y, b.constant({ dtype: "f32", shape: [features], data: v.bias })])]);
  return { ops: standardOps, name: "g", params, outputs: [biased], weights: b.weights };
}

/** By the operator's words, in f32. */
function expected({ rows, depth, features, scaled, centred }: Case, v: Values): Float32Array {
  const blocks = depth / 32;
  const { fround } = Math;
  const out = new Float32Array(rows * features);
  for (let t = 0; t < rows; t++)
    for (let m = 0; m < features; m++) {
      let sum = 0;
      for (let b = 0; b < blocks; b++) {
        let dot = 0;
        for (let k = 32 * b; k < 32 * (b + 1); k++)
          dot += v.x[t * depth + k]! * (v.w[m * depth + k]! - v.zeros[centred === "rows" ? m : centred ? m * blocks + b : 0]!);
        const scale = v.xScale[t * blocks + b]!;
        sum = fround(sum + fround(dot * (scaled ? fround(scale * v.wScale[m * blocks + b]!) : scale)));
      }
      const y = scaled ? sum : fround(sum * v.wScale[m]!);
      out[t * features + m] = Math.max(0, fround(y + v.bias[m]!));
    }
  return out;
}

const CASES: readonly Case[] = [
  { rows: 1, depth: 64, features: 16, bits: 4, scaled: true, centred: false, limit: 127 },
  { rows: 1, depth: 96, features: 36, bits: 4, scaled: true, centred: "blocks", limit: 128 },
  { rows: 3, depth: 32, features: 20, bits: 4, scaled: false, centred: false, limit: 127 },
  { rows: 1, depth: 64, features: 16, bits: 8, scaled: false, centred: false, limit: 63 },
  { rows: 2, depth: 160, features: 28, bits: 8, scaled: true, centred: "blocks", limit: 64 },
  { rows: 1, depth: 64, features: 20, bits: 8, scaled: false, centred: "rows", limit: 63 },
  { rows: 5, depth: 64, features: 12, bits: 8, scaled: false, centred: false, limit: 128 },
];

describe.each(targets)("products of blocks, %s", (_, can) => {
  test.each(CASES)("$rows x $depth by $features rows of $bits bits, limit $limit", (c) => {
    for (const extreme of [false, true]) {
      const v = valuesOf(c, extreme);
      const graph = runPass(fuse, graphOf(c, v), passContext());
      const inputs: readonly Tensor[] = [
        { dtype: "i8", shape: [c.rows, c.depth], data: v.x },
        { dtype: "f32", shape: [c.rows, c.depth / 32], data: v.xScale },
      ];
      const want = expected(c, v);
      expect([...(runLowered(graph, inputs, can)[0]!.data as Float32Array)]).toEqual([...want]);
      expect([...(runLowered(graph, inputs, { ...can, threads: 3 })[0]!.data as Float32Array)]).toEqual([...want]);
      interpret(graph, inputs)[0]!.data.forEach((y: number | bigint, i: number) => {
        expect(Math.abs(Number(y) - want[i]!)).toBeLessThanOrEqual(1e-5 * Math.max(1, Math.abs(want[i]!)));
      });
      const steps = lowerGraph(graph, can).steps.map((s) => (s.kind === "kernel" ? s.lowered.kernel : s.kind));
      if (can.vectors.length > 0) expect(steps).toEqual([`matmul_i8_u${c.bits}_blocks`]);
    }
  });
});
