// Heterogeneous placement: cuts a graph into regions, each a program of its own for the backend where it is predicted to do best.

import { errors as irErrors, SparsecError } from "../../ir/diagnostics.ts";
import { DTYPES } from "../../ir/dtype.ts";
import { type Graph, GraphBuilder, type Node, topological, type Value } from "../../ir/graph.ts";
import { isStatic, sizeOf } from "../../ir/types.ts";
import { errors } from "../diagnostics.ts";
import { definePass } from "../pass.ts";
import { handingOver, priceOf, type Region, type Target } from "../placement.ts";
import { regionOf } from "../region.ts";

type Price = ReturnType<typeof priceOf>;

/** Nodes in order, all on one target. */
interface Segment {
  readonly target: Target;
  readonly members: readonly Node[];
}

const bytesOf = (values: readonly Value[]): number => values.reduce((sum, v) => sum + sizeOf(v.type) * DTYPES[v.type.dtype].bytes, 0);

/** Values that are there before node `i` and wanted from it on, for each `i` and the end. Constants are everywhere. */
function liveValues(g: Graph, order: readonly Node[]): readonly (readonly Value[])[] {
  const last = new Map<Value, number>();
  order.forEach((n, i) => {
    for (const v of n.inputs) last.set(v, i);
  });
  for (const v of g.outputs) last.set(v, order.length);
  const live: Value[][] = Array.from({ length: order.length + 1 }, () => []);
  const extend = (v: Value, from: number): void => {
    for (let i = from; i <= (last.get(v) ?? -1); i++) live[i]!.push(v);
  };
  for (const p of g.params) extend(p, 0);
  order.forEach((n, i) => {
    for (const r of n.results) extend(r, i + 1);
  });
  return live;
}

/** The target of each node, so that all together takes least: node by node, the best way to have come to each target. */
function assign(
  order: readonly Node[],
  live: readonly (readonly Value[])[],
  targets: readonly Target[],
  prices: ReadonlyMap<Target, readonly Price[]>,
): readonly Target[] {
  const us = (t: Target, i: number): number => {
    const price = prices.get(t)![i]!;
    return typeof price === "number" ? price : Number.POSITIVE_INFINITY;
  };
  const handing = (from: Target | undefined, to: Target | undefined, i: number): number =>
    from === to || live[i]!.every((v) => isStatic(v.type)) ? handingOver(from, to, bytesOf(live[i]!)) : Number.POSITIVE_INFINITY;
  const came: (readonly (number | undefined)[])[] = [];
  let best = targets.map((t) => handing(undefined, t, 0));
  for (const i of order.keys()) {
    const ways = targets.map((t) => best.map((before, from) => before + (i === 0 ? 0 : handing(targets[from], t, i))));
    // Of equals, to stay where it is.
    const from = ways.map((all, t) => {
      const least = i === 0 ? all[t]! : Math.min(...all);
      return i === 0 || all[t] === least ? t : all.indexOf(least);
    });
    came.push(from);
    best = targets.map((t, k) => ways[k]![from[k]!]! + us(t, i));
    if (best.every((x) => x === Number.POSITIVE_INFINITY)) throw refused(order[i]!, i, targets, prices);
  }
  const total = best.map((x, k) => x + handing(targets[k], undefined, order.length));
  let at = total.indexOf(Math.min(...total));
  const chosen: Target[] = [];
  for (const i of [...order.keys()].reverse()) {
    chosen.unshift(targets[at]!);
    at = came[i]![at]!;
  }
  return chosen;
}

/** Why there is no way beyond a node. */
function refused(n: Node, i: number, targets: readonly Target[], prices: ReadonlyMap<Target, readonly Price[]>): SparsecError {
  const why = targets.map((t) => prices.get(t)![i]!);
  const [first] = why;
  if (first instanceof SparsecError && why.every((p) => p instanceof SparsecError))
    return errors.cannotPlace(
      n.op,
      targets.map((t) => t.name).join(" or "),
      first,
      n.locs[0],
      "`place` with auto puts what one backend cannot run on another",
    );
  return errors.cannotCut(n.locs[0]);
}

function segmentsOf(order: readonly Node[], chosen: readonly Target[], targets: readonly Target[]): readonly Segment[] {
  const segments: { readonly target: Target; readonly members: Node[] }[] = [];
  order.forEach((n, i) => {
    if (segments.at(-1)?.target === chosen[i]) segments.at(-1)!.members.push(n);
    else segments.push({ target: chosen[i]!, members: [n] });
  });
  return segments.length > 0 ? segments : [{ target: targets[0]!, members: [] }];
}

const nameOf = (n: Node): string => n.locs[0]?.name ?? n.op;

/** Why a region is where it is, in a sentence. */
function reasonOf(here: Target, others: readonly Target[], predicted: Region["predicted"], refusals: ReadonlyMap<Target, string>): string {
  if (others.length === 0) return "asked for";
  const reasons = others.map((t) => {
    const refusal = refusals.get(t);
    if (refusal !== undefined) return `${t.name} cannot run ${refusal}`;
    if (predicted[here.name]! <= predicted[t.name]!) return `faster than on ${t.name}`;
    return `faster on ${t.name}, but by less than handing values over takes`;
  });
  return reasons.join("; ");
}

/** The pass between the targets given; with one, everything goes there. */
export const placeOn = (targets: readonly Target[]) =>
  definePass({
    name: "place",
    doc: "Puts all nodes into `place` regions, each for one backend, so that computing and handing values over is predicted to take least.",
    exactness: "exact",
    invariant: "every node is in a region that its backend can run; only values of constant extents go from one to another",
    run(g, ctx) {
      const order = topological(g.outputs).filter((n) => n.op !== "param" && n.op !== "const");
      if (order.some((n) => n.op === "place")) return g;
      const dynamic = g.outputs.find((v) => !isStatic(v.type));
      if (dynamic) throw irErrors.dynamicShape("place", "results whose extents hang on data cannot leave a region", dynamic.node.locs[0]);
      const prices = new Map(targets.map((t) => [t, order.map((n) => priceOf(g, n, t))]));
      const segments = segmentsOf(order, assign(order, liveValues(g, order), targets, prices), targets);
      return regions(g, segments, (body, segment, operands, results) => {
        ctx.trace?.(`place ${segment.members.map((m) => m.op).join(" + ")} on ${segment.target.name}`, results[0]!);
        ctx.placed(
          body,
          describe(segment, operands, results, targets, (n, t) => prices.get(t)![order.indexOf(n)]!),
        );
      });
    },
  });

function describe(
  { target, members }: Segment,
  operands: readonly Value[],
  results: readonly Value[],
  targets: readonly Target[],
  priceOn: (n: Node, t: Target) => Price,
): Region {
  const refusals = new Map<Target, string>();
  const predicted: Record<string, number> = {};
  for (const t of targets) {
    const prices = members.map((n) => priceOn(n, t));
    const k = prices.findIndex((p) => typeof p !== "number");
    if (k >= 0) refusals.set(t, `${nameOf(members[k]!)}: ${(prices[k] as SparsecError).reason}`);
    else predicted[t.name] = Math.round(1000 * (prices as readonly number[]).reduce((a, b) => a + b, 0)) / 1000;
  }
  return {
    backend: target.name,
    nodes: members.flatMap((n) => n.locs.map((l) => l.name)),
    predicted,
    bytesIn: bytesOf(operands),
    bytesOut: bytesOf(results),
    why: reasonOf(
      target,
      targets.filter((t) => t !== target),
      predicted,
      refusals,
    ),
  };
}

/** The graph of regions. What goes straight from an input, or a constant, to an output goes through the last. */
function regions(
  g: Graph,
  segments: readonly Segment[],
  tell: (body: Graph, s: Segment, operands: readonly Value[], results: readonly Value[]) => void,
): Graph {
  const b = new GraphBuilder(g.ops, g.weights);
  const map = new Map<Value, Value>();
  const params = g.params.map((p) => {
    const [copy] = b.add("param", [], p.node.attrs, p.node.locs).results;
    map.set(p, copy!);
    return copy!;
  });
  segments.forEach((segment, k) => {
    const { target, members } = segment;
    const inside = new Set(members);
    const after = new Set([...segments.slice(k + 1).flatMap((s) => s.members.flatMap((n) => n.inputs)), ...g.outputs]);
    const straight = k === segments.length - 1 ? g.outputs.filter((v) => v.node.op === "param" || v.node.op === "const") : [];
    const taken = [...members.flatMap((n) => n.inputs), ...straight];
    const operands = [...new Set(taken.filter((v) => v.node.op !== "const" && !inside.has(v.node)))];
    const results = [...new Set([...members.flatMap((n) => n.results.filter((r) => after.has(r))), ...straight])];
    const body = regionOf(g, members, operands, results);
    const node = b.add(
      "place",
      operands.map((v) => map.get(v)!),
      { on: target.name, body },
      members.flatMap((n) => n.locs),
    );
    results.forEach((r, i) => map.set(r, node.results[i]!));
    tell(body, segment, operands, results);
  });
  return { ...g, params, outputs: g.outputs.map((v) => map.get(v)!), weights: b.weights };
}
