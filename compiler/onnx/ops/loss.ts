// ONNX's classification losses, which models exported with their training heads carry.

import type { Value } from "../../../ir/graph.ts";
import { composer } from "../../../ir/ops/compose.ts";
import { shapeOf } from "../axis.ts";
import { defineOnnxOp, type ImportContext, type OnnxOp } from "../op.ts";
import { castTo } from "../widen.ts";

/**
 * The weighted negative of `scores` [n, classes, ..] at the class that `labels` [n, ..] gives; labels equal to `ignore_index` weigh nothing.
 * `reduction` none keeps a loss for each label, sum adds them up, mean divides that by the sum of the weights.
 */
function likelihoodLoss(c: ImportContext, scores: Value, labels: Value, weights: Value | undefined): Value {
  const e = composer(c.b, c.loc);
  const [n, , ...rest] = shapeOf(c, scores);
  const shape = shapeOf(c, labels);
  if (n === undefined || String(shape) !== String([n, ...rest]))
    c.bad(`labels of shape [${shape}] for scores of shape [${shapeOf(c, scores)}]`);
  const reduction = c.string("reduction", "mean");
  if (!["none", "sum", "mean"].includes(reduction)) c.bad(`attribute 'reduction' is ${JSON.stringify(reduction)}`);

  const classes = castTo(c, labels, "i64");
  const counts = c.attribute("ignore_index") ? e.op("ne", [classes, c.int("ignore_index")]) : undefined;
  // What is ignored may be no class at all.
  const safe = counts ? e.op("where", [counts, classes, c.scalar("i64", 0)]) : classes;
  const picked = e.reshape(e.op("gather_elements", [scores, e.reshape(safe, [n!, 1, ...rest])], { axis: 1 }), shape);
  const one = c.scalar(scores.type.dtype, 1);
  const chosen = weights ? e.op("gather", [weights, safe], { axis: 0 }) : e.op("expand", [one], { shape });
  const weight = counts ? c.add("where", [counts, chosen, c.scalar(scores.type.dtype, 0)]) : chosen;
  const losses = e.op("neg", [e.op("mul", [picked, weight])]);
  if (reduction === "none") return losses;

  const sum = (v: Value): Value => e.op("reduce", [v], { op: "sum", axes: shape.map((_, axis) => axis), keepdims: false });
  return reduction === "sum" ? sum(losses) : e.op("div", [sum(losses), sum(weight)]);
}

const negativeLogLikelihoodLoss = defineOnnxOp({
  name: "NegativeLogLikelihoodLoss",
  import: (c) => likelihoodLoss(c, c.input(0), c.input(1), c.inputs[2]),
});

const softmaxCrossEntropyLoss = defineOnnxOp({
  name: "SoftmaxCrossEntropyLoss",
  import(c) {
    const logarithms = c.add("log_softmax", [c.input(0)], { axis: 1 });
    return [likelihoodLoss(c, logarithms, c.input(1), c.inputs[2]), logarithms];
  },
});

export const lossTable: readonly OnnxOp[] = [negativeLogLikelihoodLoss, softmaxCrossEntropyLoss];
