// Any sparse format gives what the dense weights give, through layout, templates and the memory plan: convolutions and products of one,
// few and many columns, whatever the zeros are and whether they fit the format or not.

import { expect, test } from "vitest";
import { GraphBuilder, type Value } from "../../ir/graph.ts";
import { interpret } from "../../ir/interpret.ts";
import { layouts } from "../../ir/layouts/index.ts";
import { standardOps } from "../../ir/ops/index.ts";
import { type Tensor, tensorOf } from "../../ir/tensor.ts";
import { weightStore } from "../../ir/weights.ts";
import { runLowered, SCALAR_TARGET, VECTOR_TARGET } from "../support/run-lowered.ts";
import { random } from "./conv-cases.ts";

function weights(shape: readonly number[], density: number, seed: number): Tensor {
  const next = random(seed);
  const count = shape.reduce((a, d) => a * d, 1);
  return tensorOf(
    "f32",
    shape,
    Array.from({ length: count }, () => ((next() + 1) / 2 < density ? next() : 0)),
  );
}

type Builder = (b: GraphBuilder, layout: string | undefined, density: number) => { readonly params: Value[]; readonly result: Value };
const conv =
  (c: number, m: number, h: number, w: number, k: number, group = 1): Builder =>
  (b, layout, density) => {
    const x = b.param("x", "f32", [1, c, h, w]);
    const kernel = b.constant(weights([m, c / group, k, k], density, m + c), layout ? { layout } : {});
    const pad = (k - 1) / 2;
    const inputs = [x, kernel, b.constant(weights([m], 1, 3))];
    const y = b.value("conv", inputs, { strides: [1, 1], pads: [pad, pad, pad, pad], dilations: [1, 1], group });
    return { params: [x], result: b.value("relu", [y]) };
  };
const right =
  (t: number, k: number, m: number): Builder =>
  (b, layout, density) => {
    const x = b.param("x", "f32", [t, k]);
    return { params: [x], result: b.value("matmul", [x, b.constant(weights([k, m], density, k), layout ? { layout } : {})]) };
  };
const left =
  (t: number, k: number, m: number): Builder =>
  (b, layout, density) => {
    const x = b.param("x", "f32", [k, t]);
    return { params: [x], result: b.value("matmul", [b.constant(weights([m, k], density, k), layout ? { layout } : {}), x]) };
  };

const GRAPHS: readonly (readonly [string, Builder])[] = [
  ["conv 1x1", conv(9, 18, 5, 7, 1)],
  ["conv 3x3", conv(4, 19, 6, 9, 3)],
  ["conv 3x3 by groups", conv(8, 16, 5, 8, 3, 2)],
  ["conv of one pixel", conv(17, 21, 1, 1, 1)],
  ["product of one row", right(1, 18, 35)],
  ["product of three rows", right(3, 18, 35)],
  ["product of rows", right(11, 18, 35)],
  ["product with one column", left(1, 18, 35)],
  ["product with columns", left(33, 18, 35)],
];

for (const [name, build] of GRAPHS)
  test.each([0, 0.3, 1])(`${name}, density %d`, (density) => {
    const made = (layout: string | undefined) => {
      const b = new GraphBuilder(standardOps, weightStore());
      const { params, result } = build(b, layout, density);
      return { ops: b.ops, name: "net", params, outputs: [result], weights: b.weights };
    };
    const dense = made(undefined);
    const x = weights(dense.params[0]!.type.shape as number[], 1, 7);
    const want = interpret(dense, [x])[0]!.data as Float32Array;
    for (const { name: layout } of layouts)
      for (const can of density === 0.3 ? [VECTOR_TARGET, SCALAR_TARGET] : [VECTOR_TARGET]) {
        const got = runLowered(made(layout), [x], can)[0]!.data as Float32Array;
        const worst = got.reduce((most, v, i) => Math.max(most, Math.abs(v - want[i]!)), 0);
        expect(worst, layout).toBeLessThan(1e-5);
      }
  });
