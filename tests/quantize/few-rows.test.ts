// Weights alone of small integers, where few rows are multiplied: activations are rounded in blocks of a row, and every variant computes the same.

import { describe, expect, test } from "vitest";
import { js, wasm } from "../../backends/index.ts";
import { compileGraph } from "../../compiler/compile.ts";
import { passContext, runPass } from "../../compiler/pass.ts";
import { detectSparsity } from "../../compiler/passes/detect-sparsity.ts";
import { expand } from "../../compiler/passes/expand.ts";
import { fuse } from "../../compiler/passes/fuse.ts";
import { integerProducts } from "../../compiler/passes/integer-products.ts";
import { layersOf } from "../../compiler/quantize/layers.ts";
import { distance } from "../../compiler/quantize/measure.ts";
import { quantize } from "../../compiler/quantize/quantize.ts";
import { applyRecipe } from "../../compiler/quantize/recipe.ts";
import type { SchemeOptions } from "../../compiler/quantize/scheme.ts";
import { roundedRows } from "../../compiler/rules/row-blocks.ts";
import { type Graph, GraphBuilder } from "../../ir/graph.ts";
import { interpret } from "../../ir/interpret.ts";
import { standardOps } from "../../ir/ops/index.ts";
import { type Tensor, tensorOf } from "../../ir/tensor.ts";
import { weightStore } from "../../ir/weights.ts";
import { WEIGHTS } from "../../runtime/artifact.ts";
import { load } from "../../runtime/index.ts";
import { noise } from "../support/noise.ts";
import { network, nodesOf, open, samplesFor } from "./networks.ts";

const context = passContext();
const lowered = (g: Graph): Graph => runPass(fuse, runPass(expand, runPass(integerProducts, g, context), context), context);

/** x [rows, depth] by weights in three layers, each rounded as the scheme says. */
async function rounded(rows: number, depth: number, options: SchemeOptions, zeros?: (w: Tensor) => Tensor): Promise<Graph> {
  const g = network([rows, depth], (x, { b, dense }) => {
    const layer = (v: typeof x): typeof x => b.value("relu", [dense(v, depth)]);
    const own = zeros && b.value("matmul", [x, b.constant(zeros(noise([depth, depth], 3)))]);
    return own ?? dense(layer(layer(x)), depth);
  });
  return applyRecipe((await quantize(g, { compensate: false, ...options }, {}, open)).recipe).graph;
}

/** Weights [n, n] of a product, of which words of four inputs are kept or not for as many features. */
const blockwise =
  (n: number, features: number, kept: number) =>
  (w: Tensor): Tensor => {
    const chosen = (noise([n, n], 5).data as Float32Array).map((u) => (u < 2 * kept - 1 ? 1 : 0));
    const at = (i: number): number => Math.floor(i / n / 4) * n + Math.floor((i % n) / features);
    return { ...w, data: (w.data as Float32Array).map((v, i) => v * chosen[at(i)]!) };
  };

/** Integer products, and float ones. */
const products = (g: Graph): readonly [number, number] => {
  const out = runPass(integerProducts, g, context);
  return [nodesOf(out, "block_product").length, nodesOf(out, "matmul").length];
};

/** Of each variant that there is an engine for here. */
async function resultsOf(optimized: Graph, x: Tensor): Promise<readonly Float32Array[]> {
  const { artifact } = await compileGraph(optimized, ["y"], { backends: [wasm, js], pipeline: [] });
  const results: Float32Array[] = [];
  for (const variant of artifact.manifest.variants) {
    const alone = { ...artifact, manifest: { ...artifact.manifest, variants: [variant] } };
    const model = await load({ manifest: alone.manifest, files: artifact.files }, { device: variant.backend }).catch(() => undefined);
    // Not every engine has relaxed SIMD.
    if (model) results.push((await model.run({ x: x.data as Float32Array }))["y"]!.data as Float32Array);
  }
  return results;
}

describe("products of few rows by weights of small integers", () => {
  test.each<[string, number, number, SchemeOptions, readonly [number, number]]>([
    ["8 bits", 1, 64, { scheme: "int8-weights" }, [3, 0]],
    ["8 bits, with zero points", 2, 64, { scheme: "int8-weights", symmetric: false }, [3, 0]],
    ["4 bits", 8, 96, { scheme: "int4-weights" }, [3, 0]],
    ["4 bits in blocks of 64, with zero points", 1, 128, { scheme: "int4-weights", block: 64, symmetric: false }, [3, 0]],
    ["one scale for all", 1, 64, { scheme: "int8-weights", block: "tensor" }, [3, 0]],
    ["too many rows", 9, 64, { scheme: "int8-weights" }, [0, 3]],
    ["rows that blocks do not divide", 1, 72, { scheme: "int8-weights" }, [0, 3]],
    ["activations that are to stay floats", 1, 64, { scheme: "int8-weights", activations: "float" }, [0, 3]],
  ])("%s", { timeout: 60_000 }, async (_, rows, depth, options, expected) => {
    const g = await rounded(rows, depth, options);
    expect(products(g)).toEqual(expected);
    const x = noise([rows, depth], 9);
    // The meaning of what was written, before any pass.
    const meant = interpret(g, [x])[0]!.data as Float32Array;
    const results = await resultsOf(lowered(g), x);
    expect(results.length).toBeGreaterThanOrEqual(2);
    const largest = Math.max(...meant.map(Math.abs));
    for (const y of results) {
      expect(Math.max(...y.map((v, i) => Math.abs(v - meant[i]!)))).toBeLessThan((expected[0] > 0 ? 2e-2 : 1e-5) * largest);
      if (expected[0] > 0) expect(y.findIndex((v, i) => v !== results[0]![i])).toBe(-1);
    }
  });

  test("by weights that are mostly zeros stay floats", async () => {
    const some = (w: Tensor): Tensor => ({ ...w, data: (w.data as Float32Array).map((v, i) => (i % 10 === 0 ? v : 0)) });
    expect(products(await rounded(1, 64, { scheme: "int8-weights" }, some))).toEqual([0, 1]);
  });

  test.each<[string, number, SchemeOptions, readonly [number, number], string]>([
    ["8 features", 1, { scheme: "int8-weights" }, [8, 0.1], "bsr-8x4"],
    ["8 features, several rows", 5, { scheme: "int8-weights" }, [8, 0.5], "bsr-8x4"],
    ["4 features", 1, { scheme: "int8-weights" }, [4, 0.1], "bsr-4x4"],
    ["8 features, few zeros", 1, { scheme: "int8-weights" }, [8, 0.9], ""],
  ])("by weights whose zeros are words of four inputs for %s", { timeout: 60_000 }, async (_, rows, options, [tall, kept], layout) => {
    const n = 96;
    const some = blockwise(n, tall, kept);
    const g = await rounded(rows, n, options, some);
    const optimized = runPass(detectSparsity, runPass(integerProducts, g, context), context);
    const listed = nodesOf(optimized, "block_product").filter(({ inputs }) => inputs[2]!.type.dtype === "i8");
    expect(listed.map(({ inputs }) => inputs[2]!.type.layout)).toEqual(layout ? [layout] : []);
    if (!layout) return;
    // Nothing is lost beside what the weights lose.
    const x = noise([rows, n], 9);
    const floats = interpret(await rounded(rows, n, { ...options, activations: "float" }, some), [x])[0]!.data as Float32Array;
    const results = await resultsOf(runPass(fuse, runPass(expand, optimized, context), context), x);
    expect(results.length).toBeGreaterThanOrEqual(2);
    const largest = Math.max(...floats.map(Math.abs));
    for (const y of results) {
      expect(Math.max(...y.map((v, i) => Math.abs(v - floats[i]!)))).toBeLessThan(1e-3 * largest);
      expect(y.findIndex((v, i) => v !== results[0]![i])).toBe(-1);
    }
  });

  test("lose little: 34 dB and more by 8 bits", async () => {
    const g = network([1, 256], (x, { b, dense }) => dense(b.value("relu", [dense(x, 256)]), 256));
    const { samples } = samplesFor(g, 6);
    const noiseOf = async (options: SchemeOptions): Promise<number> => {
      const { recipe, notes } = await quantize(g, options, {}, open);
      const told = notes.some((n) => n.message.includes("2 products of few rows round what they read"));
      expect(told).toBe(options.activations !== "float");
      return (await distance(open, g, applyRecipe(recipe), layersOf(g), samples)).output;
    };
    expect(await noiseOf({ scheme: "int8-weights" })).toBeGreaterThan(34);
    expect(await noiseOf({ scheme: "int8-weights", activations: "float" })).toBeGreaterThan(40);
  });

  test("round nothing but what they are: zeros, and what is not finite", () => {
    const b = new GraphBuilder(standardOps, weightStore());
    const x = b.param("x", "f32", [1, 64]);
    const g: Graph = {
      ops: standardOps,
      name: "g",
      params: [x],
      outputs: [roundedRows(b, x, { block: 32, limit: 127 })],
      weights: b.weights,
    };
    const run = (at: number, value: number): number[] => {
      const values = Array.from({ length: 64 }, (_, i) => (i < 32 ? 0 : i - 40));
      values[at] = value;
      return [...(interpret(g, [tensorOf("f32", [1, 64], values)])[0]!.data as Float32Array)];
    };
    expect(run(0, 0).slice(0, 32)).toEqual(Array(32).fill(0));
    expect(run(63, 127).slice(32, 40)).toEqual([-8, -7, -6, -5, -4, -3, -2, -1]);
    expect(run(5, Number.NaN)[6]).toBeNaN();
    expect(run(5, Number.NaN)[40]).toBeCloseTo(0, 1);
  });
});

test("2048 x 2048 by 4 and by 8 bits take 0.16 and 0.27 of the floats", { timeout: 120_000 }, async () => {
  const b = new GraphBuilder(standardOps, weightStore());
  const n = 2048;
  const x = b.param("x", "f32", [1, n]);
  const graph = (y: typeof x): Graph => ({ ops: standardOps, name: "g", params: [x], outputs: [y], weights: b.weights });
  const levels = (low: number, count: number): Int8Array => {
    let state = 7;
    return Int8Array.from({ length: n * n }, () => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      return low + Math.floor((state / 2 ** 32) * count);
    });
  };
  const scales = (shape: readonly number[]) =>
    b.constant({ ...noise(shape, 2), data: (noise(shape, 2).data as Float32Array).map(Math.abs) });
  const four = b.value("dequantize", [b.constant({ dtype: "i4", shape: [n, n], data: levels(-8, 16) }), scales([n / 32, n])], {
    axis: 0,
    block: 32,
    to: "f32",
  });
  const eight = b.value("dequantize", [b.constant({ dtype: "i8", shape: [n, n], data: levels(-128, 256) }), scales([n])], {
    axis: 1,
    block: 0,
    to: "f32",
  });
  const bytes = async (g: Graph): Promise<number> =>
    (await compileGraph(g, ["y"], { backends: [wasm, js] })).artifact.files.get(WEIGHTS)!.length;
  expect((await bytes(graph(b.value("matmul", [roundedRows(b, x, { block: 32, limit: 127 }), four])))) / (4 * n * n)).toBeLessThanOrEqual(
    0.16,
  );
  expect((await bytes(graph(b.value("matmul", [roundedRows(b, x, { block: 32, limit: 63 }), eight])))) / (4 * n * n)).toBeLessThanOrEqual(
    0.27,
  );
  expect((await bytes(graph(b.value("matmul", [x, four])))) / (4 * n * n)).toBeLessThanOrEqual(0.16);
});

test("90 % zeros, of 8 features and 4 inputs together, and 8 bits take 0.05 of the floats", { timeout: 120_000 }, async () => {
  const n = 1024;
  const g = await rounded(1, n, { scheme: "int8-weights" }, blockwise(n, 8, 0.1));
  const { artifact, report } = await compileGraph(g, ["y"], { backends: [wasm, js] });
  expect(report.sparsity.map((s) => s.format)).toEqual(["bsr-8x4"]);
  expect(artifact.files.get(WEIGHTS)!.length / (4 * n * n)).toBeLessThanOrEqual(0.05);
});
