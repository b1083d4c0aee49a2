// A block of vectors, four neighbouring tiles in the lanes of each, that passes through the stages of a Winograd convolution together.

import { add, div, for_, i32, let_, rem, variable } from "../../../ir/kernel/build.ts";
import type { Expr, Stmt } from "../../../ir/kernel/types.ts";
import type { ConvFrame } from "./conv-sweep.ts";
import type { WinogradPlan } from "./winograd-plan.ts";

export interface Block {
  readonly f: ConvFrame;
  readonly plan: WinogradPlan;
  /** Vectors. */
  readonly size: number;
}

/** Inputs along one side of a tile, and products of a tile. */
export const side = (plan: WinogradPlan): number => plan.m + 2;
export const points = (plan: WinogradPlan): number => side(plan) ** 2;

/** Bytes between the planes of two points: an odd number of cache lines, so that one column of them does not fall on one set. */
export const planeBytes = (channels: number, vectors: number): number => (Math.ceil((channels * vectors * 16) / 128) * 2 + 1) * 64;

/** Memory between the stages, [point][channel][vector], and for one tile between rows and columns. */
export const stageBytes = (f: ConvFrame, plan: WinogradPlan) => {
  const most = Math.max(...plan.blocks.map((b) => b.size));
  return {
    factors: points(plan) * planeBytes(f.shape.groupIn, most),
    sums: points(plan) * planeBytes(f.shape.groupOut, most),
    tile: points(plan) * 16,
  };
};

export const ptr = (name: string): Expr => variable(name, "ptr");

/** Number of a vector in its block, row of its tiles, and their number of four in the row. */
export const [k, ty, tx] = [variable("k"), variable("ty"), variable("tx")];

/** Passes over the vectors of a block, of which the image's `at`th is the first. */
export const overVectors = ({ plan, size }: Block, body: readonly Stmt[]): Stmt =>
  for_("k", i32(0), i32(size), [
    let_("ty", div(add(variable("at"), k), i32(plan.across))),
    let_("tx", rem(add(variable("at"), k), i32(plan.across))),
    ...body,
  ]);

/** Collects statements that keep values in variables. */
export function keeper(fresh: () => string): { readonly body: readonly Stmt[]; readonly keep: (value: Expr) => Expr } {
  const body: Stmt[] = [];
  const keep = (value: Expr): Expr => {
    const name = fresh();
    body.push(let_(name, value));
    return variable(name, value.type);
  };
  return { body, keep };
}
