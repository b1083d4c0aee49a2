// Runs one operator, or a composition of several, through the graph interpreter.

import { GraphBuilder, type Value } from "../../ir/graph.ts";
import { interpret } from "../../ir/interpret.ts";
import type { Attrs } from "../../ir/op.ts";
import { standardOps } from "../../ir/ops/index.ts";
import type { Tensor } from "../../ir/tensor.ts";
import { weightStore } from "../../ir/weights.ts";

/** What `build` makes of parameters that hold the tensors. */
export function runGraph(inputs: readonly Tensor[], build: (b: GraphBuilder, xs: readonly Value[]) => readonly Value[]): Tensor[] {
  const b = new GraphBuilder(standardOps, weightStore());
  const params = inputs.map((t, k) => b.param(`x${k}`, t.dtype, t.shape));
  return interpret({ ops: standardOps, name: "test", params, outputs: build(b, params), weights: b.weights }, inputs);
}

/** All results of operator `op` on the tensors. */
export const runOp = (op: string, inputs: readonly Tensor[], attrs: Attrs = {}): Tensor[] =>
  runGraph(inputs, (b, xs) => b.add(op, xs, attrs).results);
