// Patterns, rules and the one driver that applies them: local rewrites that keep every type.

import { errors } from "./diagnostics.ts";
import { type Graph, GraphBuilder, type Node, topological, useCounts, type Value } from "./graph.ts";
import type { OpSet } from "./op.ts";
import { sameType, typeToString } from "./types.ts";

/** Matches a value; `C` is the union of the names that it captures, so that tsc checks a rule's captures. */
export interface Pattern<C extends string = never> {
  readonly ops: readonly string[] | undefined;
  readonly inputs: readonly Pattern<C>[] | undefined;
  readonly capture: C | undefined;
  readonly where: ((v: Value) => boolean) | undefined;
  readonly once: boolean;
}

/** Any value, captured under a name. */
export const any = <C extends string>(capture: C, where?: (v: Value) => boolean): Pattern<C> => ({
  ops: undefined,
  inputs: undefined,
  capture,
  where,
  once: false,
});

/** The result of an operator (or of one of several) whose operands match. Only nodes with one result match. */
export const op = <C extends string = never>(name: string | readonly string[], ...inputs: Pattern<C>[]): Pattern<C> => ({
  ops: typeof name === "string" ? [name] : name,
  inputs: inputs.length > 0 ? inputs : undefined,
  capture: undefined,
  where: undefined,
  once: false,
});

/** A constant, captured under a name. */
export const constant = <C extends string>(capture: C, where?: (v: Value) => boolean): Pattern<C> => ({
  ops: ["const"],
  inputs: undefined,
  capture,
  where,
  once: false,
});

/** Only a value that is used once, which the rule may therefore swallow. */
export const once = <C extends string>(p: Pattern<C>): Pattern<C> => ({ ...p, once: true });

/** The same pattern, captured under a name. */
export const as = <C extends string, D extends string>(capture: D, p: Pattern<C>): Pattern<C | D> => ({ ...p, capture }) as Pattern<C | D>;

/** The same pattern, with a condition on the value. */
export const where = <C extends string>(p: Pattern<C>, test: (v: Value) => boolean): Pattern<C> => ({ ...p, where: test });

export interface Rule {
  /** Reads as `before -> after`. */
  readonly name: string;
  readonly match: Pattern<string>;
  /** The replacement, of the same type, or undefined to leave the value alone. */
  rewrite(captured: Readonly<Record<string, Value>>, b: GraphBuilder, root: Value): Value | undefined;
}

export const rule = <C extends string>(
  name: string,
  match: Pattern<C>,
  rewrite: (captured: Readonly<Record<C, Value>>, b: GraphBuilder, root: Value) => Value | undefined,
): Rule => ({ name, match: match as Pattern<string>, rewrite: rewrite as Rule["rewrite"] });

/** Told of each application: the rule's name and the value that it replaced. */
export type Trace = (rule: string, root: Value) => void;

function matches(p: Pattern<string>, v: Value, single: (v: Value) => boolean, captured: Record<string, Value>): boolean {
  if (p.ops && (!p.ops.includes(v.node.op) || v.node.results.length !== 1)) return false;
  if (p.once && !single(v)) return false;
  if (p.inputs) {
    if (p.inputs.length !== v.node.inputs.length) return false;
    if (!p.inputs.every((q, i) => matches(q, v.node.inputs[i]!, single, captured))) return false;
  }
  if (p.where && !p.where(v)) return false;
  if (p.capture !== undefined) {
    // A name that occurs twice must capture the same value.
    if (captured[p.capture] !== undefined && captured[p.capture] !== v) return false;
    captured[p.capture] = v;
  }
  return true;
}

/** Rebuilds a graph node by node: `f` gets each node with its new operands and gives the values that stand for its results. */
export function rebuild(
  g: Graph,
  b: GraphBuilder,
  f: (n: Node, inputs: readonly Value[], b: GraphBuilder) => readonly Value[] | undefined,
): Graph {
  const map = new Map<Value, Value>();
  const put = (n: Node, to: readonly Value[]) => n.results.forEach((r, i) => map.set(r, to[i]!));
  const params = g.params.map((p) => {
    const copy = b.add("param", [], p.node.attrs, p.node.locs);
    put(p.node, copy.results);
    return copy.results[0]!;
  });
  for (const n of topological(g.outputs)) {
    if (map.has(n.results[0]!)) continue;
    const inputs = n.inputs.map((v) => map.get(v)!);
    put(n, f(n, inputs, b) ?? b.add(n.op, inputs, n.attrs, n.locs).results);
  }
  return { ...g, params, outputs: g.outputs.map((o) => map.get(o)!), weights: b.weights };
}

const MAX_STEPS = 64;

/** One sweep, operands before users: each value is rewritten until no rule matches it. Gives the same graph when nothing applied. */
export function applyRules(g: Graph, rules: readonly Rule[], trace?: Trace, ops: OpSet = g.ops): Graph {
  const b = new GraphBuilder(ops, g.weights);
  const oldUses = useCounts(g.outputs);
  const uses = new Map<Value, number>();
  let applied = 0;
  const single = (v: Value) => (uses.get(v) ?? 1) === 1;
  const improve = (start: Value): Value => {
    let v = start;
    for (let step = 0; step < MAX_STEPS; step++) {
      const next = firstMatch(v);
      if (!next) return v;
      v = next;
    }
    throw errors.rewriteLoop(rules.map((r) => r.name).join(", "), MAX_STEPS);
  };
  const firstMatch = (v: Value): Value | undefined => {
    for (const r of rules) {
      const captured: Record<string, Value> = Object.create(null) as Record<string, Value>;
      if (!matches(r.match, v, single, captured)) continue;
      const next = r.rewrite(captured, b, v);
      if (!next || next === v) continue;
      if (!sameType(next.type, v.type)) throw errors.rewriteType(r.name, typeToString(v.type), typeToString(next.type), v.node.locs[0]);
      applied++;
      trace?.(r.name, v);
      return next;
    }
    return undefined;
  };
  const out = rebuild(g, b, (n, inputs) => {
    const made = b.add(n.op, inputs, n.attrs, n.locs).results;
    const results = made.map((r) => (made.length === 1 ? improve(r) : r));
    n.results.forEach((r, i) => uses.set(results[i]!, (uses.get(results[i]!) ?? 0) + (oldUses.get(r) ?? 0)));
    return results;
  });
  return applied === 0 ? g : out;
}
