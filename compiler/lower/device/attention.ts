// softmax(q k + ..) v without the matrix of scores in memory: a thread for each query goes over the keys, a few at a time, and keeps the
// largest score, the sum of exponentials and the weighted sum of values so far (Milakov & Gimelshein 2018, Dao et al. 2022).

import { type Graph, type Node, topological, useCounts, type Value } from "../../../ir/graph.ts";
import {
  add,
  advance,
  barrier,
  div,
  extract,
  f32,
  fma,
  i32,
  load,
  lt,
  max,
  min,
  mul,
  pointer,
  rem,
  replace,
  splat,
  store,
  sub,
  team,
  unary,
} from "../../../ir/kernel/build.ts";
import type { Expr, Param, SharedArray } from "../../../ir/kernel/types.ts";
import { sameShape } from "../../../ir/types.ts";
import type { Capabilities } from "../../backend.ts";
import { anchorOf, outer } from "../anchor.ts";
import { epilogueOf } from "../epilogue.ts";
import { Emitter } from "../generic/emitter.ts";
import type { GenericContext } from "../generic/kernel.ts";
import { NotVectorizable } from "../generic/lanes.ts";
import { flat, type Storage } from "../storage.ts";
import type { Binding, Epilogue, Lowered } from "../template.ts";
import { type Unit, unitOf } from "../unit.ts";

/** Three nodes that are attention: scores, with whatever is done to them one by one, their softmax, and its product with the values. */
export interface Attention {
  readonly scores: Unit;
  /** The product of queries and keys within `scores`. */
  readonly product: Node;
  readonly softmax: Node;
  readonly values: Node;
  /** A transposition that alone uses the result: it costs nothing where the result is written so. */
  readonly transposed?: Node;
}

const sizes = (v: Value): readonly number[] => v.type.shape as readonly number[];
const count = (xs: readonly number[]): number => xs.reduce((a, b) => a * b, 1);

/** What a unit takes the softmax of, along the last axis; undefined for other units. */
function softmaxOf(u: Unit): Value | undefined {
  const root = u.roots[0]!.node;
  const [e, sum] = root.inputs.map((v) => v.node);
  const d = e?.inputs[0]?.node;
  const [x, largest] = d?.inputs ?? [];
  if (u.nodes.length !== 5 || root.op !== "div" || e!.op !== "exp" || d!.op !== "sub" || !largest) return undefined;
  const reduces = (n: Node, op: string, of: Value): boolean =>
    n.op === "reduce" &&
    n.attrs["op"] === op &&
    n.inputs[0] === of &&
    (n.attrs["axes"] as readonly number[]).join() === String(sizes(of).length - 1);
  return reduces(sum!, "sum", e!.results[0]!) && reduces(largest.node, "max", x!) ? outer(u, x!) : undefined;
}

/** Attentions of a graph by their last node; scores and softmax are used by them alone. */
export function attentionsOf(graph: Graph): ReadonlyMap<Node, Attention> {
  const uses = useCounts(graph.outputs);
  const found = new Map<Node, Attention>();
  for (const node of topological(graph.outputs)) {
    const before = node.op === "transpose" && uses.get(node.inputs[0]!) === 1 ? found.get(node.inputs[0]!.node) : undefined;
    if (before) found.set(before.values, { ...before, transposed: node });
    if (node.op !== "matmul" || node.inputs[0]!.node.op !== "fused" || uses.get(node.inputs[0]!) !== 1) continue;
    const softmax = node.inputs[0]!.node;
    const x = softmax.results.length === 1 ? softmaxOf(unitOf(softmax)) : undefined;
    if (!x || uses.get(x) !== 1 || (x.node.op !== "fused" && x.node.op !== "matmul")) continue;
    const scores = unitOf(x.node);
    const product = anchorOf(scores, "matmul", graph.ops);
    if (product && node.results[0]!.type.dtype === "f32") found.set(node, { scores, product, softmax, values: node });
  }
  return found;
}

/** Floats of a query's or a value's row with more of which a thread would run out of registers. */
const LONGEST_ROW = 128;
/** Queries with fewer of which threads would be idle. */
const FEW_QUERIES = 8;
const MOST_THREADS = 64;
const MOST_KEYS = 32;
const VECTOR = 16;
/** Less than any score but -inf, whose exponentials are 0 then. */
const LOWEST = -3.4028234663852886e38;

const powerOfTwo = (n: number): number => 2 ** Math.ceil(Math.log2(n));

/** Whether four elements along an axis lie together, as aligned vectors. */
const inVectors = (s: Storage, axis: number): boolean =>
  s.strides[axis] === 4 && s.offset % VECTOR === 0 && s.strides.every((b, k) => k === axis || s.shape[k] === 1 || b % VECTOR === 0);

/** Addresses of the four elements along the last axis but `back`, from `coords` on: one of a vector, or one each. */
function places(em: Emitter, base: Expr, s: Storage, axis: number, coords: readonly Expr[]): readonly { ptr: Expr; offset: number }[] {
  const bytes = coords.reduce<Expr>((sum, x, k) => add(sum, mul(x, i32(s.strides[k]!))), i32(s.offset));
  return (inVectors(s, axis) ? [0] : [0, 1, 2, 3]).map((lane) => em.address(base, add(bytes, i32(lane * s.strides[axis]!))));
}

function loadFour(em: Emitter, base: Expr, s: Storage, axis: number, coords: readonly Expr[]): Expr {
  const at = places(em, base, s, axis, coords);
  if (at.length === 1) return load("f32x4", at[0]!.ptr, at[0]!.offset);
  const lanes = at.map(({ ptr, offset }) => em.named("x", load("f32", ptr, offset)));
  return lanes.slice(1).reduce<Expr>((v, x, k) => replace(v, k + 1, x), splat("f32x4", lanes[0]!));
}

function storeFour(em: Emitter, base: Expr, s: Storage, axis: number, coords: readonly Expr[], value: Expr): void {
  const at = places(em, base, s, axis, coords);
  if (at.length === 1) return em.emit(store("f32x4", at[0]!.ptr, value, at[0]!.offset));
  at.forEach(({ ptr, offset }, lane) => em.emit(store("f32", ptr, extract(value, lane), offset)));
}

/** How large everything is. */
interface Sizes {
  readonly lead: readonly number[];
  readonly queries: number;
  readonly keys: number;
  /** Floats of a row of queries and keys, and of values. */
  readonly size: number;
  readonly depth: number;
}

function sizesOf(a: Attention): Sizes | undefined {
  const [q, k, v] = [a.product.inputs[0]!, a.product.inputs[1]!, a.values.inputs[1]!].map(sizes) as [number[], number[], number[]];
  const lead = q.slice(0, -2);
  const [queries, size, keys, depth] = [q.at(-2)!, q.at(-1)!, k.at(-1)!, v.at(-1)!];
  const alike = sameShape(lead, k.slice(0, -2)) && sameShape(lead, v.slice(0, -2)) && queries >= FEW_QUERIES;
  const fits = [size, depth].every((n) => n > 0 && n % 4 === 0 && n <= LONGEST_ROW);
  return alike && fits && keys > 0 && count(lead) > 0 ? { lead, queries, keys, size, depth } : undefined;
}

/** Where an attention writes its result: so that what is seen of it transposed is flat. */
export function resultOf({ values, transposed }: Attention): Storage {
  const own = flat(values.results[0]!.type);
  if (!transposed) return own;
  const seen = flat(transposed.results[0]!.type);
  const perm = transposed.attrs["perm"] as readonly number[];
  return { ...own, name: "flat, transposed", strides: own.strides.map((_, axis) => seen.strides[perm.indexOf(axis)]!) };
}

/** The kernel, and the values that its bindings number; undefined where it does not fit the shapes. The result lies as `outside` says. */
export function lowerAttention(
  a: Attention,
  outside: GenericContext,
  can: Capabilities,
): { readonly lowered: Lowered; readonly operands: readonly Value[] } | undefined {
  const s = sizesOf(a);
  if (!s || !can.device) return undefined;
  const x = a.scores.node.results[0]!;
  // Scores lie nowhere; what is of their shape is found as if they were flat.
  const c = { ...outside, storageOf: (v: Value): Storage => (v === x ? flat(v.type) : outside.storageOf(v)) };
  try {
    const epilogue = epilogueOf(a.scores, a.product.results[0]!, c);
    if (4 + epilogue.params.length > can.device.buffers) return undefined;
    return build(a, s, c, epilogue, can.device.sharedBytes);
  } catch (e) {
    if (!(e instanceof NotVectorizable)) throw e;
    return undefined;
  }
}

function build(
  a: Attention,
  s: Sizes,
  c: GenericContext,
  epilogue: Epilogue,
  sharedBytes: number,
): { lowered: Lowered; operands: readonly Value[] } {
  const { lead, queries, keys, size, depth } = s;
  const axis = lead.length;
  const [q, k, v] = [outer(a.scores, a.product.inputs[0]!), outer(a.scores, a.product.inputs[1]!), a.values.inputs[1]!];
  const [sq, sk, sv, sy] = [q, k, v, a.values.results[0]!].map((x) => c.storageOf(x)) as [Storage, Storage, Storage, Storage];
  const em = new Emitter();
  const [pq, pk, pv, py] = ["q", "k", "v", "y"].map((name) => em.parameter(name, "ptr")) as [Expr, Expr, Expr, Expr];
  for (const p of epilogue.params) em.parameter(p.name, "ptr");

  const threads = Math.min(MOST_THREADS, powerOfTwo(queries));
  const blocks = Math.ceil(queries / threads);
  // For each key of a tile its row, its value's, and a score for each thread.
  const most = 2 ** Math.floor(Math.log2(sharedBytes / (4 * (size + depth + threads))));
  const tile = Math.min(MOST_KEYS, most, keys);
  const shared: SharedArray[] = [
    { name: "key_rows", memory: "f32x4", length: (tile * size) / 4 },
    { name: "value_rows", memory: "f32x4", length: (tile * depth) / 4 },
    { name: "scores", memory: "f32", length: tile * threads },
  ];
  const [keyRows, valueRows, scores] = shared.map(({ name }) => em.parameter(name, "ptr")) as [Expr, Expr, Expr];

  const rank = em.named("rank", team("rank"));
  const image = em.named("image", blocks === 1 ? team("group") : div(team("group"), i32(blocks)));
  const own = em.named("query", blocks === 1 ? rank : add(mul(rem(team("group"), i32(blocks)), i32(threads)), rank));
  const even = queries % threads === 0;
  const query = even ? own : em.named("query", min(own, i32(queries - 1)));
  const first = em.coordinates(image, lead, [...lead.keys()]);

  const row = Array.from({ length: size / 4 }, (_, d) => em.named("q", loadFour(em, pq, sq, axis + 1, [...first, query, i32(4 * d)])));
  const largest = em.mutable("largest", f32(LOWEST));
  const sum = em.mutable("sum", f32(0));
  const out = Array.from({ length: depth / 4 }, () => em.mutable("acc", splat("f32x4", f32(0))));

  /** Brings rows of `per` vectors to shared memory, from key `start` on: neighbouring threads load neighbouring vectors. */
  const fill = (rows: Expr, per: number, start: Expr, from: (key: Expr, at: Expr) => Expr): void =>
    em.loop("e", i32(0), i32(tile * per), threads, (e) => {
      const number = em.named("n", add(e, rank));
      const put = (): void => {
        const key = add(start, div(number, i32(per)));
        const value = from(keys % tile === 0 ? key : em.named("key", min(key, i32(keys - 1))), mul(rem(number, i32(per)), i32(4)));
        em.emit(store("f32x4", advance(rows, mul(number, i32(VECTOR))), value));
      };
      if ((tile * per) % threads === 0) put();
      else em.branch(lt(number, i32(tile * per)), put);
    });

  /** Where the score of the tile's key `j` waits, seen by its own thread alone. */
  const waiting = (j: Expr): Expr => advance(scores, mul(add(mul(j, i32(threads)), rank), i32(4)));

  /** Goes over the first `end` keys of a tile twice: for their scores, and for their values. */
  const look = (start: Expr, end: Expr): void => {
    const top = em.mutable("top", largest.read);
    em.loop("j", i32(0), end, 1, (j) => {
      const at = (d: number): Expr => load("f32x4", advance(keyRows, mul(j, i32(4 * size))), VECTOR * d);
      const four = em.named(
        "s",
        row.slice(1).reduce<Expr>((t, x, d) => fma(x, at(d + 1), t), mul(row[0]!, at(0))),
      );
      const lanes = [0, 1, 2, 3].map((lane) => extract(four, lane)) as [Expr, Expr, Expr, Expr];
      const product = em.named("s", add(add(lanes[0], lanes[2]), add(lanes[1], lanes[3])));
      const key = em.named("key", add(start, j));
      const number = add(mul(add(mul(image, i32(queries)), query), i32(keys)), key);
      const site = { coords: [...first, query, key], offset: mul(number, i32(4)), displacement: 0, lanes: 1 } as const;
      const score = em.named(
        "s",
        epilogue.apply(product, site, (e) => em.keep(e)),
      );
      em.emit(store("f32", waiting(j), score));
      top.assign(max(top.read, score));
    });
    const now = em.named("m", top.read);
    const faded = em.named("f", unary("exp", sub(largest.read, now)));
    const fade = em.named("f", splat("f32x4", faded));
    largest.assign(now);
    sum.assign(mul(sum.read, faded));
    for (const acc of out) acc.assign(mul(acc.read, fade));
    em.loop("j", i32(0), end, 1, (j) => {
      const weight = em.named("w", unary("exp", sub(load("f32", waiting(j)), now)));
      const spread = em.named("w", splat("f32x4", weight));
      sum.assign(add(sum.read, weight));
      out.forEach((acc, d) => {
        acc.assign(fma(spread, load("f32x4", advance(valueRows, mul(j, i32(4 * depth))), VECTOR * d), acc.read));
      });
    });
  };

  em.loop("start", i32(0), i32(keys), tile, (start) => {
    // All have done with the rows that were here before.
    if (keys > tile) em.emit(barrier);
    fill(keyRows, size / 4, start, (key, at) => loadFour(em, pk, sk, axis, [...first, at, key]));
    fill(valueRows, depth / 4, start, (key, at) => loadFour(em, pv, sv, axis + 1, [...first, key, at]));
    em.emit(barrier);
    look(start, keys % tile === 0 ? i32(tile) : em.named("end", min(i32(tile), sub(i32(keys), start))));
  });

  const write = (): void =>
    out.forEach((acc, d) => {
      const value = em.named("r", div(acc.read, splat("f32x4", sum.read)));
      storeFour(em, py, sy, axis + 1, [...first, query, i32(4 * d)], value);
    });
  if (even) write();
  else em.branch(lt(own, i32(queries)), write);

  const operands = [...a.scores.operands, v];
  const operand = (x: Value): Binding => ({ kind: "operand", operand: operands.indexOf(x) });
  const params: Param[] = [
    ...(
      [
        ["q", sq],
        ["k", sk],
        ["v", sv],
      ] as const
    ).map(([name, storage]) => pointer(name, "read", storage.bytes)),
    pointer("y", "write", sy.bytes),
    ...epilogue.params,
  ];
  const kernel = "attention_f32";
  const grid = { workgroups: count(lead) * blocks, size: threads, shared };
  return {
    operands,
    lowered: {
      kernel,
      functions: [{ name: kernel, doc: "softmax(q k ..) v", params, body: em.body, grid }],
      entry: kernel,
      bindings: [operand(q), operand(k), operand(v), { kind: "result", result: 0 }, ...epilogue.bindings],
      faults: [],
      why: `attention whole: a thread for each query, ${tile} keys at a time`,
    },
  };
}
