// Takes nodes of a graph out into a region: a graph of their own.

import { type Graph, GraphBuilder, type Node, type Value } from "../ir/graph.ts";

/** `members`, in topological order, over `operands` as parameters; the constants among what else they take come along. The last gives the result. */
export function regionOf(g: Graph, members: readonly Node[], operands: readonly Value[]): Graph {
  const b = new GraphBuilder(g.ops, g.weights);
  const params = operands.map((v, i) => b.param(`x${i}`, v.type.dtype, v.type.shape as readonly number[]));
  const map = new Map<Value, Value>(operands.map((v, i) => [v, params[i]!]));
  const inside = (v: Value): Value => map.get(v) ?? b.value("const", [], v.node.attrs, v.node.locs);
  for (const n of members) map.set(n.results[0]!, b.value(n.op, n.inputs.map(inside), n.attrs, n.locs));
  return { ops: g.ops, name: "body", params, outputs: [map.get(members.at(-1)!.results[0]!)!], weights: g.weights };
}
