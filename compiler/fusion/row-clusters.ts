// Rows that are reduced and then written, as in softmax and norms: which operators around reductions over the same axes one kernel computes.

import type { Node } from "../../ir/graph.ts";
import { type Dim, isStatic, sameShape } from "../../ir/types.ts";

/** What a cluster may take. */
export interface Choice {
  /** Where the node stands in topological order. */
  position(n: Node): number;
  /** Whether everything that uses the node is in `members`, and it is free to be taken. */
  usedOnlyBy(n: Node, members: ReadonlySet<Node>): boolean;
  isElementwise(n: Node): boolean;
  /** Whether another kernel takes the node as its epilogue. */
  isEpilogue(n: Node): boolean;
}

const KINDS: ReadonlySet<unknown> = new Set(["sum", "prod", "min", "max"]);
const shapeOf = (n: Node): readonly Dim[] => n.results[0]!.type.shape;

/** Whether `few` is `shape` with some axes reduced to 1. */
const isReduced = (few: readonly Dim[], shape: readonly Dim[]): boolean =>
  few.length === shape.length && !sameShape(few, shape) && few.every((d, axis) => d === 1 || d === shape[axis]);

/** A reduction that keeps its axes, of the kind that can be done four lanes at once. */
export const isRowReduction = (n: Node): boolean =>
  n.op === "reduce" && n.attrs.keepdims === true && KINDS.has(n.attrs.op) && n.results[0]!.type.dtype === "f32";

/**
 * The nodes of the cluster whose result is the root's: the root, elementwise, and all before it that hang on reductions of its rows, or are
 * only reduced. Undefined where there is no such reduction.
 */
export function rowsEndingIn(root: Node, c: Choice): Node[] | undefined {
  const shape = shapeOf(root);
  if (!c.isElementwise(root) || root.results[0]!.type.dtype !== "f32" || !isStatic(root.results[0]!.type) || c.isEpilogue(root))
    return undefined;
  const members = new Set([root]);
  const refused = new Set<Node>();
  let reduced: readonly Dim[] | undefined;
  const admits = (n: Node): boolean => {
    if (!c.usedOnlyBy(n, members)) return false;
    const own = shapeOf(n);
    if (isRowReduction(n)) {
      const of = n.inputs[0]!.type.shape;
      return sameShape(of, shape) && isReduced(own, shape) && (reduced === undefined || sameShape(own, reduced));
    }
    if (!c.isElementwise(n) || c.isEpilogue(n)) return false;
    return sameShape(own, shape) || (isReduced(own, shape) && (reduced === undefined || sameShape(own, reduced)));
  };
  // Users before producers, so that all users of a node are known when its turn comes.
  for (;;) {
    const waiting = [...members].flatMap((m) => m.inputs.map((v) => v.node)).filter((n) => !members.has(n) && !refused.has(n));
    if (waiting.length === 0) break;
    const n = waiting.reduce((a, b) => (c.position(b) > c.position(a) ? b : a));
    if (!admits(n)) {
      refused.add(n);
      continue;
    }
    if (!sameShape(shapeOf(n), shape)) reduced = shapeOf(n);
    members.add(n);
  }
  return prune([...members].sort((a, b) => c.position(a) - c.position(b)));
}

/** Without what hangs on no reduction, unless it is only reduced: that had better be computed once, by whatever kernel comes before. */
function prune(members: readonly Node[]): Node[] | undefined {
  const hangs = new Set<Node>();
  for (const n of members) if (n.op === "reduce" || n.inputs.some((v) => hangs.has(v.node))) hangs.add(n);
  if (!members.some((n) => n.op === "reduce")) return undefined;
  const inner = new Set<Node>();
  for (const n of members.toReversed()) {
    const users = members.filter((m) => m.inputs.some((v) => v.node === n));
    if (hangs.has(n) || (users.length > 0 && users.every((m) => m.op === "reduce" || (inner.has(m) && !hangs.has(m))))) inner.add(n);
  }
  return hangs.has(members.at(-1)!) ? members.filter((n) => inner.has(n)) : undefined;
}
