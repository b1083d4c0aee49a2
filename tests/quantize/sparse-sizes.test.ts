// Zeros and small integers together: what is left of the bytes of dense floats.

import { expect, test } from "vitest";
import { wasm } from "../../backends/index.ts";
import { compileGraph } from "../../compiler/index.ts";
import { type Graph, GraphBuilder } from "../../ir/graph.ts";
import { standardOps } from "../../ir/ops/index.ts";
import { tensorOf } from "../../ir/tensor.ts";
import { weightStore } from "../../ir/weights.ts";
import { WEIGHTS } from "../../runtime/artifact.ts";
import { noise } from "../support/noise.ts";

/** Bytes by signed bytes to bytes; nine of ten groups of `run` neighbouring inputs of `tall` outputs are zeros. */
function product(size: number, run: number, tall: number, tokens: number): Graph {
  const [inputs, outputs] = [size, size];
  const b = new GraphBuilder(standardOps, weightStore());
  const scalar = (value: number) => b.constant(tensorOf("f32", [], [value]));
  const zero = b.constant(tensorOf("u8", [], [121]));
  const groups = noise([inputs / run, outputs / tall], 5).data as Float32Array;
  const threshold = groups.map(Math.abs).sort()[Math.round(0.9 * groups.length)]!;
  const values = noise([inputs, outputs], 6).data as Float32Array;
  const integers = Int8Array.from(values, (v, i) => {
    const group = Math.floor(i / outputs / run) * (outputs / tall) + Math.floor((i % outputs) / tall);
    return Math.abs(groups[group]!) < threshold ? 0 : Math.round(v * 120) || 1;
  });
  const x = b.param("x", "u8", [tokens, inputs]);
  const weights = b.constant({ dtype: "i8", shape: [inputs, outputs], data: integers });
  const scales = b.constant({
    dtype: "f32",
    shape: [outputs],
    data: Float32Array.from(noise([outputs], 7).data as Float32Array, (s) => 0.01 + s * s),
  });
  const real = b.value("dequantize", [x, scalar(0.02), zero], { axis: 0, block: 0, to: "f32" });
  const w = b.value("dequantize", [weights, scales], { axis: 1, block: 0, to: "f32" });
  const y = b.value("quantize", [b.value("matmul", [real, w]), scalar(0.1), zero], { axis: 0, block: 0, to: "u8" });
  return { ops: standardOps, name: "product", params: [x], outputs: [y], weights: b.weights };
}

test.each([
  { zeros: "single ones", size: 128, run: 1, tall: 1, tokens: 64, format: "csc", most: 0.08 },
  { zeros: "single ones", size: 768, run: 1, tall: 1, tokens: 64, format: "csc", most: 0.08 },
  { zeros: "blocks of 1x4", size: 512, run: 4, tall: 1, tokens: 64, format: "bsc-1x4", most: 0.05 },
  { zeros: "blocks of 1x4", size: 768, run: 4, tall: 1, tokens: 64, format: "bsc-1x4", most: 0.05 },
  { zeros: "blocks of 8x4", size: 512, run: 4, tall: 8, tokens: 1, format: "bsc-8x4", most: 0.05 },
  { zeros: "blocks of 4x4", size: 512, run: 4, tall: 4, tokens: 2, format: "bsc-4x4", most: 0.05 },
])("90 % zeros, $zeros, in $size x $size, by $tokens rows", async ({ size, run, tall, tokens, format, most }) => {
  const { artifact, report } = await compileGraph(product(size, run, tall, tokens), ["y"], { backends: [wasm] });
  expect(report.sparsity.map((s) => s.format)).toEqual([format]);
  expect(artifact.files.get(WEIGHTS)!.length / (4 * size * size)).toBeLessThanOrEqual(most);
});
