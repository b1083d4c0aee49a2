// Axes as ONNX gives them: negative ones count from the end.

import type { Value } from "../../ir/graph.ts";
import { isStatic, maxShape, typeToString } from "../../ir/types.ts";
import type { ImportContext } from "./op.ts";

/** An axis of a tensor of `rank` axes, as a number from 0 on; `bad-model` where there is no such axis. */
export function axisOf(c: ImportContext, axis: number, rank: number): number {
  const counted = axis < 0 ? axis + rank : axis;
  return counted >= 0 && counted < rank ? counted : c.bad(`axis ${axis} of a tensor with ${rank} axes`);
}

/** Elements that a constant made by an import may have; what is larger is refused. */
const MOST = 2 ** 24;

/** Raises `unsupported` for a constant of `count` elements where that is more than an import makes. */
export function checkConstant(c: ImportContext, count: number): void {
  if (!(count >= 0 && count <= MOST)) c.unsupported(`a constant of ${count} elements; at most ${MOST} are made while importing`);
}

/** The extents of a value; `unsupported` where one hangs on data. */
export function shapeOf(c: ImportContext, v: Value): readonly number[] {
  return isStatic(v.type) ? maxShape(v.type) : c.unsupported(`an operand has the type ${typeToString(v.type)}, whose extent hangs on data`);
}
