// Quantized graphs give the same bits from every variant of a backend: a last bit lost to a fused operation could become a whole step.

import { expect, test } from "vitest";
import { wasm } from "../../backends/index.ts";
import { compileGraph } from "../../compiler/compile.ts";
import { GraphBuilder, type Value } from "../../ir/graph.ts";
import { standardOps } from "../../ir/ops/index.ts";
import { tensorOf } from "../../ir/tensor.ts";
import { weightStore } from "../../ir/weights.ts";
import { hasFeature } from "../../runtime/features.ts";
import { load } from "../../runtime/index.ts";
import { random } from "../lower/conv-cases.ts";
import "../support/relaxed-simd.ts";

test("a chain of quantized convolutions, relaxed against baseline", async () => {
  expect(hasFeature("relaxed-simd")).toBe(true);
  const b = new GraphBuilder(standardOps, weightStore());
  const next = random(5);
  const noise = (shape: readonly number[]) =>
    tensorOf(
      "f32",
      shape,
      Array.from({ length: shape.reduce((x, y) => x * y) }, () => 0.3 * next()),
    );
  const x = b.param("x", "f32", [1, 8, 9, 11]);
  const scale = b.constant(tensorOf("f32", [], [1e-4]));
  let y: Value = x;
  for (let layer = 0; layer < 6; layer++) {
    const conv = b.value("conv", [y, b.constant(noise([8, 8, 3, 3]))], {
      strides: [1, 1],
      pads: [1, 1, 1, 1],
      dilations: [1, 1],
      group: 1,
    });
    const quantized = b.value("quantize", [conv, scale], { axis: 0, block: 0, to: "i16" });
    y = b.value("dequantize", [quantized, scale], { axis: 0, block: 0, to: "f32" });
  }
  const graph = { ops: standardOps, name: "chain", params: [x], outputs: [y], weights: b.weights };
  const { artifact } = await compileGraph(graph, ["y"], { backends: [wasm] });
  const data = Float32Array.from({ length: 8 * 9 * 11 }, () => 2 * next());
  const answers = [];
  for (const device of ["wasm:relaxed", "wasm:baseline"]) {
    const model = await load(artifact, { device });
    answers.push((await model.run({ x: data }))["y"]!.data);
    model.dispose();
  }
  expect(answers[0]).toEqual(answers[1]);
  expect(new Set(answers[0] as Float32Array).size).toBeGreaterThan(20);
});
