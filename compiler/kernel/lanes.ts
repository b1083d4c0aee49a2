// The lanes of a vector expression as scalar expressions: the heart of `scalarize`.

import * as k from "../../ir/kernel/build.ts";
import { LANE_MEMORY } from "../../ir/kernel/memory.ts";
import { type Expr, isPacked, isVector, LANE_TYPE, LANES, MEMORY_BYTES, PACKED, type VectorType } from "../../ir/kernel/types.ts";
import { mapOperands } from "../../ir/kernel/walk.ts";
import type { NarrowType } from "../../ir/scalar/types.ts";

/** Gives a value a name if it is worth one, so that it is computed once; or the value itself where nothing may be hoisted. */
export type Namer = (value: Expr) => Expr;

export interface Splitter {
  lanes(e: Expr): readonly Expr[];
  /** A scalar expression without vectors in it. */
  scalar(e: Expr): Expr;
  /** Arguments of a call, a vector being one for each lane. */
  args(args: readonly Expr[]): readonly Expr[];
}

export const laneName = (name: string, lane: number): string => `${name}__${lane}`;
export const laneNumbers = (t: VectorType): readonly number[] => Array.from({ length: LANES[t] }, (_, i) => i);
const isAddress = (e: Expr): boolean => e.kind === "var" || (e.kind === "advance" && e.ptr.kind === "var" && e.bytes.kind === "const");

/** Lanes of narrow vectors live in i32 and wrap after arithmetic. */
const narrow = (t: VectorType, lane: Expr): Expr => (t === "i8x16" ? k.wrap("i8", lane) : t === "i16x8" ? k.wrap("i16", lane) : lane);

/** A bool as a lane of a mask, and back; the way back sees through the way there. */
const maskOf = (t: VectorType, cond: Expr): Expr => k.select(cond, k.constant(LANE_TYPE[t], -1), k.constant(LANE_TYPE[t], 0));

function condOf(lane: Expr): Expr {
  const isMask =
    lane.kind === "select" &&
    lane.a.kind === "const" &&
    Number(lane.a.value) === -1 &&
    lane.b.kind === "const" &&
    Number(lane.b.value) === 0;
  return isMask ? lane.cond : k.compare("ne", lane, k.constant(lane.type as "i32" | "i64", 0));
}

const INTEGER: Readonly<Record<VectorType, VectorType>> = {
  i8x16: "i8x16",
  i16x8: "i16x8",
  i32x4: "i32x4",
  i64x2: "i64x2",
  f32x4: "i32x4",
  f64x2: "i64x2",
};
const shift = (op: "shl" | "shr", a: Expr, by: number): Expr => k.binary(op, a, k.constant(a.type as "i32" | "i64", by));

/** Integer lanes of one width as those of another, little end first. */
function regroup(from: VectorType, to: VectorType, lanes: readonly Expr[]): readonly Expr[] {
  const [has, wants] = [128 / LANES[from], 128 / LANES[to]];
  if (has === wants) return lanes;
  if (has > wants) {
    const part = (lane: Expr, i: number): Expr => k.cast("i32", shift("shr", lane, wants * i));
    const cut = (x: Expr): Expr => (wants < 32 ? k.wrap(`i${wants}` as NarrowType, x) : x);
    return lanes.flatMap((lane) => Array.from({ length: has / wants }, (_, i) => cut(part(lane, i))));
  }
  const type = LANE_TYPE[to];
  const unsigned = (x: Expr): Expr => k.and(k.cast(type, x), k.constant(type, 2 ** has - 1));
  return laneNumbers(to).map((j) =>
    Array.from({ length: wants / has }, (_, i) => shift("shl", unsigned(lanes[(j * wants) / has + i]!), has * i)).reduce(k.or),
  );
}

const SATURATED = { i16: [-32768, 32767], i8: [-128, 127], u8: [0, 255] } as const;

export function splitter(name: Namer): Splitter {
  const known = new Map<Expr, readonly Expr[]>();
  const unhoisted = (): Splitter => splitter((x) => x);

  const lanes = (e: Expr): readonly Expr[] => {
    const found = known.get(e);
    if (found) return found;
    const result = split(e, e.type as VectorType);
    known.set(e, result);
    return result;
  };
  const named = (e: Expr): readonly Expr[] => lanes(e).map(name);
  const both = (a: Expr, b: Expr, f: (x: Expr, y: Expr) => Expr): readonly Expr[] => {
    const [x, y] = [lanes(a), lanes(b)];
    return x.map((xi, i) => f(xi, y[i]!));
  };

  const scalar = (e: Expr): Expr => {
    if (e.kind === "extract") return lanes(e.a)[e.lane]!;
    if (e.kind === "call") return { ...e, args: args(e.args) };
    // The sides of a select are evaluated when chosen, so nothing of theirs may come before.
    if (e.kind === "select") return { ...e, cond: scalar(e.cond), a: unhoisted().scalar(e.a), b: unhoisted().scalar(e.b) };
    return mapOperands(e, scalar);
  };
  const args = (list: readonly Expr[]): readonly Expr[] => list.flatMap((a) => (isVector(a.type) ? lanes(a) : [scalar(a)]));

  const split = (e: Expr, t: VectorType): readonly Expr[] => {
    switch (e.kind) {
      case "var":
        return laneNumbers(t).map((i) => k.variable(laneName(e.name, i), LANE_TYPE[t]));
      case "unary":
        return lanes(e.a).map((x) => narrow(t, k.unary(e.op, x)));
      case "binary":
        return both(e.a, e.b, (x, y) => narrow(t, k.binary(e.op, x, y)));
      case "compare":
        return both(e.a, e.b, (x, y) => maskOf(t, k.compare(e.op, x, y)));
      case "select": {
        if (isVector(e.cond.type)) {
          const [cond, x, y] = [lanes(e.cond), lanes(e.a), lanes(e.b)];
          return cond.map((c, i) => k.select(condOf(c), x[i]!, y[i]!));
        }
        const cond = name(scalar(e.cond));
        const [x, y] = [unhoisted().lanes(e.a), unhoisted().lanes(e.b)];
        return x.map((xi, i) => k.select(cond, xi, y[i]!));
      }
      case "cast":
        return lanes(e.a).map((x) => k.cast(LANE_TYPE[t], x));
      case "bitcast": {
        const from = e.a.type as VectorType;
        const [source, target] = [INTEGER[from], INTEGER[t]];
        const bits = source === target ? lanes(e.a) : named(e.a);
        const integers = source === from ? bits : bits.map((x) => k.bitcast(LANE_TYPE[source], x));
        if (from === t) return bits;
        const grouped = regroup(source, target, source === target ? integers : integers.map(name));
        return target === t ? grouped : grouped.map((x) => k.bitcast(LANE_TYPE[t], x));
      }
      case "load": {
        const ptr = isAddress(e.ptr) ? e.ptr : name(scalar(e.ptr));
        const memory = isPacked(e.memory) ? PACKED[e.memory] : LANE_MEMORY[t];
        return laneNumbers(t).map((i) => k.load(memory, ptr, e.offset + i * MEMORY_BYTES[memory]));
      }
      case "splat": {
        const x = name(narrow(t, scalar(e.a)));
        return laneNumbers(t).map(() => x);
      }
      case "replace":
        return lanes(e.a).map((x, i) => (i === e.lane ? narrow(t, scalar(e.value)) : x));
      case "shuffle": {
        const all = [...named(e.a), ...named(e.b)];
        return e.lanes.map((i) => all[i]!);
      }
      case "fma": {
        const [a, b, c] = [lanes(e.a), lanes(e.b), lanes(e.c)];
        return a.map((x, i) => k.fma(x, b[i]!, c[i]!));
      }
      case "dot": {
        const products = both(e.a, e.b, k.mul);
        return [0, 2, 4, 6].map((i) => k.add(products[i]!, products[i + 1]!));
      }
      case "dot_bytes": {
        const [a, b, c] = [lanes(e.a), lanes(e.b), lanes(e.c)];
        const product = (i: number): Expr => k.mul(a[i]!, e.read === "unsigned" ? k.and(b[i]!, k.i32(255)) : b[i]!);
        return c.map((sum, i) => [0, 1, 2, 3].reduce((s, j) => k.add(s, product(4 * i + j)), sum));
      }
      case "dot_pairs": {
        const [a, b] = [lanes(e.a), lanes(e.b)];
        const product = (i: number): Expr => k.mul(a[i]!, k.and(b[i]!, k.i32(255)));
        return [0, 2, 4, 6, 8, 10, 12, 14].map((i) => k.add(product(i), product(i + 1)));
      }
      case "narrow": {
        const [low, high] = SATURATED[e.to];
        const one = (x: Expr): Expr => {
          const bounded = k.binary("min", k.binary("max", x, k.i32(low)), k.i32(high));
          return e.to === "u8" ? k.wrap("i8", bounded) : bounded;
        };
        return [...lanes(e.a), ...lanes(e.b)].map(one);
      }
      case "call": {
        const given = args(e.args).map(name);
        return laneNumbers(t).map((i) => k.call(LANE_TYPE[t], laneName(e.name, i), given));
      }
      default:
        throw new TypeError(`${e.kind} of type ${t}`);
    }
  };

  return { lanes, scalar, args };
}
