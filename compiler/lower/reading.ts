// In which storage a unit's kernel had better read an operand, where not in the one that it lies in: vectors want neighbours.

import type { Value } from "../../ir/graph.ts";
import { isElementwise, type OpSet } from "../../ir/op.ts";
import { isStatic, sameShape } from "../../ir/types.ts";
import { anchorOf, outer } from "./anchor.ts";
import { along, features, laneAxis, type Storage } from "./storage.ts";
import { collapse } from "./templates/matmul-spec.ts";
import type { Unit } from "./unit.ts";

/** Whether only elementwise nodes of the result's shape read the operand. */
function readElementwise(u: Unit, v: Value, ops: OpSet): boolean {
  const { shape } = u.node.results[0]!.type;
  const users = u.nodes.filter((n) => n.inputs.some((x) => outer(u, x) === v));
  return users.every((n) => isElementwise(ops.get(n.op)!) && sameShape(n.results[0]!.type.shape, shape));
}

/** The storage to which operand `v`, which lies in `own`, is worth moving before the unit writes `out`; undefined where it may stay. */
export function readingOf(u: Unit, v: Value, own: Storage, out: Storage, ops: OpSet): Storage | undefined {
  const lane = laneAxis(out);
  if (lane === undefined || v.type.dtype !== "f32" || !isStatic(v.type) || own.shape.length === 0) return undefined;
  const matmul = anchorOf(u, "matmul", ops);
  if (matmul && outer(u, matmul.inputs[0]!) === v) {
    // Products with weights whose result has its tokens side by side want them so.
    if (outer(u, matmul.inputs[1]!).node.op !== "const" || lane === out.shape.length - 1) return undefined;
    return collapse(own, own.shape.length - 1)?.stride === 4 ? undefined : features(v.type);
  }
  if (!readElementwise(u, v, ops)) return undefined;
  const axis = lane - (out.shape.length - own.shape.length);
  if (axis < 0 || own.shape[axis] === 1 || own.strides[axis] === 4) return undefined;
  return sameShape(own.shape, out.shape) && out.offset === 0 ? { ...out, zeroed: false } : along(v.type, axis);
}
