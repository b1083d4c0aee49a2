// Where tokens had better be neighbours in memory: products with constant weights, and what lies between them, get their features as
// rows of tokens, if that moves fewer elements than leaving them flat.

import { type Graph, type Node, topological, type Value } from "../../ir/graph.ts";
import { isCompute, isElementwise } from "../../ir/op.ts";
import { isStatic, sameShape } from "../../ir/types.ts";
import { anchorOf, hostLayout, outer } from "./anchor.ts";
import { columns, features, laneAxis, type Storage, sameStorage } from "./storage.ts";
import { type Unit, unitOf } from "./unit.ts";
import { isView, operandOf, viewOf } from "./views.ts";

/** What a node does, as far as the layout of its operands and result goes. */
interface Role {
  readonly node: Node;
  readonly result: Value;
  /**
   * `linear`: product of the first of `reads` with a constant matrix; `product`: of the first two; `follows`: element by element, or row by
   * row, of operands of the result's shape; `reduces`: rows to a number each.
   */
  readonly kind: "linear" | "product" | "follows" | "reduces" | "view";
  /** Operands that had better lie as the result does. */
  readonly reads: readonly Value[];
  readonly sparse?: boolean;
}

const extents = (v: Value): readonly number[] => v.type.shape as readonly number[];
const sizeOf = (v: Value): number => extents(v).reduce((a, d) => a * d, 1);
const isPlain = (v: Value): boolean => v.type.dtype === "f32" && isStatic(v.type) && sizeOf(v) > 1;

/** Operands of the result's shape, besides `but`. */
const alongside = (u: Unit, but: readonly Value[]): Value[] =>
  u.operands.filter(
    (v) => !but.includes(v) && v.node.op !== "const" && isPlain(v) && sameShape(v.type.shape, u.node.results[0]!.type.shape),
  );

function roleOf(g: Graph, node: Node): Role | undefined {
  const result = node.results[0]!;
  if (node.results.length !== 1 || !isPlain(result)) return undefined;
  if (isView(node)) return { node, result, kind: "view", reads: node.inputs };
  if (!isCompute(g.ops.get(node.op)!) && node.op !== "fused") return undefined;
  const u = unitOf(node);
  const matmul = anchorOf(u, "matmul", g.ops);
  if (matmul) {
    const [a, b] = matmul.inputs.map((v) => outer(u, v)) as [Value, Value];
    if (a.node.op === "const" || a.type.shape.length < 2 || b.type.shape.length < 2) return undefined;
    const reads = [a, b, ...alongside(u, [a, b])];
    if (b.node.op !== "const") return { node, result, kind: "product", reads };
    const sparse = hostLayout(b) !== undefined;
    return b.type.shape.length === 2 ? { node, result, kind: "linear", reads: reads.toSpliced(1, 1), sparse } : undefined;
  }
  const reduction = anchorOf(u, "reduce", g.ops);
  if (reduction) return { node, result, kind: "reduces", reads: reduction.inputs.map((v) => outer(u, v)) };
  const inRows = u.nodes.every((n) => isElementwise(g.ops.get(n.op)!) || (n.op === "reduce" && n.attrs.keepdims === true));
  const reads = alongside(u, []);
  return inRows && reads.length > 0 ? { node, result, kind: "follows", reads } : undefined;
}

/** Disjoint sets of values that had better lie alike. */
function regions(): { readonly find: (v: Value) => Value; readonly join: (a: Value, b: Value) => void } {
  const parents = new Map<Value, Value>();
  const find = (v: Value): Value => {
    let root = v;
    for (let up = parents.get(root); up !== undefined; up = parents.get(root)) root = up;
    if (root !== v) parents.set(v, root);
    return root;
  };
  return {
    find,
    join(a, b) {
      const [x, y] = [find(a), find(b)];
      if (x !== y) parents.set(x, y);
    },
  };
}

/** What a lane of a multiply-add that is computed for nothing costs, in elements moved. */
const WASTED_LANE = 1 / 8;
/** With fewer tokens, sparse products read and write any layout in place. */
const FEW_TOKENS = 4;

/** Elements that a node moves, or computes for nothing, when its values are flat, less those when features are rows. */
function gainOf(r: Role): number {
  if (r.kind === "view") return r.node.op === "transpose" ? sizeOf(r.result) : 0;
  if (r.kind !== "linear") return 0;
  const [depth, features] = [extents(r.reads[0]!).at(-1)!, extents(r.result).at(-1)!];
  const tokens = sizeOf(r.result) / features;
  // Flat, a sparse product copies its operand and scatters its result.
  if (r.sparse) return tokens < FEW_TOKENS ? 0 : tokens * (depth + features);
  return -depth * features * (4 * Math.ceil(tokens / 4) - tokens) * WASTED_LANE;
}

/** Storages of the values that had better not be flat. `taken` values have a layout of their own. */
export function assignFeatures(g: Graph, taken: (v: Value) => boolean): ReadonlyMap<Value, Storage> {
  const order = topological(g.outputs);
  const roles = new Map<Node, Role>();
  for (const node of order) {
    const role = roleOf(g, node);
    if (role && ![role.result, ...role.reads].some(taken)) roles.set(node, role);
  }
  const { find, join } = regions();
  for (const r of roles.values()) for (const v of r.reads) join(v, r.result);
  const gains = new Map<Value, number>();
  const count = (v: Value, n: number) => gains.set(find(v), (gains.get(find(v)) ?? 0) + n);
  for (const r of roles.values()) count(r.result, gainOf(r));
  // Where a region ends, its values are moved.
  const ends = new Set<Value>(g.outputs);
  for (const node of order) {
    for (const v of node.inputs) if (!roles.get(node)?.reads.includes(v)) ends.add(v);
    if (!roles.has(node)) for (const v of node.results) ends.add(v);
  }
  for (const v of ends) if (isPlain(v)) count(v, -sizeOf(v));
  const chosen = [...roles.values()].filter((r) => (gains.get(find(r.result)) ?? 0) > 0);
  return storagesOf(chosen);
}

function storagesOf(roles: readonly Role[]): ReadonlyMap<Value, Storage> {
  // What users want, as far back as views and elementwise operators lead.
  const wanted = new Map<Value, Storage>();
  const want = (v: Value, s: Storage | undefined) => s && !wanted.has(v) && wanted.set(v, s);
  for (const r of roles.toReversed()) {
    const own = wanted.get(r.result);
    if (r.kind === "linear") want(r.reads[0]!, features(r.reads[0]!.type));
    else if (r.kind === "view") want(r.reads[0]!, own && operandOf(r.node, own));
    else if (r.kind === "follows") for (const v of r.reads) want(v, own);
  }
  const storages = new Map<Value, Storage>();
  const productStorage = (r: Role): Storage | undefined => {
    const own = wanted.get(r.result);
    if (own && laneAxis(own) !== undefined) return own;
    const left = storages.get(r.reads[0]!);
    return left && laneAxis(left) === left.shape.length - 2 ? columns(r.result.type) : undefined;
  };
  const viewStorage = (r: Role): Storage | undefined => {
    const operand = storages.get(r.reads[0]!);
    const view = operand && viewOf(r.node, operand);
    const own = wanted.get(r.result);
    return own && !(view && sameStorage(view, own)) ? own : view;
  };
  for (const r of roles) {
    const own =
      r.kind === "linear"
        ? features(r.result.type)
        : r.kind === "product"
          ? productStorage(r)
          : r.kind === "view"
            ? viewStorage(r)
            : r.kind === "reduces"
              ? undefined
              : (r.reads.map((v) => storages.get(v)).find((s) => s !== undefined) ?? wanted.get(r.result));
    if (own) storages.set(r.result, own);
  }
  return storages;
}
