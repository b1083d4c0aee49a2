// Random graphs, compiled as users compile them, against the reference: every backend computes what the graph means.

import fc from "fast-check";
import { test } from "vitest";
import { js, wasm, webgpu } from "../../backends/index.ts";
import type { Backend } from "../../compiler/backend.ts";
import { compileGraph } from "../../compiler/compile.ts";
import { isFloat } from "../../ir/dtype.ts";
import { type Graph, topological } from "../../ir/graph.ts";
import { interpret } from "../../ir/interpret.ts";
import { print } from "../../ir/print.ts";
import { maxShape } from "../../ir/types.ts";
import { hasFeature } from "../../runtime/features.ts";
import { type Input, load } from "../../runtime/index.ts";
import { difference, precisionOf } from "../support/equal.ts";
import { type RandomGraph, randomGraphs, usesF64 } from "../support/random-graph.ts";
import { webgpuSkipped } from "../support/webgpu.ts";

const RUNS = Number(process.env["SPARSEC_RUNS"] ?? 80);
const parameters: fc.Parameters<[RandomGraph]> = { numRuns: RUNS, seed: Number(process.env["SPARSEC_SEED"] ?? 20261121) };
/** Without steps, at which rounding makes all the difference. */
const smooth = randomGraphs({ without: ["step", "compare", "cast", "quantized", "argReduce"] });
const whole = randomGraphs({ without: ["step"] });

/** Nothing to round. */
const integers = (g: Graph): boolean => topological(g.outputs).every((n) => n.results.every((r) => !isFloat(r.type.dtype)));

async function holds({ graph, inputs }: RandomGraph, sparsity: "auto" | "off", backends: readonly Backend[] = [wasm, js]): Promise<void> {
  const names = graph.outputs.map((_, k) => `y${k}`);
  const { artifact } = await compileGraph(graph, names, { backends, sparsity });
  const expected = interpret(graph, inputs);
  for (const { backend, name, needs } of artifact.manifest.variants) {
    // Engines without relaxed SIMD have the baseline to show.
    if (backend !== "webgpu" && !needs.every(hasFeature)) continue;
    const model = await load(artifact, { device: `${backend}:${name}` });
    const feed = graph.params.map((p, k) => [String(p.node.attrs["name"]), { data: inputs[k]!.data, shape: maxShape(p.type) }] as const);
    const out = await model.run(Object.fromEntries(feed) as Record<string, Input>);
    model.dispose();
    const actual = names.map((n) => ({ dtype: out[n]!.dtype, shape: out[n]!.shape, data: out[n]!.data }));
    const wrong = difference(actual, expected, integers(graph) ? "exact" : "bounded", precisionOf(graph));
    if (wrong !== undefined) throw new Error(`${backend}:${name}: ${wrong}\n${print(graph)}`);
  }
}

test("every variant of every backend computes what a graph means", { timeout: 300_000 }, async () => {
  await fc.assert(
    fc.asyncProperty(smooth, (g) => holds(g, "auto")),
    parameters,
  );
});

test("so it does with every weight dense", { timeout: 300_000 }, async () => {
  await fc.assert(
    fc.asyncProperty(smooth, (g) => holds(g, "off")),
    { ...parameters, numRuns: Math.ceil(RUNS / 4) },
  );
});

test("and with comparisons, casts and integers", { timeout: 300_000 }, async () => {
  await fc.assert(
    fc.asyncProperty(whole, (g) => holds(g, "auto")),
    { ...parameters, numRuns: Math.ceil(RUNS / 2) },
  );
});

/** Loading makes pipelines, which a software driver takes its time for. */
const few = { ...parameters, numRuns: Math.ceil(RUNS / 3) };

test.skipIf(webgpuSkipped() !== undefined)("WebGPU computes what a graph means", { timeout: 300_000 }, async () => {
  const graphs = smooth.filter((r) => !usesF64(r.graph));
  await fc.assert(
    fc.asyncProperty(graphs, (g) => holds(g, "auto", [webgpu])),
    few,
  );
});

test.skipIf(webgpuSkipped() !== undefined)("and so it does with comparisons, casts and integers", { timeout: 300_000 }, async () => {
  const graphs = whole.filter((r) => !usesF64(r.graph));
  await fc.assert(
    fc.asyncProperty(graphs, (g) => holds(g, "auto", [webgpu])),
    few,
  );
});
