// Targets without f64: what a model keeps in f64 is refused, even where a fused kernel would hide it; what an operator hides is narrowed.

import { expect, it } from "vitest";
import { webgpu } from "../../backends/index.ts";
import { compileGraph } from "../../compiler/compile.ts";
import { GraphBuilder, type Value } from "../../ir/graph.ts";
import { standardOps } from "../../ir/ops/index.ts";
import { weightStore } from "../../ir/weights.ts";

const compiled = (build: (b: GraphBuilder, x: Value) => Value) => {
  const weights = weightStore();
  const b = new GraphBuilder(standardOps, weights);
  const x = b.param("x", "f32", [4, 4]);
  const graph = { ops: standardOps, name: "wide", params: [x], outputs: [build(b, x)], weights };
  return compileGraph(graph, ["y"], { backends: [webgpu] });
};

it("refuses f64 between operators that are fused", async () => {
  const there = compiled((b, x) => b.value("cast", [b.value("exp", [b.value("cast", [x], { to: "f64" })])], { to: "f32" }));
  await expect(there).rejects.toMatchObject({ code: "unsupported", message: expect.stringContaining("computes in f64") });
});

it("narrows what an operator computes in f64 inside", async () => {
  const { artifact } = await compiled((b, x) => b.value("det", [x]));
  expect(new TextDecoder().decode(artifact.files.get("model.wgsl"))).toContain("f32");
});
