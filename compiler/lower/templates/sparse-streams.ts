// The streams of a sparse convolution: taps, weights and counts of its output channels, in the order in which tiles read them.

import { type Blocks, blockOf, columnOf } from "./conv-blocks.ts";
import type { TapSource } from "./conv-input.ts";
import type { ConvShape, ConvSpec } from "./conv-spec.ts";
import { type Grouping, listed, single, tapsOf } from "./tap-lists.ts";

/** The taps of one output channel that are not zero: places in its row of weights, ascending. */
export type TapRow = readonly number[];

/** Non-zeros that stay in the cache while the tiles of an image pass: at 6 bytes each, a part of a small L2. */
const NONZEROS_AT_ONCE = 40_000;
/** For each input channel, whose copies to scratch every part makes again: 40 take 15 % off 3072 channels (bench/NOTES.md). */
const NONZEROS_A_CHANNEL = 40;

/** The streams of output channels `first` to `end`. */
export interface Pattern {
  readonly first: number;
  readonly end: number;
  readonly grouping: Grouping;
  readonly weights: Float32Array;
  readonly columns: readonly number[];
  /** Per block, group and list; the other streams are in the same order. */
  readonly counts: readonly number[];
  /** Where the channels come, counted from `first`. */
  readonly order: readonly number[];
}

const depthOf = (s: ConvShape): number => s.groupIn * s.kh * s.kw;

export function tapRows(spec: ConvSpec, s: ConvShape): TapRow[] {
  const depth = depthOf(s);
  return Array.from({ length: s.m }, (_, m) => {
    const taps: number[] = [];
    for (let i = 0; i < depth; i++) if (spec.weights[m * depth + i] !== 0) taps.push(i);
    return taps;
  });
}

/** For each place in a row of weights of a group of the convolution: its block, and its number there. */
function places(
  s: ConvShape,
  source: TapSource,
  blocks: Blocks,
  group: number,
): { readonly block: Uint16Array; readonly column: Uint32Array } {
  const [block, column] = [new Uint16Array(depthOf(s)), new Uint32Array(depthOf(s))];
  for (let i = 0; i < block.length; i++) {
    const [channel, ky, kx] = [group * s.groupIn + Math.floor(i / (s.kh * s.kw)), Math.floor(i / s.kw) % s.kh, i % s.kw];
    block[i] = blockOf(blocks, channel, ky);
    column[i] = columnOf(source, blocks, channel, ky, kx);
  }
  return { block, column };
}

/** The patterns of all output channels, in groups, of `most` non-zeros each; what is left of the last group goes one by one. */
export function patternsOf(
  spec: ConvSpec,
  s: ConvShape,
  source: TapSource,
  blocks: Blocks,
  rows: readonly TapRow[],
  grouping: Grouping,
  most = Number.POSITIVE_INFINITY,
): Pattern[] {
  const depth = depthOf(s);
  const tables = Array.from({ length: spec.groups }, (_, g) => places(s, source, blocks, g));
  const tableOf = (m: number) => tables[Math.floor(m / s.groupOut)]!;
  const found: Pattern[] = [];
  const close = (first: number, end: number, g: Grouping): void => {
    const channels = Array.from({ length: end - first }, (_, i) => first + i);
    if (g.sorted) channels.sort((a, b) => rows[b]!.length - rows[a]!.length || a - b);
    const [counts, weights, columns]: [number[], number[], number[]] = [[], [], []];
    for (let block = 0; block < blocks.count; block++)
      for (let at = 0; at < channels.length; at += g.rows) {
        const group = channels.slice(at, at + g.rows);
        const here = group.map((m) => (blocks.count === 1 ? rows[m]! : rows[m]!.filter((i) => tableOf(m).block[i] === block)));
        listed(g, here).forEach((taps, l) => {
          const list = g.lists[l]!;
          const step = tapsOf(list);
          counts.push(taps.length / step);
          for (let t = 0; t < taps.length; t++) {
            const reads = step === 1 ? list.rows : [list.rows[t % step]!];
            columns.push(tableOf(group[reads[0]!]!).column[taps[t]!]!);
            for (const r of reads) weights.push(spec.weights[group[r]! * depth + taps[t]!]!);
          }
        });
      }
    found.push({ first, end, grouping: g, weights: Float32Array.from(weights), columns, counts, order: channels.map((m) => m - first) });
  };
  const atOnce = Math.max(NONZEROS_AT_ONCE, NONZEROS_A_CHANNEL * s.c);
  const whole = s.m - (s.m % grouping.rows);
  let [first, held] = [0, 0];
  for (let m = 0; m < whole; m += grouping.rows) {
    const taps = rows.slice(m, m + grouping.rows).reduce((sum, r) => sum + r.length, 0);
    if (held > 0 && held + taps > Math.min(most, atOnce)) {
      close(first, m, grouping);
      [first, held] = [m, 0];
    }
    held += taps;
  }
  if (whole > first) close(first, whole, grouping);
  if (whole < s.m) close(whole, s.m, single);
  return found;
}
