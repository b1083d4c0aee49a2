// Activations of 8 bits whose limits a run finds: products of any number of rows and of images are products of integers, to the same bits in
// every variant.

import { describe, expect, test } from "vitest";
import { js, wasm } from "../../backends/index.ts";
import { compileGraph } from "../../compiler/compile.ts";
import { passContext, runPass } from "../../compiler/pass.ts";
import { expand } from "../../compiler/passes/expand.ts";
import { fuse } from "../../compiler/passes/fuse.ts";
import { integerProducts } from "../../compiler/passes/integer-products.ts";
import { layersOf } from "../../compiler/quantize/layers.ts";
import { distance } from "../../compiler/quantize/measure.ts";
import { quantize } from "../../compiler/quantize/quantize.ts";
import { applyRecipe } from "../../compiler/quantize/recipe.ts";
import type { SchemeOptions } from "../../compiler/quantize/scheme.ts";
import { type Graph, topological, type Value } from "../../ir/graph.ts";
import { interpret } from "../../ir/interpret.ts";
import { type Tensor, tensorOf } from "../../ir/tensor.ts";
import { load } from "../../runtime/index.ts";
import { noise } from "../support/noise.ts";
import { type Built, network, nodesOf, open, samplesFor } from "./networks.ts";

const context = passContext();
const lowered = (g: Graph): Graph => runPass(fuse, runPass(expand, runPass(integerProducts, g, context), context), context);

/** The network with weights and activations of 8 bits, by no samples. */
async function rounded(g: Graph, options: Partial<SchemeOptions> = {}): Promise<Graph> {
  return applyRecipe((await quantize(g, { scheme: "int8", ...options }, {}, open)).recipe).graph;
}

/** Products of integers, and of floats. */
function products(g: Graph): readonly [integers: number, floats: number] {
  const all = topological(runPass(integerProducts, g, context).outputs).filter((n) => n.op === "conv" || n.op === "matmul");
  const integers = all.filter((n) => n.results[0]!.type.dtype === "i32").length;
  return [integers, all.length - integers];
}

/** What every variant that runs here computes of x. */
async function results(g: Graph, x: Tensor): Promise<readonly Float32Array[]> {
  const { artifact } = await compileGraph(lowered(g), ["y"], { backends: [wasm, js], pipeline: [] });
  const found: Float32Array[] = [];
  for (const variant of artifact.manifest.variants) {
    const alone = { ...artifact, manifest: { ...artifact.manifest, variants: [variant] } };
    const model = await load({ manifest: alone.manifest, files: artifact.files }, { device: variant.backend }).catch(() => undefined);
    // Not every engine has relaxed SIMD.
    if (model) found.push((await model.run({ x: x.data as Float32Array }))["y"]!.data as Float32Array);
  }
  expect(found.length).toBeGreaterThanOrEqual(2);
  return found;
}

/** Holds every variant against what the graph means: as close as roundings that fall the other way allow, and where `same`, to the same bits. */
async function holds(g: Graph, x: Tensor, close: number, same: boolean): Promise<void> {
  const meant = interpret(g, [x])[0]!.data as Float32Array;
  const largest = Math.max(...meant.map(Math.abs));
  const all = await results(g, x);
  for (const y of all) {
    expect(Math.max(...y.map((v, i) => Math.abs(v - meant[i]!)))).toBeLessThan(close * largest);
    if (same) expect(y.findIndex((v, i) => !Object.is(v, all[0]![i]))).toBe(-1);
  }
}

const relu = (b: Built["b"], v: Value): Value => b.value("relu", [v]);
const pooled = (b: Built["b"], v: Value): Value => {
  const attrs = { op: "max", kernel: [2, 2], strides: [2, 2], dilations: [1, 1], pads: [0, 0, 0, 0], shape: [4, 4] };
  return b.value("pool", [v], { ...attrs, count_include_pad: false, p: 1 });
};

type Case = readonly [string, readonly number[], (x: Value, how: Built) => Value, readonly [integers: number, floats: number]];
const CASES: readonly Case[] = [
  ["rows", [9, 24], (x, { dense }) => dense(x, 20), [1, 0]],
  ["rows after relu, without zero points", [40, 64], (x, { b, dense }) => dense(relu(b, dense(x, 48, false)), 20), [2, 0]],
  ["rows of a batch", [2, 7, 24], (x, { b, dense }) => dense(b.value("neg", [dense(x, 32)]), 24), [2, 0]],
  ["one row that blocks do not divide", [1, 24], (x, { dense }) => dense(x, 20), [1, 0]],
  ["images, padded", [2, 3, 8, 8], (x, { b, conv }) => conv(relu(b, conv(x, [8, 3, 3, 3])), [8, 8, 3, 3]), [2, 0]],
  [
    "a sum read by two, and pooled",
    [1, 4, 8, 8],
    (x, { b, conv }) => {
      const y = conv(x, [4, 4, 3, 3], { bias: false });
      return conv(pooled(b, relu(b, b.value("add", [conv(y, [4, 4, 3, 3]), x]))), [8, 4, 1, 1]);
    },
    [3, 0],
  ],
  ["channels one by one", [1, 4, 8, 8], (x, { conv }) => conv(x, [4, 1, 3, 3], { group: 4 }), [0, 1]],
];

describe("products of activations that are rounded anew in every run", () => {
  test.each(CASES)("%s", { timeout: 60_000 }, async (_, shape, build, expected) => {
    const g = await rounded(network(shape, build));
    expect(products(g)).toEqual(expected);
    await holds(g, noise(shape, 9), expected[0] > 1 ? 2e-2 : 1e-6, expected[1] === 0);
  });

  test("follow each row's own magnitude, and each image's", async () => {
    const small = ({ data, shape }: Tensor): Tensor => {
      const half = data.length / 2;
      return tensorOf(
        "f32",
        shape,
        Array.from(data as Float32Array, (v, i) => (i < half ? v : v * 2 ** -12)),
      );
    };
    for (const [shape, build] of [
      [[2, 24], (x, { dense }) => dense(x, 20, false)],
      [[2, 3, 8, 8], (x, { conv }) => conv(x, [4, 3, 3, 3], { bias: false })],
    ] as readonly [readonly number[], Case[2]][]) {
      const g = await rounded(network(shape, build));
      const x = noise(shape, 9);
      const twice = tensorOf(
        "f32",
        shape,
        [...Array(2)].flatMap(() => Array.from((x.data as Float32Array).subarray(0, x.data.length / 2))),
      );
      const [y] = await results(g, small(twice));
      const half = y!.length / 2;
      expect(y!.slice(half)).toEqual(y!.slice(0, half).map((v) => v * 2 ** -12));
    }
  });

  test("take zeros, and what is not finite stays in its row", async () => {
    const g = await rounded(network([4, 24], (x, { dense }) => dense(x, 4, false)));
    const x = noise([4, 24], 9).data as Float32Array;
    x.fill(0, 24, 48);
    x[50] = Number.NaN;
    for (const y of await results(g, tensorOf("f32", [4, 24], [...x]))) {
      expect([...y.slice(4, 8)].every((v) => v === 0)).toBe(true);
      expect([...y.slice(8, 12)].every(Number.isNaN)).toBe(true);
      expect([...y.slice(0, 4), ...y.slice(12)].every((v) => Number.isFinite(v) && v !== 0)).toBe(true);
    }
  });

  test("lose little: 38 dB and more", async () => {
    const g = network([32, 256], (x, { b, dense }) => dense(relu(b, dense(x, 256)), 256));
    const { recipe, report, notes } = await quantize(g, { scheme: "int8" }, {}, open);
    expect(report.activations).toBe(2);
    expect(notes.map((n) => n.message)).toContainEqual(expect.stringContaining("2 products round what they read"));
    expect((await distance(open, g, applyRecipe(recipe), layersOf(g), samplesFor(g, 6).samples)).output).toBeGreaterThan(38);
  });

  test("are left to floats where weights have blocks; few rows are rounded in blocks", async () => {
    const build: Case[2] = (x, { b, dense }) => dense(relu(b, dense(relu(b, dense(x, 64)), 64)), 64);
    const many = await rounded(network([32, 64], build), { scheme: "int4" });
    // The first and last have 8 bits.
    expect(products(many)).toEqual([2, 1]);
    const few = runPass(integerProducts, await rounded(network([4, 64], build)), context);
    expect(nodesOf(few, "block_product")).toHaveLength(3);
  });
});
