// The tensor IR: an immutable, interned DAG of typed nodes, built only through a checking builder.

import { errors, type Loc } from "./diagnostics.ts";
import type { DType } from "./dtype.ts";
import type { Attr, Attrs, OpSet } from "./op.ts";
import { print } from "./print.ts";
import type { Tensor } from "./tensor.ts";
import { sizeOf, type TensorType } from "./types.ts";
import type { WeightStore } from "./weights.ts";

/** One result of a node. */
export interface Value {
  readonly node: Node;
  readonly index: number;
  readonly type: TensorType;
}

export interface Node {
  readonly op: string;
  readonly inputs: readonly Value[];
  readonly attrs: Attrs;
  /** One value per result; their types are inferred, never assigned. */
  readonly results: readonly Value[];
  /** Every place that this node came from. */
  readonly locs: readonly Loc[];
}

export interface Graph {
  readonly ops: OpSet;
  readonly name: string;
  /** Results of `param` nodes, in order. */
  readonly params: readonly Value[];
  readonly outputs: readonly Value[];
  readonly weights: WeightStore;
}

const MAX_RANK = 16;

/** Whether an attribute holds a region. */
export const isGraph = (a: Attr | undefined): a is Graph => typeof a === "object" && !Array.isArray(a);

/** Exact and sorted: no two different attributes share a key. */
function attrKey(a: Attr): string {
  if (typeof a === "number") return Object.is(a, -0) ? "-0" : String(a);
  if (typeof a === "bigint") return `${a}n`;
  if (typeof a === "string") return JSON.stringify(a);
  if (typeof a === "boolean") return String(a);
  return isGraph(a) ? print(a) : `[${a.map(attrKey).join()}]`;
}
const attrsKey = (attrs: Attrs): string =>
  Object.keys(attrs)
    .sort()
    .map((k) => `${k}=${attrKey(attrs[k]!)}`)
    .join(";");

/**
 * The only way to make a node. Interning gives common-subexpression elimination; inferring gives graphs that are
 * well typed by construction.
 */
export class GraphBuilder {
  readonly ops: OpSet;
  readonly weights: WeightStore;
  readonly #interned = new Map<string, Node>();
  readonly #ids = new Map<Node, number>();

  constructor(ops: OpSet, weights: WeightStore) {
    this.ops = ops;
    this.weights = weights;
  }

  /** A node. Errors: `unknown-op`, and what the operator's type rule raises. */
  add(op: string, inputs: readonly Value[], attrs: Attrs = {}, loc?: Loc | readonly Loc[]): Node {
    const locs = loc === undefined ? [] : Array.isArray(loc) ? [...(loc as readonly Loc[])] : [loc as Loc];
    const def = this.ops.get(op);
    if (!def) throw errors.unknownOp(op, locs[0]);
    for (const [name, a] of Object.entries(attrs))
      if (a === undefined) throw errors.badAttribute(op, `attribute '${name}' has no value`, locs[0]);
    const key = `${op}(${inputs.map((v) => `${this.#id(v.node)}.${v.index}`).join()})${attrsKey(attrs)}`;
    const known = def.effect ? undefined : this.#interned.get(key);
    if (known) {
      for (const l of locs) if (!known.locs.some((k) => k.name === l.name && k.file === l.file)) (known.locs as Loc[]).push(l);
      return known;
    }
    const fail = (why: string): never => {
      throw errors.badOperands(op, why, locs[0]);
    };
    const variadic = def.operands.at(-1)?.startsWith("...") ?? false;
    const fixed = def.operands.filter((o) => !o.startsWith("..."));
    const required = fixed.filter((o) => !o.endsWith("?")).length;
    if (inputs.length < required || (!variadic && inputs.length > fixed.length)) {
      fail(`expects operands (${def.operands.join(", ")}), got ${inputs.length}`);
    }
    const inferred = def.infer({ types: inputs.map((v) => v.type), inputs, attrs, fail });
    const types = Array.isArray(inferred) ? (inferred as readonly TensorType[]) : [inferred as TensorType];
    for (const t of types) {
      if (t.shape.length > MAX_RANK) fail(`a result of rank ${t.shape.length}; at most ${MAX_RANK} axes are allowed`);
      if (op !== "const") sizeOf(t);
    }
    const results: Value[] = [];
    const node: Node = Object.freeze({ op, inputs: Object.freeze([...inputs]), attrs: Object.freeze({ ...attrs }), results, locs });
    types.forEach((type, i) => results.push(Object.freeze({ node, index: i, type: Object.freeze(type) })));
    Object.freeze(results);
    if (!def.effect) this.#interned.set(key, node);
    return node;
  }

  /** The first result of a node. */
  value(op: string, inputs: readonly Value[], attrs: Attrs = {}, loc?: Loc | readonly Loc[]): Value {
    return this.add(op, inputs, attrs, loc).results[0]!;
  }

  /** A graph input; `name` is what users call it. */
  param(name: string, dtype: DType, shape: readonly number[], loc?: Loc): Value {
    return this.value("param", [], { name, dtype, shape }, loc);
  }

  /** A weight; `layout` names how its bytes will be packed. */
  constant(t: Tensor, options: { readonly layout?: string; readonly loc?: Loc | readonly Loc[] | undefined } = {}): Value {
    const ref = this.weights.put(t);
    return this.value(
      "const",
      [],
      { ref, dtype: t.dtype, shape: t.shape, ...(options.layout ? { layout: options.layout } : {}) },
      options.loc,
    );
  }

  /** The tensor of a `const` value, else undefined. */
  constantOf(v: Value): Tensor | undefined {
    return v.node.op === "const" ? this.weights.get(v.node.attrs.ref as string) : undefined;
  }

  #id(n: Node): number {
    let id = this.#ids.get(n);
    if (id === undefined) this.#ids.set(n, (id = this.#ids.size));
    return id;
  }
}

/** The values that a node needs before it: its operands, and the values that extents of its types hang on. */
export function dependencies(n: Node): readonly Value[] {
  const bounds = n.results.flatMap((r) => r.type.shape.flatMap((d) => (typeof d === "number" ? [] : [d.value])));
  return bounds.length === 0 ? n.inputs : [...n.inputs, ...bounds];
}

/** Every node that the values need, operands before users, in a deterministic order. Iterative: graphs are deep. */
export function topological(outputs: readonly Value[]): Node[] {
  const order: Node[] = [];
  const state = new Map<Node, "open" | "done">();
  const stack: Node[] = outputs.map((v) => v.node).reverse();
  while (stack.length > 0) {
    const node = stack[stack.length - 1]!;
    const seen = state.get(node);
    if (seen) {
      stack.pop();
      if (seen === "open") order.push(node);
      state.set(node, "done");
      continue;
    }
    state.set(node, "open");
    const needs = dependencies(node);
    for (let i = needs.length - 1; i >= 0; i--) if (!state.has(needs[i]!.node)) stack.push(needs[i]!.node);
  }
  return order;
}

/** How many times each value is used, by nodes and as a graph output. */
export function useCounts(outputs: readonly Value[]): ReadonlyMap<Value, number> {
  const uses = new Map<Value, number>();
  const count = (v: Value) => uses.set(v, (uses.get(v) ?? 0) + 1);
  for (const n of topological(outputs)) dependencies(n).forEach(count);
  outputs.forEach(count);
  return uses;
}
