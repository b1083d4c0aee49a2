// Tensors: axes in another order, against the operator; constants of any size are transposed when compiling.

import { expect, test } from "vitest";
import { foldConstants } from "../../compiler/passes/fold-constants.ts";
import { runPipeline } from "../../compiler/pipeline.ts";
import { GraphBuilder } from "../../ir/graph.ts";
import { interpret } from "../../ir/interpret.ts";
import { standardOps } from "../../ir/ops/index.ts";
import { parse } from "../../ir/parse.ts";
import { tensorOf, transposed, zeros } from "../../ir/tensor.ts";
import { weightStore } from "../../ir/weights.ts";

test.each([[[0]], [[1, 0]], [[2, 0, 1]], [[0, 2, 1]], [[3, 1, 0, 2]]])("transposed by %j as the operator does", (perm) => {
  const shape = [3, 4, 2, 5].slice(0, perm.length);
  const x = tensorOf(
    "i32",
    shape,
    Array.from({ length: shape.reduce((a, b) => a * b) }, (_, i) => i),
  );
  const out = perm.map((axis) => shape[axis]);
  const text = `graph @g(%x: i32[${shape}]) {
  %y = transpose(%x) {perm: [${perm.join(", ")}]} : i32[${out}]
  return %y
}`;
  expect(transposed(x, perm)).toEqual(interpret(parse(text, standardOps), [x])[0]);
});

test("a scalar and an empty tensor stay what they are", () => {
  expect(transposed(tensorOf("f32", [], [7]), [])).toEqual(tensorOf("f32", [], [7]));
  expect(transposed(zeros("f32", [0, 3]), [1, 0])).toEqual(zeros("f32", [3, 0]));
});

test("weights too large for the reference are transposed all the same", () => {
  const b = new GraphBuilder(standardOps, weightStore());
  const w = zeros("u8", [2 ** 13, 2 ** 12 + 1]);
  w.data[1] = 9;
  const x = b.param("x", "u8", [1]);
  const t = b.value("transpose", [b.constant(w)], { perm: [1, 0] });
  const { graph } = runPipeline({ ops: standardOps, weights: b.weights, name: "g", params: [x], outputs: [t] }, [foldConstants]);
  const { node } = graph.outputs[0]!;
  expect(node.op).toBe("const");
  expect(graph.weights.get(node.attrs["ref"] as string).data[2 ** 13]).toBe(9);
});
