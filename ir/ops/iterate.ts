// Counted loops for compositions: the body is a function, and becomes straight code when short, else a `loop` region.

import type { Loc } from "../diagnostics.ts";
import { GraphBuilder, type Value } from "../graph.ts";
import { tensorOf } from "../tensor.ts";
import { maxShape } from "../types.ts";

export interface Step {
  readonly state: readonly Value[];
  /** Values to stack along a new first axis. */
  readonly scanned: readonly Value[];
}

/** One iteration: `i` is i64[]; `captured` stands for the outer values in the order given to `iterate`. */
export type Body = (b: GraphBuilder, i: Value, state: readonly Value[], captured: readonly Value[]) => Step;

export interface Iteration {
  readonly trips: number;
  readonly state: readonly Value[];
  readonly captured: readonly Value[];
  readonly loc: Loc | undefined;
  /** Up to this many iterations become straight code. */
  readonly unroll?: number;
}

const DEFAULT_UNROLL = 2;

/** The state after `trips` iterations and the scanned values, [trips, ...]. All types are static; at least one iteration. */
export function iterate(b: GraphBuilder, { trips, state, captured, loc, unroll = DEFAULT_UNROLL }: Iteration, body: Body): Step {
  const number = (value: number): Value => b.constant(tensorOf("i64", [], [value]));
  if (trips >= 1 && trips <= unroll) {
    const rows: (readonly Value[])[] = [];
    let current = state;
    for (let t = 0; t < trips; t++) {
      const step = body(b, number(t), current, captured);
      current = step.state;
      rows.push(step.scanned.map((v) => b.value("reshape", [v], { shape: [1, ...maxShape(v.type)] }, loc)));
    }
    return {
      state: current,
      scanned: rows[0]!.map((first, k) =>
        trips === 1
          ? first
          : b.value(
              "concat",
              rows.map((row) => row[k]!),
              { axis: 0 },
              loc,
            ),
      ),
    };
  }
  const inner = new GraphBuilder(b.ops, b.weights);
  const copy = (v: Value, name: string): Value => inner.param(name, v.type.dtype, maxShape(v.type));
  const i = inner.param("i", "i64", []);
  const again = inner.param("again", "bool", []);
  const states = state.map((v, k) => copy(v, `state${k}`));
  const outer = captured.map((v, k) => copy(v, `captured${k}`));
  const step = body(inner, i, states, outer);
  const graph = {
    ops: b.ops,
    name: "body",
    params: [i, again, ...states, ...outer],
    outputs: [again, ...step.state, ...step.scanned],
    weights: b.weights,
  };
  const yes = b.constant(tensorOf("bool", [], [1]));
  const { results } = b.add("loop", [number(trips), yes, ...state, ...captured], { body: graph, state: state.length, max: trips }, loc);
  return { state: results.slice(1, 1 + state.length), scanned: results.slice(1 + state.length) };
}
