// Gathers operators into `fused` regions, each computed by one kernel: values inside a region never reach memory.

import { type Graph, GraphBuilder, type Node, topological, useCounts, type Value } from "../../ir/graph.ts";
import { isCompute, type OpSet } from "../../ir/op.ts";
import { rebuild } from "../../ir/rewrite.ts";
import { type Dim, isStatic, sameShape, sizeOf } from "../../ir/types.ts";
import { type Choice, rowsEndingIn } from "../fusion/row-clusters.ts";
import { definePass } from "../pass.ts";
import { regionOf } from "../region.ts";

/** A kernel with more operands runs out of registers for its pointers. */
const MOST_OPERANDS = 12;
const MOST_NODES = 32;

/** These only relabel bytes, or let their operands be produced in place: as nodes of their own they cost nothing. */
const FREE: ReadonlySet<string> = new Set(["reshape", "transpose", "slice", "bitcast", "concat"]);

/** These read each element of their operand once, so that its elementwise producers can be computed where it is read. */
const READS_ONCE: ReadonlySet<string> = new Set(["reduce", "arg_reduce"]);

const PRODUCT = 2;

/** How much an anchor gains from its epilogue: what computes most, most. Others only move data. */
const ANCHORS: ReadonlyMap<string, number> = new Map([
  ["conv", PRODUCT],
  ["matmul", PRODUCT],
  ["block_product", PRODUCT],
  ["conv_transpose", PRODUCT],
  ["reduce", 1],
  ["pool", 1],
  ["arg_reduce", 1],
]);

type Role = "elementwise" | "anchor" | "outside";

/** An anchor reduces or moves data; its loops are the kernel's loops, so a region has one at most. */
function roleOf(ops: OpSet, n: Node): Role {
  const op = ops.get(n.op)!;
  if (!isCompute(op) || op.effect || n.results.length !== 1 || n.inputs.length === 0 || FREE.has(n.op)) return "outside";
  if (!isStatic(n.results[0]!.type) || !n.inputs.every((v) => isStatic(v.type))) return "outside";
  return op.elementwise ? "elementwise" : "anchor";
}

const shapeOf = (n: Node): readonly Dim[] => n.results[0]!.type.shape;

/** A region in the making. Everything but the anchor and its prologue has the shape of the root. */
interface Cluster {
  readonly members: Set<Node>;
  anchor: Node | undefined;
  /** The product of integers whose sums members scale: floats of another's are four times as large as what they become. */
  sums: Node | undefined;
  /** Elementwise producers of a reduction's operand. */
  readonly prologue: Set<Node>;
}

const isScalarConstant = (v: Value): boolean => v.node.op === "const" && sizeOf(v.type) === 1;

/** What a region takes from outside, in order of first use. One-element constants are part of it. */
function operandsOf(members: Iterable<Node>, inside: ReadonlySet<Node>): Value[] {
  const operands = new Set<Value>();
  for (const n of members) for (const v of n.inputs) if (!inside.has(v.node) && !isScalarConstant(v)) operands.add(v);
  return [...operands];
}

/** The clusters of two nodes or more, members in topological order, by the node that gives the result. */
function clustersOf(g: Graph): ReadonlyMap<Node, readonly Node[]> {
  const order = topological(g.outputs);
  const position = new Map(order.map((n, i) => [n, i]));
  const uses = useCounts(g.outputs);
  const users = new Map<Node, Node[]>();
  for (const n of order) {
    for (const v of n.inputs) {
      const known = users.get(v.node);
      if (known) known.push(n);
      else users.set(v.node, [n]);
    }
  }
  const claimed = new Set<Node>();

  /** A product that an elementwise node alone uses, directly or after others. */
  const productBefore = (n: Node): Node | undefined => {
    for (const v of n.inputs) {
      if (uses.get(v) !== 1 || !sameShape(v.type.shape, shapeOf(n))) continue;
      const role = roleOf(g.ops, v.node);
      if (role === "anchor" && ANCHORS.get(v.node.op) === PRODUCT) return v.node;
      const found = role === "elementwise" ? productBefore(v.node) : undefined;
      if (found) return found;
    }
    return undefined;
  };

  /** Whether an elementwise node can be computed in the store of a product: of floats, or of integers that are bytes again. */
  const endsProduct = (n: Node): boolean => {
    const { dtype } = n.results[0]!.type;
    const product = dtype === "f32" || dtype === "u8" || dtype === "i8" ? productBefore(n) : undefined;
    return product !== undefined && (dtype === "f32" || product.results[0]!.type.dtype === "i32");
  };

  /** The product of integers that an elementwise node ends, by the same account: what follows turns its sums into a few bits. */
  const sumsOf = (n: Node): Node | undefined => {
    for (const v of n.inputs) {
      if (uses.get(v) !== 1 || !sameShape(v.type.shape, shapeOf(n))) continue;
      const role = roleOf(g.ops, v.node);
      if (role === "anchor" && ANCHORS.get(v.node.op) === PRODUCT) return v.type.dtype === "i32" ? v.node : undefined;
      // Once they are a few bits, it matters no more.
      const found = role === "elementwise" && v.node.op !== "quantize" ? sumsOf(v.node) : undefined;
      if (found) return found;
    }
    return undefined;
  };

  const part = (n: Node, c: Cluster): "epilogue" | "prologue" | "anchor" | undefined => {
    const role = roleOf(g.ops, n);
    if (role === "outside" || claimed.has(n)) return undefined;
    const by = users.get(n) ?? [];
    // Used elsewhere, or as an output: swallowing it would compute it twice. Swallowing none such, no cycle can arise.
    if (by.length !== uses.get(n.results[0]!) || !by.every((u) => c.members.has(u))) return undefined;
    const before = (u: Node) => c.prologue.has(u) || (u === c.anchor && READS_ONCE.has(u.op));
    if (by.every(before))
      return role === "elementwise" && sameShape(shapeOf(n), c.anchor!.inputs[0]!.type.shape) && !endsProduct(n) ? "prologue" : undefined;
    if (by.some((u) => u === c.anchor || c.prologue.has(u)) || !sameShape(shapeOf(n), shapeOf(by[0]!))) return undefined;
    const sums = role === "elementwise" ? sumsOf(n) : n;
    if (c.sums && sums && sums.results[0]!.type.dtype === "i32" && sums !== c.sums) return undefined;
    if (role === "elementwise") return "epilogue";
    return c.anchor ? undefined : "anchor";
  };

  /** The producer to take in next: elementwise ones first, then the anchor that does most, of equals the latest. */
  const next = (c: Cluster): readonly [Node, ReturnType<typeof part>] | undefined => {
    const producers = new Set([...c.members].flatMap((m) => m.inputs.map((v) => v.node)).filter((n) => !c.members.has(n)));
    let best: readonly [Node, ReturnType<typeof part>] | undefined;
    const worth = (n: Node, as: ReturnType<typeof part>) =>
      (as === "anchor" ? (ANCHORS.get(n.op) ?? 0) : 3) * order.length + position.get(n)!;
    for (const n of producers) {
      const as = part(n, c);
      if (!as || (best && worth(n, as) < worth(...best))) continue;
      const grown = new Set([...c.members, n]);
      if (operandsOf(grown, grown).length <= MOST_OPERANDS) best = [n, as];
    }
    return best;
  };

  const grow = (root: Node): Cluster => {
    const c: Cluster = {
      members: new Set([root]),
      anchor: roleOf(g.ops, root) === "anchor" ? root : undefined,
      prologue: new Set(),
      sums: undefined,
    };
    while (c.members.size < MOST_NODES) {
      const found = next(c);
      if (!found) break;
      const [n, as] = found;
      c.members.add(n);
      c.sums ??= as === "epilogue" ? sumsOf(n) : undefined;
      if (as === "prologue") c.prologue.add(n);
      if (as === "anchor") c.anchor = n;
    }
    return c;
  };

  const choice: Choice = {
    position: (n) => position.get(n)!,
    usedOnlyBy(n, members) {
      const by = users.get(n) ?? [];
      return roleOf(g.ops, n) !== "outside" && !claimed.has(n) && by.length === uses.get(n.results[0]!) && by.every((u) => members.has(u));
    },
    isElementwise: (n) => roleOf(g.ops, n) === "elementwise",
    isEpilogue: (n) => n.inputs.some(({ node }) => (ANCHORS.get(node.op) ?? 0) > 1 && choice.usedOnlyBy(node, new Set([n]))),
  };
  const rowsOf = (root: Node): readonly Node[] | undefined => {
    const rows = rowsEndingIn(root, choice);
    return rows && rows.length <= MOST_NODES && operandsOf(rows, new Set(rows)).length <= MOST_OPERANDS ? rows : undefined;
  };

  const clusters = new Map<Node, readonly Node[]>();
  for (const root of order.toReversed()) {
    if (claimed.has(root) || roleOf(g.ops, root) === "outside") continue;
    const members = rowsOf(root) ?? [...grow(root).members].sort((a, b) => position.get(a)! - position.get(b)!);
    for (const m of members) claimed.add(m);
    if (members.length > 1) clusters.set(root, members);
  }
  return clusters;
}

export const fuse = definePass({
  name: "fuse",
  doc: "Puts a reduction or a movement of data together with the elementwise operators after it, and elementwise operators with each other, into `fused` regions.",
  exactness: "exact",
  invariant:
    "an elementwise operator and a value used by it alone, of its own shape, are computed by one kernel (up to 32 operators and 12 operands)",
  run(g, ctx) {
    const clusters = clustersOf(g);
    if (clusters.size === 0) return g;
    const swallowed = new Set([...clusters.values()].flatMap((members) => members.slice(0, -1)));
    const copies = new Map<Value, Value>();
    return rebuild(g, new GraphBuilder(g.ops, g.weights), (n, inputs, b) => {
      n.inputs.forEach((v, i) => {
        copies.set(v, inputs[i]!);
      });
      // Used by its region alone, which computes it: nothing will ask for its copy.
      if (swallowed.has(n)) return n.results;
      const members = clusters.get(n);
      if (!members) return undefined;
      ctx.trace?.(`fuse ${members.map((m) => m.op).join(" + ")}`, n.results[0]!);
      const operands = operandsOf(members, new Set(members));
      const locs = members.toReversed().flatMap((m) => m.locs);
      return b.add(
        "fused",
        operands.map((v) => copies.get(v)!),
        { body: regionOf(g, members, operands) },
        locs,
      ).results;
    });
  },
});
