// Threads of a workgroup that work at one row together: how its elements are shared out, and how what each has reduced comes together.

import {
  add,
  advance,
  and,
  barrier,
  binary,
  cast,
  compare,
  constant,
  div,
  i32,
  load,
  lt,
  min,
  mul,
  or,
  rem,
  select,
  store,
  team,
} from "../../../ir/kernel/build.ts";
import type { Expr, SharedArray } from "../../../ir/kernel/types.ts";
import type { ScalarType } from "../../../ir/scalar/types.ts";
import { COMBINE } from "../generic/element.ts";
import type { Reduction } from "../generic/element-options.ts";
import type { Emitter } from "../generic/emitter.ts";
import { identityOf } from "../generic/identity.ts";
import { joined, type Merge } from "./join.ts";

/** How the threads of a workgroup are shared out among rows; both powers of two. */
export interface Teams {
  /** Threads at one row. */
  readonly threads: number;
  /** Rows of a workgroup. */
  readonly rows: number;
  /** Whether neighbouring threads are at neighbouring rows, not at neighbours within a row. */
  readonly across: boolean;
}

const LARGEST = 256;
/** Threads of a workgroup with fewer of which a device is hardly busy. */
const FEW = 64;
/** Rows side by side whose elements fill a line of a cache. */
const LINE = 32;
/** Elements that a thread takes before there are more threads. */
const EACH = 4;

const powerOfTwo = (n: number): number => 2 ** Math.ceil(Math.log2(n));

/** Teams for `total` rows of `count` elements, of which neighbours in memory are in neighbouring rows if `across`. */
export function teamsFor(count: number, total: number, across: boolean): Teams {
  const wanted = powerOfTwo(Math.ceil(count / EACH));
  if (!across) {
    const threads = Math.min(LARGEST, wanted);
    return { threads, rows: Math.min(Math.max(1, FEW / threads), powerOfTwo(total)), across };
  }
  const rows = Math.min(LINE, powerOfTwo(total));
  return { threads: Math.min(LARGEST / rows, wanted), rows, across };
}

/** A place in a row: a coordinate for each extent, and the condition that it is one, undefined where it always is. */
export interface Spot {
  readonly at: readonly Expr[];
  readonly inside: Expr | undefined;
}

/** Elements of a row that a thread takes one by one, in registers; of more, in a loop. */
const MOST_KEPT = 8;

type Cell = "f32" | "i32" | "u32";
const CELLS: Readonly<Partial<Record<ScalarType, Cell>>> = { f32: "f32", i32: "i32", u32: "u32", bool: "i32" };

/** Whether teams can reduce values of the type. */
export const canReduce = (type: ScalarType): boolean => CELLS[type] !== undefined;

export class Team {
  readonly #em: Emitter;
  readonly #teams: Teams;
  readonly #rank: Expr;
  /** This thread's number in its team. */
  readonly #thread: Expr;
  /** The rank of the team's thread 0. */
  readonly #first: Expr;
  readonly #spots = new Map<string, readonly Spot[]>();
  readonly #arrays = new Map<string, SharedArray>();
  readonly #swaps: boolean;
  #trees = 0;
  /** The row's number: the last one's, where there is none for this team. */
  readonly row: Expr;
  /** Whether there is a row for this team; undefined where there always is. */
  readonly hasRow: Expr | undefined;

  /** Rows are numbered from 0 to `total` - 1. With `swaps`, threads that run in step can swap. */
  constructor(em: Emitter, teams: Teams, total: number, swaps = false) {
    const { threads, rows, across } = teams;
    this.#em = em;
    this.#teams = teams;
    this.#swaps = swaps;
    this.#rank = em.named("rank", team("rank"));
    const [quick, slow] = [rem(this.#rank, i32(across ? rows : threads)), div(this.#rank, i32(across ? rows : threads))];
    this.#thread = em.named("thread", across ? slow : quick);
    const local = across ? quick : slow;
    this.#first = em.named("first", across ? local : mul(slow, i32(threads)));
    const number = em.named("row", rows === 1 ? team("group") : add(mul(team("group"), i32(rows)), local));
    const even = total % rows === 0;
    this.row = even ? number : em.named("row", min(number, i32(total - 1)));
    this.hasRow = even ? undefined : lt(number, i32(total));
  }

  get isFirst(): Expr {
    return compare("eq", this.#thread, i32(0));
  }

  get shared(): readonly SharedArray[] {
    return [...this.#arrays.values()];
  }

  #spot(start: Expr, extents: readonly number[], sure: boolean): Spot {
    const count = extents.reduce((a, b) => a * b, 1);
    const number = this.#em.named("e", add(start, this.#thread));
    // What is outside stands at the last place, so that it can be read; it does not count.
    const held = sure ? number : this.#em.named("e", min(number, i32(count - 1)));
    const order = extents.map((_, axis) => axis);
    return { at: this.#em.coordinates(held, extents, order), inside: sure ? undefined : lt(number, i32(count)) };
  }

  /** Visits this thread's elements of a row, whose last extent counts fastest. The same few are the same expressions each time. */
  each(extents: readonly number[], visit: (spot: Spot) => void): void {
    const { threads } = this.#teams;
    const count = extents.reduce((a, b) => a * b, 1);
    const rounds = Math.ceil(count / threads);
    if (rounds > MOST_KEPT) {
      this.#em.loop("e", i32(0), i32(count), threads, (e) => visit(this.#spot(e, extents, count % threads === 0)));
      return;
    }
    const key = extents.join();
    const spots =
      this.#spots.get(key) ?? Array.from({ length: rounds }, (_, k) => this.#spot(i32(k * threads), extents, (k + 1) * threads <= count));
    this.#spots.set(key, spots);
    spots.forEach(visit);
  }

  /** A reduction over a row, for `ElementLowering`; every thread of the team has its result. Undefined where not all threads come by. */
  reduce = (r: Reduction): Expr | undefined => {
    if (!this.#em.isOutermost || !canReduce(r.type)) return undefined;
    return r.op.startsWith("arg") ? this.#argReduce(r) : this.#fold(r, r.op as keyof typeof COMBINE);
  };

  #fold(r: Reduction, op: keyof typeof COMBINE): Expr {
    const em = this.#em;
    const identity = constant(r.type, identityOf(op, r.type));
    const acc = em.mutable("acc", identity);
    this.each(r.extents, ({ at, inside }) => {
      const value = r.body(at);
      acc.assign(binary(COMBINE[op], acc.read, inside ? select(inside, value, identity) : value));
    });
    return this.#tree([em.freeze(acc.read)], ([a], [b]) => [binary(COMBINE[op], a!, b!)])[0]!;
  }

  #argReduce(r: Reduction): Expr {
    const em = this.#em;
    const least = r.op.startsWith("argmin");
    const last = r.op.endsWith("_last");
    const best = em.mutable("best", constant(r.type, identityOf(least ? "min" : "max", r.type)));
    const found = em.mutable("at", i32(0));
    const ahead = least ? "lt" : "gt";
    this.each(r.extents, ({ at, inside }) => {
      const x = em.keep(r.body(at), "x");
      const better = compare(last ? (least ? "le" : "ge") : ahead, x, best.read);
      em.branch(inside ? and(inside, better) : better, () => {
        best.assign(x);
        found.assign(at.reduce<Expr>((n, c, axis) => add(mul(n, i32(r.extents[axis]!)), c), i32(0)));
      });
    });
    return this.#tree([em.freeze(best.read), em.freeze(found.read)], ([x, at], [y, other]) => {
      const closer = and(compare("eq", y!, x!), compare(last ? "gt" : "lt", other!, at!));
      const better = em.named("better", or(compare(ahead, y!, x!), closer));
      return [select(better, y!, x!), select(better, other!, at!)];
    })[1]!;
  }

  /** What the threads of a team hold, merged two by two. */
  #tree(values: readonly Expr[], merge: Merge): readonly Expr[] {
    const em = this.#em;
    const { threads, rows, across } = this.#teams;
    if (threads === 1) return values;
    const step = 4 * (across ? rows : 1);
    // Two sets of arrays in turn: no thread writes to one before all have read what it held last.
    const turn = this.#trees++ % 2;
    const arrays = values.map((v, k): SharedArray & { readonly memory: Cell } => {
      const memory = CELLS[v.type as ScalarType]!;
      const name = `held_${memory}_${turn}${k}`;
      const array = { name, memory, length: threads * rows };
      this.#arrays.set(name, array);
      em.parameter(name, "ptr");
      return array;
    });
    if (this.#swaps) {
      const seats = { threads, stride: across ? rows : 1, rank: this.#rank, first: this.#first, thread: this.#thread };
      const number = (x: Expr): Expr => (x.type === "bool" ? cast("i32", x) : x);
      const typed = (x: Expr, k: number): Expr => (values[k]!.type === "bool" ? compare("ne", x, i32(0)) : x);
      const numbers: Merge = (a, b) => merge(a.map(typed), b.map(typed)).map(number);
      const all = joined(
        em,
        seats,
        values.map(number),
        arrays.map((array) => ({ array, bytes: 4 })),
        numbers,
      );
      return all.map(typed);
    }
    const cells = values.map((v, k) => {
      const type = v.type as ScalarType;
      const { name, memory } = arrays[k]!;
      const at = (index: Expr): Expr => advance(em.parameter(name, "ptr"), mul(index, i32(4)));
      return {
        get: (index: Expr, offset: number): Expr => {
          const x = em.named("x", load(memory, at(index), offset));
          return type === "bool" ? compare("ne", x, i32(0)) : x;
        },
        put: (x: Expr): void => em.emit(store(memory, at(this.#rank), type === "bool" ? cast("i32", x) : x)),
      };
    });
    const pair = (index: Expr, by: number) =>
      merge(...([0, by].map((offset) => cells.map((c) => c.get(index, offset))) as [Expr[], Expr[]]));
    const put = (xs: readonly Expr[]): void => cells.forEach((c, k) => c.put(xs[k]!));
    put(values);
    em.emit(barrier);
    for (let half = threads / 2; half > 1; half /= 2) {
      em.branch(lt(this.#thread, i32(half)), () => put(pair(this.#rank, half * step)));
      em.emit(barrier);
    }
    return pair(this.#first, step).map((x) => em.named("r", x));
  }
}
