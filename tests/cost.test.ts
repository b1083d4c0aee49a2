// The one table of costs: what is looked up in it, what detection decides by it, what is predicted from it.

import { expect, test } from "vitest";
import { wasm } from "../backends/index.ts";
import { depthwise, pointwise, unary, vector } from "../compiler/cli/calibrate/kernels.ts";
import { measureCosts, timeKernel } from "../compiler/cli/calibrate/measure.ts";
import { compileGraph } from "../compiler/compile.ts";
import { away, type CostFile, type Costs, costsFor, interpolate } from "../compiler/cost/costs.ts";
import { passContext, runPass } from "../compiler/pass.ts";
import { detectSparsity } from "../compiler/passes/detect-sparsity.ts";
import type { Graph } from "../ir/graph.ts";

const shipped = costsFor("wasm:baseline", undefined);
const fileOf = (costs: Costs): CostFile => ({ version: 1, machine: "a test's", variants: { "wasm:baseline": costs } });

/** Ten operations a microsecond, and bytes for nothing. */
const simple: Costs = {
  ...shipped,
  dense: [[1, 0.01]],
  denseFar: 0.005,
  single: [[4, 0.5]],
  shared: [[4, 1]],
  few: [[1, 0.25, 0.5]],
  grouped: 0.02,
  vectors: 1,
  elements: 1,
  memory: 1e9,
  functions: 100,
  start: 7,
};

test("curves are linear between their points, and end where those end", () => {
  const curve = [
    [4, 1],
    [8, 3],
  ] as const;
  expect([1, 4, 6, 8, 100].map((x) => interpolate(curve, x))).toEqual([1, 1, 2, 3, 3]);
  expect([2 ** 10, 2 ** 17, 2 ** 18, 2 ** 19, 2 ** 24].map(away)).toEqual([0, 0, 0.5, 1, 1]);
});

test("a measured variant comes before what ships; a backend that nobody measured is taken for wasm", () => {
  expect(costsFor("wasm:baseline", fileOf(simple))).toBe(simple);
  expect(costsFor("wasm:relaxed", fileOf(simple))).not.toBe(simple);
  expect(costsFor("mine:only", undefined)).toBe(shipped);
});

const baseline = { ...wasm, variants: wasm.variants.filter((v) => v.name === "baseline") };

/** Predicted microseconds of the kernel that a graph is about, at the costs above. */
async function predicted(graph: Graph): Promise<number> {
  const { report } = await compileGraph(graph, ["y"], { backends: [baseline], pipeline: [], cost: fileOf(simple) });
  const { nodes } = report.variants[0]!;
  return nodes.reduce((a, b) => (b.flops > a.flops ? b : a)).predicted;
}

test("a kernel is predicted to take its arithmetic at the rate of its kind, and a start", async () => {
  // 2 x 64 x 64 x 16 operations.
  const flops = 2 * 64 * 64 * 16;
  expect(await predicted(pointwise(64, 4, 4))).toBeCloseTo(flops / 10 + 7, 2);
  expect(await predicted(depthwise(8, 10))).toBeCloseTo((2 * 9 * 8 * 100) / 20 + 7, 2);
  expect(await predicted(vector(64, 64))).toBeCloseTo((2 * 64 * 64) / 10 + 7, 2);
  // Weights beyond the cache.
  expect(await predicted(vector(1024, 1024))).toBeCloseTo((2 * 1024 * 1024) / 5 + 7, 1);
  // At half the rate on what is kept, and an element more in each row.
  const sparse = { layout: "csr", block: [1, 1] } as const;
  const kept = (await compileGraph(pointwise(64, 4, 4, sparse), ["y"], { backends: [baseline], pipeline: [] })).report.variants[0]!.nodes;
  const nonzero = kept.reduce((a, b) => (b.flops > a.flops ? b : a)).nonzeroFlops;
  expect(nonzero).toBeLessThan(0.2 * flops);
  expect(await predicted(pointwise(64, 4, 4, sparse))).toBeCloseTo((nonzero + 2 * 64 * 16) / 5 + 7, 0);
});

test("what is not multiplied is predicted by its bytes and functions", async () => {
  expect(await predicted(unary("neg", 16, 16))).toBeCloseTo((8 * 256) / 1000 + 7, 2);
  expect(await predicted(unary("exp", 16, 16))).toBeCloseTo((8 * 256) / 1000 + 25.6 + 7, 2);
});

test("detection decides by the costs that it is given", () => {
  const dense = pointwise(64, 4, 4, { layout: "csr", block: [1, 1] });
  const layoutAt = (single: Costs["single"]): string | undefined => {
    const g = runPass(detectSparsity, withoutLayout(dense), passContext({ targets: { costs: { ...shipped, single }, devices: [] } }));
    return g.outputs[0]!.node.inputs[1]!.type.layout;
  };
  expect(layoutAt([[4, 0.5]])).toBe("csr");
  expect(layoutAt([[4, 0.05]])).toBeUndefined();
});

/** The graph with its weights as they come out of a model. */
function withoutLayout(g: Graph): Graph {
  const plain = pointwise(64, 4, 4);
  const [w, from] = [plain.outputs[0]!.node.inputs[1]!, g.outputs[0]!.node.inputs[1]!];
  const zeros = g.weights.get(from.node.attrs.ref as string).data as Float32Array;
  (plain.weights.get(w.node.attrs.ref as string).data as Float32Array).set(zeros);
  return plain;
}

test("calibration turns times into rates: a machine twice as fast has twice the rates and the same efficiencies", async () => {
  const measured = (micros: number) =>
    measureCosts(
      async () => micros,
      () => {},
    );
  const [slow, fast] = [await measured(10), await measured(5)];
  expect(slow.dense.map(([n]) => n)).toEqual([1, 4, 8, 16, 32, 49, 196]);
  expect(slow.dense.at(-1)![1]).toBeCloseTo((2 * 256 * 256 * 196) / 10 / 1000, 0);
  expect(fast.dense.at(-1)![1]).toBeCloseTo(2 * slow.dense.at(-1)![1], 0);
  // Every kernel takes the same time: a tenth of the elements, a tenth of the efficiency.
  expect(slow.single.every(([, e]) => Math.abs(e - 0.1) < 1e-9)).toBe(true);
  expect(fast.few).toEqual(slow.few);
  expect(slow.few.map(([rows]) => rows)).toEqual([1, 2, 4, 8, 16]);
});

test("a kernel is timed by itself, through the compiler and the runtime", async () => {
  const time = timeKernel(baseline, baseline.variants[0]!, []);
  const [small, large] = [await time(pointwise(16, 4, 4)), await time(pointwise(128, 14, 14))];
  expect(small).toBeGreaterThan(0);
  expect(large).toBeGreaterThan(small);
});
