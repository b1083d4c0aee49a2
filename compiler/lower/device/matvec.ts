// A matrix times a vector: threads of a workgroup share out the depth of four results, or of several fours, and add up what they have.

import {
  add,
  barrier,
  binary,
  callStmt,
  compare,
  extract,
  fma,
  i32,
  load,
  lt,
  mul,
  store,
  team,
  variable,
} from "../../../ir/kernel/build.ts";
import type { Expr, Func, SharedArray } from "../../../ir/kernel/types.ts";
import { Emitter } from "../generic/emitter.ts";
import { type Arithmetic, floats } from "./arithmetic.ts";
import { joined, type Seats } from "./join.ts";
import type { Reach, Side } from "./operand.ts";
import { type Start, transposed } from "./product.ts";
import type { Put } from "./put.ts";

/** Fours of results of a workgroup, and threads that share the depth of each. */
export interface VectorTiling {
  readonly quads: number;
  readonly slices: number;
}

const powerUpTo = (n: number): number => 2 ** Math.floor(Math.log2(Math.max(1, n)));
const powerFrom = (n: number): number => 2 ** Math.ceil(Math.log2(Math.max(1, n)));

/** Neighbouring threads read neighbours in memory: along the depth of a line where lines are `deep`, else along the lines. */
export function vectorTilingFor(results: number, depth: number, deep: boolean): VectorTiling {
  const [quads, steps] = [powerFrom(results / 4), powerUpTo(depth / 4)];
  if (!deep) {
    const q = Math.min(16, quads);
    return { quads: q, slices: Math.min(256 / q, steps) };
  }
  const slices = Math.min(64, steps);
  return { quads: Math.min(quads, 64 / slices), slices };
}

/** For `explain`. */
export const whyVector = (t: VectorTiling): string => `${4 * t.quads} results a workgroup, ${t.slices} threads for each four`;

export const reachOf = (t: VectorTiling): Reach => ({ lines: 4 * t.quads, depth: 4 * t.slices });

export interface VectorProduct {
  readonly name: string;
  readonly doc: string;
  readonly batches: number;
  readonly results: number;
  readonly depth: number;
  /** A line for each result. */
  readonly matrix: Side;
  /** One line, deep. */
  readonly vector: Side;
  readonly tiling: VectorTiling;
  readonly put: Put;
  /** Whether threads that run in step can swap. */
  readonly swaps: boolean;
  /** Floats, where left out; words by a matrix that is not deep. */
  readonly arithmetic?: Arithmetic;
  /** First summands of four results. */
  readonly start?: Start;
}

/** The sum of what threads of a team hold, two by two, by way of places in shared memory; for the team's first thread. */
export function addedUp(
  em: Emitter,
  { threads, thread }: Seats,
  value: Expr,
  place: (thread: Expr) => { readonly ptr: Expr; readonly offset: number },
): Expr {
  if (threads === 1) return value;
  const four = value.type as Arithmetic["vector"];
  const sum = em.mutable("sum", value);
  const mine = place(thread);
  em.emit(store(four, mine.ptr, sum.read, mine.offset));
  em.loop("round", i32(0), i32(Math.log2(threads)), 1, (round) => {
    const half = em.named("half", binary("shr", i32(threads / 2), round));
    em.emit(barrier);
    em.branch(lt(thread, half), () => {
      const other = place(add(thread, half));
      sum.assign(add(sum.read, load(four, other.ptr, other.offset)));
      em.emit(store(four, mine.ptr, sum.read, mine.offset));
    });
  });
  return sum.read;
}

/** The functions of the product, its entry last. */
export function vectorProduct(p: VectorProduct): readonly Func[] {
  const { matrix, vector, put, arithmetic = floats } = p;
  const { quads, slices } = p.tiling;
  const em = new Emitter();
  const params = [...matrix.params, ...vector.params, ...put.params];
  for (const x of params) em.parameter(x.name, x.type);
  const array: SharedArray = { name: "sums", memory: arithmetic.vector, length: quads * slices };
  em.parameter(array.name, "ptr");
  const groups = [p.batches, Math.ceil(p.results / (4 * quads))];
  const [batch, first] = em.coordinates(team("group"), groups, [0, 1]) as [Expr, Expr];
  const rank = em.named("rank", team("rank"));
  const [slice, own] = (
    matrix.deep ? em.coordinates(rank, [quads, slices], [0, 1]).reverse() : em.coordinates(rank, [slices, quads], [0, 1])
  ) as [Expr, Expr];
  const quad = add(mul(first, i32(quads)), own);
  const lines = [0, 1, 2, 3].map((k) =>
    matrix.deep ? matrix.open(em, batch, add(mul(quad, i32(4)), i32(k))) : k === 0 && matrix.open(em, batch, quad),
  );
  const given = vector.open(em, batch, i32(0));
  const sums = [0, 1, 2, 3].slice(0, matrix.deep ? 4 : 1).map(() => em.mutable("acc", arithmetic.zero));
  em.loop("step", i32(0), i32(Math.ceil(p.depth / (4 * slices))), 1, (step) => {
    const at = add(mul(step, i32(slices)), slice);
    const x = given(at);
    const read = lines[0] as (depth: Expr) => Expr;
    for (let k = 0; k < 4; k++) {
      if (matrix.deep) sums[k]!.assign(fma((lines[k] as typeof read)(at), x, sums[k]!.read));
      else sums[0]!.assign(arithmetic.multiplyAdd(extract(x, k), read(add(mul(at, i32(4)), i32(k))), sums[0]!.read));
    }
  });
  const columns = matrix.deep
    ? transposed(
        em,
        sums.map((s) => s.read),
      )
    : sums.map((s) => s.read);
  const mine = columns.reduce(add);
  const seats: Seats = matrix.deep
    ? { threads: slices, stride: 1, rank, first: mul(own, i32(slices)), thread: slice }
    : { threads: slices, stride: quads, rank, first: own, thread: slice };
  const sum = p.swaps
    ? joined(em, seats, [mine], [{ array, bytes: 16 }], (a, b) => [add(a[0]!, b[0]!)])[0]!
    : addedUp(em, seats, mine, (thread) => em.address(variable(array.name, "ptr"), mul(add(mul(thread, i32(quads)), own), i32(16))));
  const put4 = (): void => {
    const whole = p.start ? add(p.start(em, batch, quad), sum) : sum;
    em.emit(callStmt(put.func.name, put.args(whole, batch, i32(0), quad)));
  };
  if (slices > 1) em.branch(compare("eq", slice, i32(0)), put4);
  else put4();
  const grid = { workgroups: groups.reduce((a, b) => a * b, 1), size: quads * slices, shared: slices > 1 ? [array] : [] };
  return [put.func, ...arithmetic.functions, { name: p.name, doc: p.doc, params, body: em.body, grid }];
}
