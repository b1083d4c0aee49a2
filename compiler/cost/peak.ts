// The fastest that a target multiplies and adds: a loop of nothing else, over accumulators that stay in registers.

import { advance, f32, fma, for_, i32, let_, load, pointer, set, splat, store, variable } from "../../ir/kernel/build.ts";
import type { Expr, Program } from "../../ir/kernel/types.ts";
import type { Capabilities } from "../backend.ts";

export interface PeakProgram {
  readonly program: Program;
  /** Floating-point operations of one run. */
  readonly flops: number;
  /** Bytes of the arena. */
  readonly arena: number;
}

const ROUNDS = 20_000;

/** A program with the entry `run(weights, arena)`, for `accumulators` chains that do not wait for one another. */
export function peakProgram(can: Capabilities, accumulators: number): PeakProgram {
  const vector = can.vectors.includes("f32x4");
  const [memory, lanes] = vector ? (["f32x4", 4] as const) : (["f32", 1] as const);
  const arena = variable("arena", "ptr");
  const acc = (k: number): Expr => variable(`acc${k}`, memory);
  const each = Array.from({ length: accumulators }, (_, k) => k);
  const zero = vector ? splat("f32x4", f32(0)) : f32(0);
  const body = [
    let_("x", load(memory, arena)),
    let_("y", load(memory, arena, 4 * lanes)),
    ...each.map((k) => let_(`acc${k}`, zero)),
    for_(
      "i",
      i32(0),
      i32(ROUNDS),
      each.map((k) => set(`acc${k}`, fma(variable("x", memory), variable("y", memory), acc(k)))),
    ),
    ...each.map((k) => store(memory, advance(arena, i32(4 * lanes * (2 + k))), acc(k))),
  ];
  const bytes = 4 * lanes * (2 + accumulators);
  const params = [pointer("weights", "read", 16), pointer("arena", "readwrite", bytes)];
  const run = { name: "run", doc: "multiplies and adds", params, body };
  return { program: { functions: [run], entry: "run", faults: [] }, flops: 2 * lanes * accumulators * ROUNDS, arena: bytes };
}
