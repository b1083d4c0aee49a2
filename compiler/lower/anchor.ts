// The one node of a unit whose loops a template brings, when all the others are elementwise and follow at its result's shape.

import type { Node, Value } from "../../ir/graph.ts";
import { bitmap } from "../../ir/layouts/index.ts";
import { isElementwise, type OpSet } from "../../ir/op.ts";
import type { Tensor } from "../../ir/tensor.ts";
import { isStatic, sameShape, type TensorType } from "../../ir/types.ts";
import type { GenericContext } from "./generic/kernel.ts";
import type { Epilogue, Lowered } from "./template.ts";
import type { Unit } from "./unit.ts";

export const isFloat = (t: TensorType): boolean => t.dtype === "f32";

/** Floats, and the bytes that they may be quantized to. */
export const isFloatOrByte = (t: TensorType): boolean => t.dtype === "f32" || t.dtype === "u8" || t.dtype === "i8";

/**
 * The node `op` of the unit, or undefined where there is none, or something that is not its epilogue, or types (f32) are not `fitting`, the
 * unit's result not `ending`.
 */
export function anchorOf(
  u: Unit,
  op: string,
  ops: OpSet,
  fitting: (t: TensorType) => boolean = isFloat,
  ending = fitting,
): Node | undefined {
  const anchor = u.nodes.find((n) => n.op === op);
  const inside = new Set(u.nodes);
  if (!anchor || u.roots.length !== 1 || anchor.inputs.some((v) => inside.has(v.node))) return undefined;
  const out = anchor.results[0]!.type;
  const follows = u.nodes.every((n) => n === anchor || (isElementwise(ops.get(n.op)!) && sameShape(n.results[0]!.type.shape, out.shape)));
  const types = [...anchor.inputs.map((v) => v.type), out];
  const result = u.node.results[0]!.type;
  const plain = [...types, result].every((t) => isStatic(t) && t.shape.every((d) => (d as number) > 0));
  return follows && plain && types.every(fitting) && ending(result) ? anchor : undefined;
}

export const outer = (u: Unit, v: Value): Value => u.outside.get(v) ?? v;

/** A constant operand's tensor, or undefined. */
export const constantOperand = (u: Unit, v: Value | undefined, c: GenericContext): Tensor | undefined => v && c.constantOf(outer(u, v));

/** The layout of a constant by which hosts multiply; none, where it says only which elements are zero: devices choose by that. */
export const hostLayout = ({ type }: Value): string | undefined => (type.layout === bitmap.name ? undefined : type.layout);

/** A template's operands, which it numbers from 0 in the order of `operands`, as the unit numbers them; the epilogue's are that already. */
export function bound(u: Unit, lowered: Lowered | undefined, operands: readonly Value[], epilogue: Epilogue): Lowered | undefined {
  if (!lowered) return undefined;
  const own = lowered.bindings.filter((b) => !epilogue.bindings.includes(b));
  const renumbered = new Map(
    own.map((b) => [b, b.kind === "operand" ? ({ kind: "operand", operand: u.operands.indexOf(operands[b.operand]!) } as const) : b]),
  );
  return { ...lowered, bindings: lowered.bindings.map((b) => renumbered.get(b) ?? b) };
}
