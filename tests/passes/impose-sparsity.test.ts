// Weights zeroed to tell what pruning would buy: which, how many, in which blocks.

import { expect, test } from "vitest";
import { passContext, runPass } from "../../compiler/pass.ts";
import { type Imposed, imposeSparsity, prune } from "../../compiler/passes/impose-sparsity.ts";
import { countZeros } from "../../compiler/sparsity/count-zeros.ts";
import { type Graph, GraphBuilder, topological } from "../../ir/graph.ts";
import { firstAxisRows, lastAxisRows } from "../../ir/layouts/index.ts";
import { standardOps } from "../../ir/ops/index.ts";
import { tensorOf } from "../../ir/tensor.ts";
import { weightStore } from "../../ir/weights.ts";

const single = (zeros: number): Imposed => ({ zeros, block: [1, 1] });
const weights = (shape: readonly number[]) =>
  tensorOf(
    "f32",
    shape,
    Float32Array.from({ length: shape.reduce((a, d) => a * d, 1) }, (_, i) => ((i * 7919) % 101) - 50.5),
  );

test("the smallest go first, whatever their sign", () => {
  const t = tensorOf("f32", [2, 4], [4, -3, 2, 1, -8, 7, -6, 5]);
  expect([...prune(t, firstAxisRows(t.shape), single(0.5)).data]).toEqual([0, 0, 0, 0, -8, 7, -6, 5]);
  expect([...prune(t, firstAxisRows(t.shape), single(0.25)).data]).toEqual([4, -3, 0, 0, -8, 7, -6, 5]);
});

test("blocks go as wholes, by their mean square: rows are output channels", () => {
  const t = tensorOf("f32", [2, 4], [1, 9, 2, 2, 1, 1, 3, 3]);
  expect([...prune(t, firstAxisRows(t.shape), { zeros: 0.5, block: [1, 2] }).data]).toEqual([1, 9, 0, 0, 0, 0, 3, 3]);
  // As [inputs, outputs]: rows lie along the last axis.
  const u = tensorOf("f32", [2, 4], [1, 1, 5, 5, 1, 1, 5, 5]);
  expect([...prune(u, lastAxisRows(u.shape), { zeros: 0.5, block: [2, 1] }).data]).toEqual([0, 0, 5, 5, 0, 0, 5, 5]);
  // The last block of a row has one column here, and is judged by its mean all the same.
  const v = tensorOf("f32", [1, 3], [2, 2, 3]);
  expect([...prune(v, firstAxisRows(v.shape), { zeros: 0.5, block: [1, 2] }).data]).toEqual([0, 0, 3]);
});

function network(): Graph {
  const b = new GraphBuilder(standardOps, weightStore());
  const x = b.param("x", "f32", [1, 3, 8, 8]);
  const conv = (v: typeof x, shape: readonly number[], group = 1) => {
    const pad = (shape[2]! - 1) / 2;
    const attrs = { strides: [1, 1], dilations: [1, 1], pads: [pad, pad, pad, pad], group };
    return b.add("conv", [v, b.constant(weights(shape))], attrs).results[0]!;
  };
  const first = conv(x, [8, 3, 3, 3]);
  const depthwise = conv(first, [8, 1, 3, 3], 8);
  const pointwise = conv(depthwise, [8, 8, 1, 1]);
  const flat = b.add("reshape", [pointwise], { shape: [8, 64] }).results[0]!;
  const linear = b.add("matmul", [flat, b.constant(weights([64, 16]))]).results[0]!;
  return { ops: standardOps, name: "network", params: [x], outputs: [linear], weights: b.weights };
}

test("convolutions of one group and products are pruned; the first convolution and depthwise ones are not", () => {
  const notes: string[] = [];
  const g = runPass(imposeSparsity(single(0.75)), network(), passContext({ note: (m) => notes.push(m) }));
  const zeros = topological(g.outputs)
    .filter((n) => n.op === "conv" || n.op === "matmul")
    .map((n) => g.weights.get(n.inputs[1]!.node.attrs.ref as string))
    .map((t) => countZeros(t) / t.data.length);
  expect(zeros).toEqual([0, 0, 0.75, 0.75]);
  expect(notes).toEqual(["75.0 % of the weights of 2 layers were zeroed: outputs are not the model's"]);
});
