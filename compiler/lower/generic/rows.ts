// Rows that are reduced, and then written or told by a number: a pass over each row for every reduction, and one that writes. Four rows or
// four elements of one row are in the lanes, whichever are neighbours in memory; softmax, norms, largest magnitudes.

import type { Node, Value } from "../../../ir/graph.ts";
import { add, and, binary, bitcast, constant, extract, fma, i32, max, pointer, splat, store } from "../../../ir/kernel/build.ts";
import type { Expr, Func, Param } from "../../../ir/kernel/types.ts";
import { isVector } from "../../../ir/kernel/types.ts";
import { isElementwise, type OpSet } from "../../../ir/op.ts";
import { isStatic, sameShape } from "../../../ir/types.ts";
import { isShared, mostEven } from "../split.ts";
import { laneAxis, type Storage, sameStorage, walk } from "../storage.ts";
import type { Binding, Lowered } from "../template.ts";
import type { Unit } from "../unit.ts";
import { COMBINE, ElementLowering } from "./element.ts";
import type { Source } from "./element-options.ts";
import { Emitter } from "./emitter.ts";
import { identityOf } from "./identity.ts";
import { type GenericContext, isImmediate, kernelName } from "./kernel.ts";
import { NotVectorizable } from "./lanes.ts";

type Kind = "sum" | "prod" | "min" | "max";
const kindOf = (n: Node): Kind => n.attrs.op as Kind;
const sizes = (v: Value): readonly number[] => v.type.shape as readonly number[];

export interface Rows {
  readonly reductions: readonly Node[];
  /** The axes that they run over. */
  readonly axes: readonly number[];
  /** Whether the result is a number for each row, not rows; then the reduced axes may be gone. */
  readonly few: boolean;
}

/** The reductions of a unit whose other nodes are elementwise, of rows or of numbers for each; undefined for other units. */
export function rowsOf(u: Unit, ops: OpSet): Rows | undefined {
  const reductions = u.nodes.filter((n) => n.op === "reduce");
  const root = u.roots[0];
  if (reductions.length === 0 || u.roots.length !== 1 || root!.type.dtype !== "f32") return undefined;
  const values = u.nodes.flatMap((n) => [...n.inputs, ...n.results]);
  if (!values.every((v) => isStatic(v.type) && sizes(v).every((d) => d > 0))) return undefined;
  const { shape } = reductions[0]!.inputs[0]!.type;
  const few = reductions[0]!.results[0]!.type.shape;
  const keeps = reductions[0]!.attrs.keepdims === true;
  const fits = reductions.every(
    (n) =>
      (n.attrs.keepdims === true || reductions.length === 1) &&
      n.results[0]!.type.dtype === "f32" &&
      sameShape(n.inputs[0]!.type.shape, shape) &&
      sameShape(n.results[0]!.type.shape, few),
  );
  const plain = u.nodes.every((n) => {
    const own = n.results[0]!.type.shape;
    return n.op === "reduce" || (isElementwise(ops.get(n.op)!) && (sameShape(own, shape) || sameShape(own, few)));
  });
  const axes = keeps ? shape.flatMap((d, axis) => (d !== few[axis] ? [axis] : [])) : (reductions[0]!.attrs.axes as readonly number[]);
  const isFew = !sameShape(root!.type.shape, shape);
  return fits && plain && (isFew || (keeps && root!.node.op !== "reduce")) ? { reductions, axes, few: isFew } : undefined;
}

const COSTLY: ReadonlySet<string> = new Set(["exp", "log", "div", "sqrt", "pow", "tanh", "erf", "sigmoid", "gelu"]);

/** Nodes that the value is computed from, down to reductions. */
function coneOf(v: Value, u: Unit, stop?: Node): Set<Node> {
  const inside = new Set(u.nodes);
  const cone = new Set<Node>();
  const visit = (n: Node): void => {
    if (!inside.has(n) || n.op === "reduce" || cone.has(n)) return;
    cone.add(n);
    if (n !== stop) for (const x of n.inputs) visit(x.node);
  };
  visit(v.node);
  return cone;
}

/** What is reduced last and costs much, if it is needed again: it waits where the result will stand. */
function keptOf(u: Unit, reductions: readonly Node[]): Node | undefined {
  const last = reductions.at(-1)!;
  const n = last.inputs[0]!.node;
  const again = coneOf(u.roots[0]!, u).has(n);
  return again && n !== u.roots[0]!.node && [...coneOf(last.inputs[0]!, u)].some((m) => COSTLY.has(m.op)) ? n : undefined;
}

/** Vectors side by side: sums need not wait for each other. */
const VECTORS = 4;

/** What the lanes of a vector are: neighbouring rows, neighbours in a row, or there are none. */
type Lanes = { readonly of: "rows" | "row"; readonly axis: number } | undefined;

interface Frame {
  readonly u: Unit;
  readonly c: GenericContext;
  readonly reductions: readonly Node[];
  readonly axes: readonly number[];
  readonly kept: Node | undefined;
  readonly lanes: Lanes;
  readonly em: Emitter;
  readonly y: Expr;
  readonly out: Storage;
  readonly few: boolean;
  /** How rows lie: as the result does, or where it is a number for each, as an operand does. */
  readonly grid: Storage;
  readonly operand: (v: Value) => Expr;
}

/** Elements of one or more rows at once: `offset` elements after the coordinates, along the lanes' axis. */
interface Piece {
  readonly lowering: ElementLowering;
  readonly wide: boolean;
  readonly offset: number;
  /** Reductions known so far. */
  readonly known: Map<Node, Expr>;
  /** Nodes whose values wait in memory. */
  readonly waiting: Set<Node>;
}

function piece(f: Frame, lane: string | undefined, offset: number, known: Map<Node, Expr>, waiting: Set<Node>): Piece {
  const inside = new Set(f.u.nodes);
  const source = (v: Value): Source => {
    const value = known.get(v.node);
    if (value) return { kind: "given", value };
    if (waiting.has(v.node)) return { kind: "memory", ptr: f.y, storage: f.out };
    if (inside.has(v.node)) return { kind: "node", node: v.node };
    const o = f.u.outside.get(v) ?? v;
    const t = f.c.constantOf(o);
    return isImmediate(t) ? { kind: "number", tensor: t } : { kind: "memory", ptr: f.operand(o), storage: f.c.storageOf(o) };
  };
  const lowering = new ElementLowering(f.em, {
    ops: f.c.ops,
    source,
    ...(lane === undefined ? {} : { lane }),
    fault: () => {
      throw new TypeError("a row's operator checks what it reads");
    },
  });
  return { lowering, wide: lane !== undefined, offset, known, waiting };
}

const widened = (p: Piece, e: Expr): Expr => (p.wide && !isVector(e.type) ? splat("f32x4", e) : e);

/** The largest of magnitudes along a row: their bits, as integers, have the same order, and one instruction compares them. */
const isMagnitude = (f: Frame, n: Node): boolean => {
  const { node } = n.inputs[0]!;
  return f.lanes?.of === "row" && kindOf(n) === "max" && node.op === "abs" && node !== f.kept && f.u.nodes.includes(node);
};
const MAGNITUDE = 0x7fffffff;

/** Adds what a piece holds at `at` to a reduction's accumulator. */
function gather(f: Frame, n: Node, p: Piece, acc: { readonly read: Expr; assign(e: Expr): void }, at: readonly Expr[]): void {
  const x = n.inputs[0]!;
  const product = x.node.op === "mul" && f.u.nodes.includes(x.node) && x.node !== f.kept && kindOf(n) === "sum";
  if (product) {
    const [a, b] = x.node.inputs.map((v) => {
      const shape = sizes(v);
      const lead = at.length - shape.length;
      return widened(
        p,
        p.lowering.value(
          v,
          shape.map((d, axis) => (d === 1 ? i32(0) : at[axis + lead]!)),
        ),
      );
    }) as [Expr, Expr];
    return acc.assign(fma(a, b, acc.read));
  }
  if (p.wide && isMagnitude(f, n)) {
    const bits = bitcast("i32x4", widened(p, p.lowering.value(x.node.inputs[0]!, at)));
    return acc.assign(max(acc.read, and(bits, splat("i32x4", i32(MAGNITUDE)))));
  }
  const value = widened(p, p.lowering.value(x, at));
  if (x.node === f.kept) put(f, p, at, value);
  acc.assign(binary(COMBINE[kindOf(n)], acc.read, value));
}

function put(f: Frame, p: Piece, at: readonly Expr[], value: Expr): void {
  const bytes = at.reduce<Expr>((sum, x, axis) => add(sum, binary("mul", x, i32(f.out.strides[axis]!))), i32(f.out.offset));
  const { ptr, offset } = f.em.address(f.y, bytes);
  f.em.emit(store(p.wide ? "f32x4" : "f32", ptr, f.em.keep(value), offset));
}

const start = (n: Node, p: Piece): Expr => widened(p, constant("f32", identityOf(kindOf(n), "f32")));
const shifted = (p: Piece, at: readonly Expr[], axis: number): Expr[] =>
  at.map((x, k) => (k === axis && p.offset > 0 ? add(x, i32(p.offset)) : x));

/** Loops over the reduced axes but those in `but`; the innermost in memory is the innermost loop. */
function over(f: Frame, but: readonly number[], at: readonly Expr[], visit: (at: readonly Expr[]) => void): void {
  const axis = walk(f.grid).find((a) => f.axes.includes(a) && !but.includes(a));
  if (axis === undefined) return visit(at);
  f.em.loop("r", i32(0), i32(f.grid.shape[axis]!), 1, (i) => over(f, [...but, axis], at.with(axis, i), visit));
}

/** Rows side by side, all that the pieces hold: pass after pass. */
function across(f: Frame, pieces: readonly Piece[], at: readonly Expr[]): void {
  const lane = f.lanes?.axis ?? 0;
  for (const n of f.reductions) {
    const sums = pieces.map((p) => f.em.mutable("acc", start(n, p)));
    over(f, [], at, (here) => pieces.forEach((p, k) => gather(f, n, p, sums[k]!, shifted(p, here, lane))));
    pieces.forEach((p, k) => p.known.set(n, f.em.freeze(sums[k]!.read)));
    if (n.inputs[0]!.node === f.kept) for (const p of pieces) p.waiting.add(f.kept);
  }
  over(f, [], at, (here) => {
    for (const p of pieces) put(f, p, shifted(p, here, lane), widened(p, p.lowering.value(f.u.roots[0]!, shifted(p, here, lane))));
  });
}

/** One row, with neighbours of its innermost axis in the lanes. */
function along(f: Frame, axis: number, at: readonly Expr[]): void {
  const { em } = f;
  const n = f.grid.shape[axis]!;
  const known = new Map<Node, Expr>();
  const waiting = new Set<Node>();
  /** Blocks of `count` vectors from element `from` to `to`, or of single elements. */
  const blocks = (
    from: number,
    to: number,
    count: number,
    at: readonly Expr[],
    visit: (pieces: readonly Piece[], at: readonly Expr[]) => void,
  ) =>
    em.loop("v", i32(from), i32(to), count > 0 ? 4 * count : 1, (i) => {
      const v = i.kind === "var" || count === 0 ? i : em.named("v", i);
      const lane = count > 0 && v.kind === "var" ? v.name : undefined;
      visit(
        Array.from({ length: Math.max(1, count) }, (_, k) => piece(f, lane, 4 * k, known, waiting)),
        at.with(axis, v),
      );
    });
  const [many, whole] = [n - (n % (4 * VECTORS)), n - (n % 4)];
  const pass = (visit: (pieces: readonly Piece[], at: readonly Expr[]) => void): void =>
    over(f, [axis], at, (here) => {
      blocks(0, many, VECTORS, here, visit);
      blocks(many, whole, 1, here, visit);
      blocks(whole, n, 0, here, visit);
    });
  for (const r of f.reductions) {
    const identity = constant("f32", identityOf(kindOf(r), "f32"));
    const first = isMagnitude(f, r) ? splat("i32x4", i32(0)) : splat("f32x4", identity);
    const sums = Array.from({ length: n >= 4 * VECTORS ? VECTORS : 1 }, () => em.mutable("acc", first));
    const rest = em.mutable("acc", identity);
    pass((pieces, here) => pieces.forEach((p, k) => gather(f, r, p, p.wide ? sums[k]! : rest, shifted(p, here, axis))));
    const combine = (a: Expr, b: Expr): Expr => binary(COMBINE[kindOf(r)], a, b);
    const all = sums.map((s) => s.read).reduce(combine);
    const four = em.freeze(isMagnitude(f, r) ? bitcast("f32x4", all) : all);
    const lanes = [0, 1, 2, 3].map((lane) => extract(four, lane));
    known.set(r, em.freeze(combine(combine(combine(lanes[0]!, lanes[2]!), combine(lanes[1]!, lanes[3]!)), rest.read)));
    if (r.inputs[0]!.node === f.kept) waiting.add(f.kept);
  }
  if (f.few) {
    const one = piece(f, undefined, 0, known, waiting);
    const kept = f.out.shape.length < at.length ? at.filter((_, k) => !f.axes.includes(k)) : at;
    return put(f, one, kept, one.lowering.value(f.u.roots[0]!, kept));
  }
  pass((pieces, here) => {
    for (const p of pieces) put(f, p, shifted(p, here, axis), widened(p, p.lowering.value(f.u.roots[0]!, shifted(p, here, axis))));
  });
}

/** All rows: loops over the axes that are not reduced, rows side by side in the lanes where they are neighbours. */
function allRows(f: Frame): void {
  const { em, lanes, grid } = f;
  const nest = (axes: readonly number[], at: readonly Expr[]): void => {
    const [axis, ...rest] = axes;
    const parallel = axis === shared ? 1 : undefined;
    if (axis !== undefined) return em.loop("i", i32(0), i32(grid.shape[axis]!), 1, (i) => nest(rest, at.with(axis, i)), parallel);
    if (!lanes) return across(f, [piece(f, undefined, 0, new Map(), new Set())], at);
    if (lanes.of === "row") return along(f, lanes.axis, at);
    const n = grid.shape[lanes.axis]!;
    const block = (count: number, i: Expr): void => {
      const v = i.kind === "var" || count === 0 ? i : em.named("v", i);
      const lane = count > 0 && v.kind === "var" ? v.name : undefined;
      const pieces = Array.from({ length: Math.max(1, count) }, (_, k) => piece(f, lane, 4 * k, new Map(), new Set()));
      across(f, pieces, at.with(lanes.axis, v));
    };
    const [many, whole] = [n - (n % (4 * VECTORS)), n - (n % 4)];
    em.loop("v", i32(0), i32(many), 4 * VECTORS, (i) => block(VECTORS, i));
    if (whole > many) block((whole - many) / 4, i32(many));
    em.loop("v", i32(whole), i32(n), 1, (i) => block(0, i));
  };
  const free = walk(grid).filter((axis) => !f.axes.includes(axis) && !(lanes?.of === "rows" && axis === lanes.axis));
  const many = free.filter((axis) => grid.shape[axis]! > 1);
  const shared =
    many.length > 0 && isShared(grid.shape) ? mostEven(many.map((axis) => [axis, [{ count: grid.shape[axis]!, cost: 1 }]])) : undefined;
  nest(
    free,
    grid.shape.map(() => i32(0)),
  );
}

/** Operands that lie as the result does, and are not read after something else was written in their place. */
function overwrites(f: Frame): number[] {
  const { u, c } = f;
  const after =
    f.kept &&
    new Set([...coneOf(u.roots[0]!, u, f.kept)].filter((n) => n !== f.kept).flatMap((n) => n.inputs.map((v) => u.outside.get(v) ?? v)));
  const before = (v: Value): boolean => !after?.has(v);
  return u.operands.flatMap((v, k) =>
    sameShape(v.type.shape, u.node.results[0]!.type.shape) && v.type.dtype === "f32" && sameStorage(c.storageOf(v), f.out) && before(v)
      ? [k]
      : [],
  );
}

function build(u: Unit, c: GenericContext, ops: OpSet, grid: Storage, lanes: Lanes): Lowered {
  const { reductions, axes, few } = rowsOf(u, ops)!;
  const em = new Emitter();
  const operands = u.operands.filter((v) => !isImmediate(c.constantOf(v)));
  const ptrs = new Map(operands.map((v, k) => [v, em.parameter(`x${k}`, "ptr")]));
  const out = c.storageOf(u.node.results[0]!);
  const f: Frame = {
    u,
    c,
    reductions,
    axes,
    kept: keptOf(u, reductions),
    lanes,
    em,
    y: em.parameter("y", "ptr"),
    out,
    few,
    grid,
    operand: (v) => ptrs.get(v)!,
  };
  allRows(f);
  const kernel = kernelName(u);
  const params: Param[] = [
    ...operands.map((v, k) => pointer(`x${k}`, "read", c.storageOf(v).bytes)),
    pointer("y", f.kept ? "readwrite" : "write", out.bytes),
  ];
  const func: Func = { name: kernel, doc: u.nodes.map((n) => n.op).join(", "), params, body: em.body };
  const which = !lanes ? "one element at a time" : lanes.of === "rows" ? "four rows at once" : "four elements of a row at once";
  return {
    kernel,
    functions: [func],
    entry: kernel,
    bindings: [...operands.map((v): Binding => ({ kind: "operand", operand: u.operands.indexOf(v) })), { kind: "result", result: 0 }],
    faults: [],
    overwrites: overwrites(f),
    why: `row by row, ${reductions.length + (few ? 0 : 1)} passes, ${which}`,
  };
}

/** The lanes of numbers for each row are elements of a row; where they are rows, a loop nest over the result is as good. */
function lowerFew(u: Unit, c: GenericContext, { reductions, axes }: Rows): Lowered | undefined {
  const { shape } = reductions[0]!.inputs[0]!.type;
  const grids = u.operands.filter((v) => v.type.dtype === "f32" && sameShape(v.type.shape, shape)).map((v) => c.storageOf(v));
  const grid = grids.find((s) => axes.includes(laneAxis(s) ?? -1));
  if (!c.vectors || !grid) return undefined;
  try {
    return build(u, c, c.ops, grid, { of: "row", axis: laneAxis(grid)! });
  } catch (e) {
    if (!(e instanceof NotVectorizable)) throw e;
    return undefined;
  }
}

/** A unit of reductions of rows and elementwise operators as one kernel; undefined for other units. */
export function lowerRows(u: Unit, c: GenericContext): Lowered | undefined {
  const rows = rowsOf(u, c.ops);
  if (!rows) return undefined;
  if (rows.few) return lowerFew(u, c, rows);
  const out = c.storageOf(u.node.results[0]!);
  const axis = c.vectors ? laneAxis(out) : undefined;
  if (axis === undefined) return build(u, c, c.ops, out, undefined);
  try {
    return build(u, c, c.ops, out, { of: rows.axes.includes(axis) ? "row" : "rows", axis });
  } catch (e) {
    if (!(e instanceof NotVectorizable)) throw e;
    return build(u, c, c.ops, out, undefined);
  }
}
