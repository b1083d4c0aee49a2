// Blocks of taps: what one block touches stays in the cache, and its displacements fit 16 bits. Between blocks, partial sums wait in scratch.

import { add, advance, compare, f32, for_, i32, if_, let_, load, rem, set, splat, store, variable } from "../../../ir/kernel/build.ts";
import type { Expr, PointerParam, Stmt } from "../../../ir/kernel/types.ts";
import { type TapSource, tapOffset } from "./conv-input.ts";
import type { ConvShape } from "./conv-spec.ts";
import { type ConvFrame, tileX } from "./conv-sweep.ts";
import type { TilePlan } from "./tiles.ts";

export interface Blocks {
  /** Input channels and kernel rows of a block; the last of each may have fewer. */
  readonly channels: number;
  readonly kernelRows: number;
  /** Blocks side by side in channels, and one above the other in kernel rows. */
  readonly across: number;
  readonly down: number;
  readonly count: number;
  /** How wide displacements within a block are. */
  readonly expanded: "u16" | "u32";
}

/** Blocks of fewer channels cost more than displacements of 32 bits. */
const LEAST_CHANNELS = 8;

/** Blocks of at most `most` of `channels` input channels. */
export function blocksOf(source: TapSource, s: ConvShape, channels: number, most: number): Blocks {
  const width = Math.max(...Array.from({ length: s.kw }, (_, kx) => tapOffset(source, 0, 0, kx)));
  const cut = (limit: number, kernelRows: number, expanded: "u16" | "u32"): Blocks => {
    const across = Math.ceil(channels / Math.min(channels, limit));
    const down = Math.ceil(s.kh / kernelRows);
    return { channels: Math.ceil(channels / across), kernelRows, across, down, count: across * down, expanded };
  };
  let best: Blocks | undefined;
  for (let rows = s.kh; rows >= 1; rows--) {
    const room = 65535 - width - (rows - 1) * source.tapRow;
    const fits = Math.floor(room / source.channel) + 1;
    if (room < 0 || (fits < LEAST_CHANNELS && fits < most)) continue;
    const blocks = cut(Math.min(most, fits), rows, "u16");
    if (!best || blocks.count < best.count) best = blocks;
  }
  return best ?? cut(most, s.kh, "u32");
}

/** Positions of a tap's column number: the mixed radix that gives its displacement within a block. */
export const radixOf = (source: TapSource, blocks: Blocks): (readonly [extent: number, stride: number])[] => [
  [blocks.channels, source.channel],
  [blocks.kernelRows, source.tapRow],
  ...source.columns,
];

/** The number of a tap within its block; numbers are below `boundOf`. */
export const columnOf = (source: TapSource, blocks: Blocks, c: number, ky: number, kx: number): number =>
  ((c % blocks.channels) * blocks.kernelRows + (ky % blocks.kernelRows)) * widthOf(source) + source.column(kx);
export const boundOf = (source: TapSource, blocks: Blocks): number => blocks.channels * blocks.kernelRows * widthOf(source);
export const blockOf = (blocks: Blocks, c: number, ky: number): number =>
  Math.floor(ky / blocks.kernelRows) * blocks.across + Math.floor(c / blocks.channels);
const widthOf = (source: TapSource): number => source.columns.reduce((product, [extent]) => product * extent, 1);

type Variable = Expr & { readonly kind: "var" };

/** Accumulators of a tile, by output channel, row and vector. */
export const accumulators = (outputs: number, rows: number, vectors: number): Variable[][][] =>
  Array.from({ length: outputs }, (_, r) =>
    Array.from({ length: rows }, (_, y) =>
      Array.from({ length: vectors }, (_, v) => ({ kind: "var", type: "f32x4", name: `acc${r}_${y}_${v}` })),
    ),
  );

/** Scratch for the partial sums of `outputs` output channels of the largest tile; none where there is but one block. */
export function partialSums(blocks: Blocks, plan: TilePlan, outputs: number): PointerParam[] {
  const tile = Math.max(...plan.rows.map((y) => y.size)) * Math.max(...plan.vectors.map((x) => x.size));
  return blocks.count > 1 ? [{ name: "partials", type: "ptr", access: "readwrite", bytes: 16 * tile * outputs }] : [];
}

/** The number of the block at hand, and a pointer to its first tap. */
export const block = variable("block");
export const blockX = (blocks: Blocks, from: Expr = tileX): Expr => (blocks.count > 1 ? variable("xb", "ptr") : from);
const partial = variable("partial", "ptr");

/** Takes up the sums of a row of tiles where the last block left them, runs `taps`, and finishes or leaves them again. */
export function accumulate(
  blocks: Blocks,
  acc: readonly Variable[],
  start: readonly Expr[],
  taps: readonly Stmt[],
  finish: readonly Stmt[],
): Stmt[] {
  if (blocks.count === 1) return [...acc.map((a, i) => let_(a.name, start[i]!)), ...taps, ...finish];
  const isFirst = compare("eq", block, i32(0));
  const isLast = compare("eq", block, i32(blocks.count - 1));
  const begin = acc.map((a, i) => set(a.name, start[i]!));
  const resume = acc.map((a, i) => set(a.name, load("f32x4", partial, 16 * i)));
  const pause = acc.map((a, i) => store("f32x4", partial, a, 16 * i));
  return [
    ...acc.map((a) => let_(a.name, splat("f32x4", f32(0)))),
    if_(isFirst, begin, resume),
    ...taps,
    if_(isLast, finish, pause),
    set("partial", advance(partial, i32(16 * acc.length))),
  ];
}

/** Runs `body`, which passes over all output channels of a tile, for every block in order; `from` is the tile's first tap. */
export function overBlocks(f: ConvFrame, blocks: Blocks, body: readonly Stmt[], from: Expr = tileX): readonly Stmt[] {
  if (blocks.count === 1) return body;
  const xb = blockX(blocks);
  const step = blocks.channels * f.source.channel;
  // The last of a row of blocks goes on to the first of the next.
  const wrap = blocks.kernelRows * f.source.tapRow - blocks.across * step;
  const turn = compare("eq", rem(add(block, i32(1)), i32(blocks.across)), i32(0));
  return [
    let_("xb", from),
    for_("block", i32(0), i32(blocks.count), [
      let_("partial", variable("partials", "ptr")),
      ...body,
      set("xb", advance(xb, i32(step))),
      ...(blocks.down > 1 ? [if_(turn, [set("xb", advance(xb, i32(wrap)))])] : []),
    ]),
  ];
}
