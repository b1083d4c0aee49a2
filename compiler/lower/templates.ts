// The menu of fast kernels: which template takes a unit, and what it wants of its operands' layout.

import type { Graph, Node, Value } from "../../ir/graph.ts";
import type { Capabilities } from "../backend.ts";
import type { GenericContext } from "./generic/kernel.ts";
import type { Margin } from "./storage.ts";
import type { Lowered } from "./template.ts";
import type { Unit } from "./unit.ts";

/** The activation that a node's template reads as rows of channels, and the zero margin that it needs. */
export function wantsRows(_node: Node, _graph: Graph, _can: Capabilities): { readonly input: Value; readonly margin: Margin } | undefined {
  return undefined;
}

/** A template's kernel for the unit, or undefined where the generic lowering is the way. */
export function templateFor(_u: Unit, _c: GenericContext, _can: Capabilities): Lowered | undefined {
  return undefined;
}
