// Small windows written out tap by tap over one channel, reading every column or every other one in place: pooling, depthwise convolution.

import { add, advance, compare, i32, let_, load, repeat, set, shuffle, variable } from "../../../ir/kernel/build.ts";
import type { Expr, Stmt } from "../../../ir/kernel/types.ts";
import type { Capabilities } from "../../backend.ts";
import type { accumulators } from "./conv-blocks.ts";
import { tapOffset } from "./conv-input.ts";
import type { ConvFrame, TileShape } from "./conv-sweep.ts";

type Variable = ReturnType<typeof accumulators>[number][number][number];

/** Rows of taps are a loop where engines load all of a block first: written out, they would not fit the registers. */
const loops = (can: Capabilities): boolean => !can.fma;

/** Accumulators that leave room for the columns that a row of taps loads for each. */
export function windowAccumulators(f: ConvFrame): number {
  const can = f.spec.target;
  if (!can.vectors.includes("f32x4")) return 1;
  if (!loops(can)) return can.accumulators;
  const loads = readsEveryOther(f) ? 2 * Math.ceil(f.shape.kw / 2) : f.shape.kw;
  return Math.max(1, Math.floor((2 * can.accumulators) / (loads + 1)));
}

export const readsEveryOther = (f: ConvFrame): boolean => f.source.vector === 32;

/** One row of taps: each column of four outputs is loaded once, and shared by the taps that read it. */
function tapRow(f: ConvFrame, tile: TileShape, acc: readonly (readonly Variable[])[], at: Expr, id: string, tap: TapOf): Stmt[] {
  const body: Stmt[] = [];
  const known = new Map<number, Expr>();
  const column = (displacement: number): Expr => {
    const found = known.get(displacement);
    if (found) return found;
    const name = `x${id}_${displacement}`;
    body.push(let_(name, load("f32x4", at, displacement)));
    known.set(displacement, variable(name, "f32x4"));
    return known.get(displacement)!;
  };
  const weights = Array.from({ length: f.shape.kw }, (_, kx) => tap.before(kx, `${id}_${kx}`));
  for (const w of weights) body.push(...w.body);
  for (let y = 0; y < tile.rows; y++)
    for (let v = 0; v < tile.vectors; v++)
      for (let kx = 0; kx < f.shape.kw; kx++) {
        const from = y * f.source.row + v * f.source.vector;
        let value: Expr;
        if (readsEveryOther(f)) {
          const place = kx * f.spec.dilations[1];
          const start = from + 4 * (place - (place % 2));
          value = shuffle(column(start), column(start + 16), place % 2 === 0 ? [0, 2, 4, 6] : [1, 3, 5, 7]);
        } else value = column(from + tapOffset(f.source, 0, 0, kx));
        const a = acc[y]![v]!;
        body.push(set(a.name, tap.combine(a, value, weights[kx]!.value)));
      }
  return body;
}

export interface TapOf {
  /** Statements and a value for tap kx of a row, for all accumulators; names end in `id`. */
  before(kx: number, id: string): { readonly body: readonly Stmt[]; readonly value: Expr | undefined };
  combine(acc: Expr, value: Expr, weight: Expr | undefined): Expr;
  /** After a row of taps. */
  readonly next: readonly Stmt[];
}

/** Statements that pass all taps of the window at `at`, its first tap, through the accumulators. */
export function windowTaps(f: ConvFrame, tile: TileShape, acc: readonly (readonly Variable[])[], at: Expr, tap: TapOf): Stmt[] {
  const { kh } = f.shape;
  const rows = f.source.tapRow;
  if (kh > 1 && loops(f.spec.target)) {
    const [row, left] = [variable("xw", "ptr"), variable("left")];
    return [
      let_("xw", at),
      let_("left", i32(kh)),
      repeat(
        [...tapRow(f, tile, acc, row, "", tap), ...tap.next, set("xw", advance(row, i32(rows))), set("left", add(left, i32(-1)))],
        compare("ne", left, i32(0)),
      ),
    ];
  }
  const body: Stmt[] = [let_("xw0", at)];
  for (let ky = 0; ky < kh; ky++) {
    const row = variable(`xw${ky}`, "ptr");
    body.push(...tapRow(f, tile, acc, row, `${ky}`, tap), ...tap.next);
    if (ky < kh - 1) body.push(let_(`xw${ky + 1}`, advance(row, i32(rows))));
  }
  return body;
}
