// One operator on given tensors, through the interpreter.

import { GraphBuilder } from "../../ir/graph.ts";
import { interpret } from "../../ir/interpret.ts";
import type { Attrs } from "../../ir/op.ts";
import { standardOps } from "../../ir/ops/index.ts";
import { fromF16 } from "../../ir/scalar/f16.ts";
import type { Tensor } from "../../ir/tensor.ts";
import { weightStore } from "../../ir/weights.ts";

/** The operator's results. */
export function evaluate(op: string, inputs: readonly Tensor[], attrs: Attrs = {}): readonly Tensor[] {
  const b = new GraphBuilder(standardOps, weightStore());
  const params = inputs.map((t, k) => b.param(`x${k}`, t.dtype, t.shape));
  const { results } = b.add(op, params, attrs, { file: "test", name: op });
  return interpret({ ops: standardOps, name: "test", params, outputs: results, weights: b.weights }, inputs);
}

/** Elements as plain numbers or bigints, f16 decoded. */
export const valuesOf = (t: Tensor): readonly (number | bigint)[] =>
  Array.from(t.data as ArrayLike<number | bigint>, (x) => (t.dtype === "f16" ? fromF16(x as number) : x));

/** Values of the first result. */
export const valuesFrom = (op: string, inputs: readonly Tensor[], attrs: Attrs = {}): readonly (number | bigint)[] =>
  valuesOf(evaluate(op, inputs, attrs)[0]!);
