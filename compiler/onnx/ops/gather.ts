// ONNX operators that read and write at positions that are data.

import type { Value } from "../../../ir/graph.ts";
import { axisOf } from "../axis.ts";
import { defineOnnxOp, type ImportContext, type OnnxOp } from "../op.ts";
import { castTo } from "../widen.ts";

const axisAttr = (c: ImportContext, x: Value): number => axisOf(c, c.int("axis", 0), x.type.shape.length);

const gather = defineOnnxOp({
  name: "Gather",
  import: (c) => c.add("gather", [c.input(0), c.input(1)], { axis: axisAttr(c, c.input(0)) }),
});

const gatherElements = defineOnnxOp({
  name: "GatherElements",
  import: (c) => c.add("gather_elements", [c.input(0), c.input(1)], { axis: axisAttr(c, c.input(0)) }),
});

const gatherNd = defineOnnxOp({
  name: "GatherND",
  import: (c) => c.add("gather_nd", [c.input(0), c.input(1)], { batch_dims: c.int("batch_dims", 0) }),
});

function reductionOf(c: ImportContext): string {
  const reduction = c.string("reduction", "none");
  if (!["none", "add", "mul", "min", "max"].includes(reduction)) c.bad(`attribute 'reduction' is ${JSON.stringify(reduction)}`);
  if (c.input(0).type.dtype !== "bool") return reduction;
  // Of bools, the sum and the larger are either, the product and the smaller both.
  return reduction === "none" ? reduction : reduction === "add" || reduction === "max" ? "or" : "and";
}

const scatterElements = (name: string): OnnxOp =>
  defineOnnxOp({
    name,
    import: (c) =>
      c.add("scatter_elements", [c.input(0), c.input(1), c.input(2)], { axis: axisAttr(c, c.input(0)), reduction: reductionOf(c) }),
  });

const scatterNd = defineOnnxOp({
  name: "ScatterND",
  import: (c) => c.add("scatter_nd", [c.input(0), c.input(1), c.input(2)], { reduction: reductionOf(c) }),
});

const oneHot = defineOnnxOp({
  name: "OneHot",
  shapeOperands: [1],
  import(c) {
    const depth = c.numbers(1)[0] ?? c.bad("the depth is empty");
    if (!Number.isInteger(depth) || depth < 0) c.bad(`a depth of ${depth}`);
    const indices = castTo(c, c.input(0), "i64");
    const axis = axisOf(c, c.int("axis", -1), indices.type.shape.length + 1);
    return c.add("one_hot", [c.input(2), indices], { axis, depth });
  },
});

export const gatherTable: readonly OnnxOp[] = [
  gather,
  gatherElements,
  gatherNd,
  scatterElements("ScatterElements"),
  scatterElements("Scatter"),
  scatterNd,
  oneHot,
];
