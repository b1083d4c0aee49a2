// Depth-first execution: chains of convolutions whose intermediates do not fit the cache are computed a few rows at a time.

import { type Graph, GraphBuilder, type Node, topological, useCounts, type Value } from "../../ir/graph.ts";
import type { OpSet } from "../../ir/op.ts";
import { rebuild } from "../../ir/rewrite.ts";
import { maxShape } from "../../ir/types.ts";
import { convInput, rowReachOf } from "../lower/match-conv.ts";
import { planStripes, type RowReach } from "../lower/stripe-plan.ts";
import { windowStorage } from "../lower/stripes.ts";
import { unitOf } from "../lower/unit.ts";
import { definePass } from "../pass.ts";
import { regionOf } from "../region.ts";
import { countZeros } from "../sparsity/count-zeros.ts";

/** Bytes; what decides which chains are worth it. */
export interface Caches {
  /** A chain has an intermediate of at least so many bytes an image: the second-level caches of today hold 1 to 2 MB. */
  readonly beyond: number;
  /** Intermediates from so many bytes on are taken into a chain that is worth it already. */
  readonly along: number;
  /** The windows of a chain together. */
  readonly windows: number;
  /** Weights of a member, which every stripe reads again. */
  readonly weights: number;
}

const CACHES: Caches = { beyond: 1 << 20, along: 1 << 18, windows: 1 << 19, weights: 1 << 17 };

/** Stripes of more rows gain nothing more. */
const MOST_ROWS = 8;
/** A chain grows no longer where that leaves fewer rows at a time. */
const LEAST_ROWS = 2;

interface Chain {
  readonly members: readonly Node[];
  readonly rows: number;
  readonly windowBytes: number;
}

const imageBytes = (v: Value): number =>
  4 *
  maxShape(v.type)
    .slice(1)
    .reduce((a, d) => a * d, 1);

/** Bytes of the windows that a chain needs, `count` rows at a time. */
const windowBytes = (members: readonly Node[], reaches: readonly RowReach[], count: number, ops: OpSet): number =>
  planStripes(reaches, count).windows.reduce((sum, n, j) => sum + windowStorage(members[j]!, members[j + 1]!, n, ops).bytes, 0);

/** The most rows at a time whose windows fit, evenly spread over the result; undefined where not even one row does, or all rows do. */
function rowsFor(members: readonly Node[], reaches: readonly RowReach[], ops: OpSet, caches: Caches): number | undefined {
  const { height } = reaches.at(-1)!;
  for (let most = Math.min(MOST_ROWS, height - 1); most >= 1; most--)
    if (windowBytes(members, reaches, most, ops) <= caches.windows) return Math.ceil(height / Math.ceil(height / most));
  return undefined;
}

function chainsOf(g: Graph, caches: Caches): ReadonlyMap<Node, Chain> {
  const order = topological(g.outputs);
  const uses = useCounts(g.outputs);
  const readers = new Map<Value, Node>();
  for (const n of order) for (const v of n.inputs) readers.set(v, n);
  const weightBytes = (n: Node): number =>
    n.inputs.reduce((sum, v) => {
      if (v.node.op !== "const") return sum;
      const t = g.weights.get(v.node.attrs.ref as string);
      return sum + (v.type.layout ? 6 * (t.data.length - countZeros(t)) : 4 * t.data.length);
    }, 0);
  /** Whether the node is a convolution that reads its input by its taps alone. */
  const isMember = (n: Node): boolean => {
    if (n.results.length !== 1 || !rowReachOf(n, g.ops)) return false;
    const [u, input] = [unitOf(n), convInput(n, g.ops)];
    const reads = u.nodes.flatMap((m) => m.inputs).filter((v) => (u.outside.get(v) ?? v) === input);
    return reads.length === 1 && !hasWinograd(n) && weightBytes(n) <= caches.weights;
  };
  const next = (n: Node): Node | undefined => {
    const value = n.results[0]!;
    const reader = readers.get(value);
    if (!reader || uses.get(value) !== 1 || imageBytes(value) < caches.along) return undefined;
    return isMember(reader) && convInput(reader, g.ops) === value ? reader : undefined;
  };
  const chainOf = (members: readonly Node[]): Chain | undefined => {
    const reaches = members.map((x) => rowReachOf(x, g.ops)!);
    const rows = rowsFor(members, reaches, g.ops, caches);
    return rows === undefined ? undefined : { members, rows, windowBytes: windowBytes(members, reaches, rows, g.ops) };
  };
  /** The longest chain from `n` on whose windows fit, and whether it could go on if they did. */
  const longestFrom = (n: Node): { readonly chain: Chain | undefined; readonly cut: boolean } => {
    let chain: Chain | undefined;
    for (let m = next(n); m; m = next(m)) {
      const longer = chainOf([...(chain?.members ?? [n]), m]);
      if (!longer || (chain && longer.rows < LEAST_ROWS)) return { chain, cut: true };
      chain = longer;
    }
    return { chain, cut: false };
  };
  /** A chain that had to be cut ends where it leaves least in memory; the rest is for the next. */
  const trimmed = ({ chain, cut }: ReturnType<typeof longestFrom>): Chain | undefined => {
    if (!chain || !cut) return chain;
    const left = chain.members.slice(1).map((m) => imageBytes(m.results[0]!));
    const end = left.lastIndexOf(Math.min(...left)) + 2;
    return end === chain.members.length ? chain : chainOf(chain.members.slice(0, end));
  };
  const claimed = new Set<Node>();
  const chains = new Map<Node, Chain>();
  for (const n of order) {
    if (claimed.has(n) || !isMember(n)) continue;
    const chain = trimmed(longestFrom(n));
    if (!chain?.members.slice(0, -1).some((m) => imageBytes(m.results[0]!) >= caches.beyond)) continue;
    const { members } = chain;
    for (const m of members) claimed.add(m);
    chains.set(members.at(-1)!, chain);
  }
  return chains;
}

/** Dense 3x3 convolutions have an algorithm of their own, which wants all rows at once. */
function hasWinograd(n: Node): boolean {
  const u = unitOf(n);
  const conv = u.nodes.find((m) => m.op === "conv")!;
  const weights = u.outside.get(conv.inputs[1]!) ?? conv.inputs[1]!;
  const [, , kh, kw] = weights.type.shape;
  const unit = (name: string): boolean => (conv.attrs[name] as readonly number[]).every((x) => x === 1);
  return kh === 3 && kw === 3 && conv.attrs.group === 1 && unit("strides") && unit("dilations") && !weights.type.layout;
}

const megabytes = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(2)} MB`;

/** The pass for other caches than those of today's processors. */
export const fuseTilesFor = (caches: Caches) =>
  definePass({
    name: "fuse-tiles",
    doc: "Puts chains of convolutions whose intermediates exceed the cache into `tiles` regions, computed depth-first in stripes of rows.",
    exactness: "exact",
    invariant: "an intermediate of 1 MB or more between two convolutions with few weights, read once, is in memory a few rows at a time",
    run(g, ctx) {
      const chains = chainsOf(g, caches);
      if (chains.size === 0) return g;
      const swallowed = new Set([...chains.values()].flatMap(({ members }) => members.slice(0, -1)));
      const copies = new Map<Value, Value>();
      return rebuild(g, new GraphBuilder(g.ops, g.weights), (n, inputs, b) => {
        n.inputs.forEach((v, i) => {
          copies.set(v, inputs[i]!);
        });
        if (swallowed.has(n)) return n.results;
        const chain = chains.get(n);
        if (!chain) return undefined;
        const { members, rows: count } = chain;
        const inside = new Set(members);
        const operands = [...new Set(members.flatMap((m) => m.inputs).filter((v) => !inside.has(v.node) && v.node.op !== "const"))];
        const stripes = Math.ceil((maxShape(n.results[0]!.type)[2] as number) / count);
        const before = members.slice(0, -1).reduce((sum, m) => sum + imageBytes(m.results[0]!), 0);
        ctx.note(
          `${members.length} convolutions in ${stripes} stripes of ${count} rows: intermediates of ${megabytes(chain.windowBytes)} in place of ${megabytes(before)}`,
          n.results[0],
        );
        ctx.trace?.(`fuse-tiles ${members.map((m) => m.op).join(" + ")}`, n.results[0]!);
        return b.add(
          "tiles",
          operands.map((v) => copies.get(v)!),
          { body: regionOf(g, members, operands), rows: count },
          members.flatMap((m) => m.locs),
        ).results;
      });
    },
  });

export const fuseTiles = fuseTilesFor(CACHES);
