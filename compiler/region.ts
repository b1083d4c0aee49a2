// Takes nodes of a graph out into a region: a graph of their own.

import { type Graph, GraphBuilder, type Node, type Value } from "../ir/graph.ts";
import { maxShape } from "../ir/types.ts";

/**
 * `members`, in topological order, over `operands` as parameters; the constants among what else they take come along. Gives `results`,
 * the last member's first where left out.
 */
export function regionOf(
  g: Graph,
  members: readonly Node[],
  operands: readonly Value[],
  results: readonly Value[] = [members.at(-1)!.results[0]!],
): Graph {
  const b = new GraphBuilder(g.ops, g.weights);
  const params = operands.map((v, i) => b.param(`x${i}`, v.type.dtype, maxShape(v.type)));
  const map = new Map<Value, Value>(operands.map((v, i) => [v, params[i]!]));
  const inside = (v: Value): Value => map.get(v) ?? b.value("const", [], v.node.attrs, v.node.locs);
  for (const n of members) {
    const copy = b.add(n.op, n.inputs.map(inside), n.attrs, n.locs);
    n.results.forEach((r, i) => map.set(r, copy.results[i]!));
  }
  return { ops: g.ops, name: "body", params, outputs: results.map(inside), weights: g.weights };
}
