// ONNX's Dropout, which inference leaves out.

import type { Value } from "../../../ir/graph.ts";
import { composer } from "../../../ir/ops/compose.ts";
import { shapeOf } from "../axis.ts";
import { defineOnnxOp, type ImportContext } from "../op.ts";

/** Since opset 12 a run can ask for training, whose results are random unless nothing is dropped. */
function checkInference(c: ImportContext): void {
  const training = c.opset >= 12 && c.inputs[2] !== undefined && c.numbers(2)[0] !== 0;
  if (training && Number(c.numbers(1, [0.5])[0]) !== 0) c.unsupported("its results are random while training");
}

const dropout = defineOnnxOp({
  name: "Dropout",
  shapeOperands: [1, 2],
  import(c): readonly (Value | undefined)[] {
    checkInference(c);
    const x = c.input(0);
    // Every element is kept. Before opset 10 the mask has the type of the data.
    return [x, c.wants(1) ? composer(c.b, c.loc).fill(c.opset < 10 ? x.type.dtype : "bool", shapeOf(c, x), 1) : undefined];
  },
});

export const dropoutTable = [dropout] as const;
