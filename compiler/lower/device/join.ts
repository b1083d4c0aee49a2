// Brings together what the threads of a team hold: by swaps among those that run in step, then once through shared memory for all others.

import {
  add,
  advance,
  and,
  barrier,
  compare,
  div,
  i32,
  load,
  lt,
  max,
  mul,
  store,
  sub,
  swap,
  team,
  variable,
} from "../../../ir/kernel/build.ts";
import type { Expr, SharedArray } from "../../../ir/kernel/types.ts";
import type { Emitter } from "../generic/emitter.ts";

/** Threads of a workgroup that are one team: of ranks `first`, `first + stride`, ... Their number and the stride are powers of two. */
export interface Seats {
  readonly threads: number;
  readonly stride: number;
  readonly rank: Expr;
  readonly first: Expr;
  /** This thread's number in its team. */
  readonly thread: Expr;
}

/** A number or four that a thread of a workgroup leaves for others: an array of one for each thread. */
export interface Cell {
  readonly array: SharedArray;
  readonly bytes: number;
}

/** Threads that run in step on any device, at most. */
const MOST_LANES = 128;

/** Merges what two threads, or groups of them, hold; in whichever order. */
export type Merge = (a: readonly Expr[], b: readonly Expr[]) => readonly Expr[];

/** What all threads of the team hold, for each of them. Every thread of the workgroup comes by. */
export function joined(em: Emitter, seats: Seats, values: readonly Expr[], cells: readonly Cell[], merge: Merge): readonly Expr[] {
  const { threads, stride, rank, first, thread } = seats;
  if (threads === 1) return values;
  const lanes = em.named("lanes", team("lanes"));
  const held = values.map((v) => em.mutable("held", v));
  const take = (others: readonly Expr[]): void => {
    const own = held.map((h) => em.freeze(h.read));
    for (const [k, x] of merge(own, others).entries()) held[k]!.assign(x);
  };
  for (let by = 1; by < threads && by * stride < MOST_LANES; by *= 2)
    em.branch(lt(i32(by * stride), lanes), () => {
      const others = held.map((h) => em.mutable("other", h.read));
      for (const { read } of others) em.emit(swap((read as Expr & { kind: "var" }).name, i32(by * stride)));
      take(others.map(({ read }) => read));
    });
  // Ranks from one group of threads in step that hold the same to the next.
  const reach = stride === 1 ? lanes : em.named("reach", max(lanes, i32(stride)));
  em.branch(lt(reach, i32(threads * stride)), () => {
    const each = stride === 1 ? lanes : em.named("each", div(reach, i32(stride)));
    const places = cells.map(
      ({ array, bytes }) =>
        (number: Expr) =>
          advance(variable(array.name, "ptr"), mul(number, i32(bytes))),
    );
    em.branch(compare("eq", and(thread, sub(each, i32(1))), i32(0)), () => {
      for (const [k, { array }] of cells.entries()) em.emit(store(array.memory, places[k]!(rank), held[k]!.read));
    });
    em.emit(barrier);
    const left = (number: Expr): readonly Expr[] => cells.map(({ array }, k) => em.named("x", load(array.memory, places[k]!(number))));
    for (const [k, x] of left(first).entries()) held[k]!.assign(x);
    em.loop("group", i32(1), em.named("groups", div(i32(threads * stride), reach)), 1, (group) =>
      take(left(add(first, mul(group, reach)))),
    );
  });
  return held.map((h) => em.freeze(h.read));
}
