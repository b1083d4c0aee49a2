// Whether a kernel can be bound on a device.

import type { Capabilities } from "../../backend.ts";
import type { GenericContext } from "../generic/kernel.ts";
import type { Binding } from "../template.ts";
import type { Unit } from "../unit.ts";

/** Whether the buffers behind some bindings are no more than a kernel may bind: weights are one where there are many. */
export function fits(bindings: readonly Binding[], u: Unit, c: GenericContext, can: Capabilities): boolean {
  const isConstant = (b: Binding): boolean =>
    b.kind === "packed" || (b.kind === "operand" && c.constantOf(u.operands[b.operand]!) !== undefined);
  const others = new Set(bindings.filter((b) => !isConstant(b)).map((b) => (b.kind === "operand" ? b.operand : b)));
  return others.size + (bindings.some(isConstant) ? 1 : 0) <= (can.device?.buffers ?? Number.POSITIVE_INFINITY);
}
