// Which activations become integers, and which share one scale: what products read, and what comes between products, back to the last one.

import { type Graph, type Node, topological, useCounts, type Value } from "../../ir/graph.ts";
import { isStatic, sizeOf } from "../../ir/types.ts";
import type { Layer } from "./layers.ts";

/** These only move elements, or take the largest of some. */
const MOVES: ReadonlySet<string> = new Set(["reshape", "transpose", "slice", "concat"]);
const CLAMPS: ReadonlySet<string> = new Set(["relu", "clip"]);
const SCALES: ReadonlySet<string> = new Set(["mul", "div"]);

const isActivation = (v: Value): boolean => v.type.dtype === "f32" && v.node.op !== "const" && isStatic(v.type);

/** The operands that a node moves, where that is all it does. */
function movedBy(g: Graph, n: Node): readonly Value[] {
  if (MOVES.has(n.op)) return n.inputs;
  if (n.op === "pool" && n.attrs.op === "max") return n.inputs;
  if (n.op !== "pad" || n.attrs.mode !== "constant") return [];
  const fill = n.inputs[1];
  const zero = !fill || (fill.node.op === "const" && g.weights.get(fill.node.attrs.ref as string).data.every((x) => Number(x) === 0));
  return zero ? n.inputs.slice(0, 1) : [];
}

/** Whether a kernel applies the node to what it computes before it rounds: a clamp, or one constant factor for all. */
const isEpilogue = (n: Node): boolean =>
  CLAMPS.has(n.op) || (SCALES.has(n.op) && n.inputs[1]!.node.op === "const" && sizeOf(n.inputs[1]!.type) === 1);

/** The operands that a node computes with, where integers can do that as well. */
function summedBy(n: Node): readonly Value[] {
  if (n.op === "pool" && n.attrs.op === "avg") return n.inputs;
  if (n.op === "reduce" && n.attrs.op === "sum") return n.inputs;
  return n.op === "add" ? n.inputs : [];
}

/**
 * Groups of values that become integers of one scale. Backwards from what products read: sums, averages, moves and clamps of integers take
 * integers; any other operator's result is rounded once it is there.
 */
export function activationGroups(g: Graph, layers: readonly Layer[]): readonly (readonly Value[])[] {
  const uses = useCounts(g.outputs);
  const outs = new Set(layers.map((l) => l.out));
  const groupOf = new Map<Value, Value[]>();
  const demand = (v: Value): void => {
    if (isActivation(v) && !groupOf.has(v)) groupOf.set(v, [v]);
  };
  const join = (v: Value, w: Value): void => {
    const [a, b] = [groupOf.get(v), groupOf.get(w)];
    if (!a || !b || a === b) return;
    a.push(...b);
    for (const x of b) groupOf.set(x, a);
  };
  for (const l of layers) if (l.kind === "product") demand(l.node.inputs[l.data]!);
  /** Values that become integers once what follows is applied. */
  const pending = new Set<Value>();
  for (const n of topological(g.outputs).reverse()) {
    const [result] = n.results;
    if (!result || outs.has(result) || !(groupOf.has(result) || pending.has(result))) continue;
    if (isEpilogue(n)) {
      const x = n.inputs[0]!;
      if (uses.get(x) === 1) pending.add(x);
      else demand(x);
      continue;
    }
    for (const v of movedBy(g, n)) {
      demand(v);
      join(result, v);
    }
    const sum = summedBy(n);
    if (sum.every(isActivation)) sum.forEach(demand);
  }
  return [...new Set(groupOf.values())];
}
