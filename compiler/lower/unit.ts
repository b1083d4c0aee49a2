// A unit of lowering: one node (fused or plain) that becomes one kernel per result, with the values that it reads from memory.

import type { Graph, Node, Value } from "../../ir/graph.ts";
import { topological } from "../../ir/graph.ts";
import { isCompute, type OpSet } from "../../ir/op.ts";

export interface Unit {
  readonly node: Node;
  /** Values that lie in memory, in the order of the kernel's parameters: the node's operands, then counts of bounded extents. */
  readonly operands: readonly Value[];
  /** Inside value (parameter of a fused region) to outside operand. */
  readonly outside: ReadonlyMap<Value, Value>;
  /** Nodes computed by the unit, operands before users. */
  readonly nodes: readonly Node[];
  /** Inside values that the results are. */
  readonly roots: readonly Value[];
}

function countsOf(values: readonly Value[]): Value[] {
  return values.flatMap((v) => v.type.shape.flatMap((d) => (typeof d === "number" ? [] : [d.value])));
}

/** Takes a node apart; `nodes` of a fused region are its body's. */
export function unitOf(node: Node): Unit {
  if (node.op !== "fused") {
    const operands = [...new Set([...node.inputs, ...countsOf([...node.inputs, ...node.results])])];
    return { node, operands, outside: new Map(), nodes: [node], roots: node.results };
  }
  const body = node.attrs.body as Graph;
  const outside = new Map(body.params.map((p, i) => [p, node.inputs[i]!]));
  const inside = topological(body.outputs).filter((n) => n.op !== "param");
  const constants = inside.filter((n) => n.op === "const").map((n) => n.results[0]!);
  const operands = [...new Set([...node.inputs, ...constants, ...countsOf([...node.inputs, ...node.results])])];
  return { node, operands, outside, nodes: inside.filter((n) => n.op !== "const"), roots: body.outputs };
}

/** Whether every node of the unit is an indexed expression, so that the generic lowering can take it. */
export const isGeneric = (u: Unit, ops: OpSet): boolean => u.nodes.every((n) => isCompute(ops.get(n.op)!));
