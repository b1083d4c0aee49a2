// What bounds a value before it is quantized does nothing where the integers' own bounds are as tight.

import { DTYPES } from "../../ir/dtype.ts";
import type { GraphBuilder, Value } from "../../ir/graph.ts";
import { op, type Rule, rule } from "../../ir/rewrite.ts";
import { roundEven } from "../../ir/scalar/maths.ts";
import { rank } from "../../ir/types.ts";
import { splatOf } from "./constants.ts";

/** The bounds of `relu` and `clip`; undefined where they are not known. */
function boundsOf(b: GraphBuilder, v: Value): { readonly low: number; readonly high: number } | undefined {
  if (v.node.op === "relu") return { low: 0, high: Number.POSITIVE_INFINITY };
  const [low, high] = v.node.inputs.slice(1).map((x) => splatOf(b, x));
  return low === undefined || high === undefined ? undefined : { low, high };
}

/** Whether no step lies outside of those bounds. */
function holdsAllSteps(b: GraphBuilder, bounded: Value, root: Value): boolean {
  const [, s, z] = root.node.inputs as [Value, Value, Value?];
  const bounds = boundsOf(b, bounded);
  const [scale, zero] = [splatOf(b, s), z ? splatOf(b, z) : 0];
  if (!bounds || rank(s.type) !== 0 || s.type.dtype !== "f32" || scale === undefined || !(scale > 0) || zero === undefined) return false;
  const { min, max } = DTYPES[root.type.dtype];
  const step = (x: number): number => roundEven(Math.fround(x / scale)) + zero;
  return step(bounds.low) <= Number(min) && step(bounds.high) >= Number(max);
}

export const quantizedBoundsRules: readonly Rule[] = [
  rule("quantize(x within bounds) -> quantize(x), where no step is outside of them", op("quantize"), (_, b, root) => {
    const [y, ...steps] = root.node.inputs as [Value, ...Value[]];
    const bounded = (y.node.op === "relu" || y.node.op === "clip") && y.type.dtype === "f32";
    if (!bounded || !holdsAllSteps(b, y, root)) return undefined;
    return b.value("quantize", [y.node.inputs[0]!, ...steps], root.node.attrs, root.node.locs);
  }),
];
