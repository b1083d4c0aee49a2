// How the taps of sparse output channels are listed: channel by channel, or for several channels at once, which share taps or take theirs in turn.

import type { ConvShape, ConvSpec } from "./conv-spec.ts";
import { type Access, costOfLists, type Lists } from "./tiles.ts";

/** A list of steps: each reads one tap that all of `rows` share, or one tap for each of them. */
export interface TapList {
  /** Channels of the group that a step adds to. */
  readonly rows: readonly number[];
  readonly shared: boolean;
}

/** Output channels that are computed at once, and the lists that hold their taps. */
export interface Grouping {
  readonly rows: number;
  readonly lists: readonly TapList[];
  /** Whether channels with nearly as many taps are brought together. */
  readonly sorted: boolean;
  /** For `explain`: the end of a sentence. */
  readonly doc: string;
}

const upTo = (n: number): number[] => Array.from({ length: n }, (_, i) => i);
const alone = (row: number): TapList => ({ rows: [row], shared: true });

/** One channel at a time. */
export const single: Grouping = { rows: 1, lists: [alone(0)], sorted: false, doc: "" };
/** Two channels: first the taps that both have, loaded once, then those of either: for many taps. */
export const pairs: Grouping = {
  rows: 2,
  lists: [{ rows: [0, 1], shared: true }, alone(0), alone(1)],
  sorted: false,
  doc: ", two output channels at a time",
};
/** Channels with the same taps: for zeros in blocks of as many rows. */
export const together = (rows: number): Grouping => ({
  rows,
  lists: [{ rows: upTo(rows), shared: true }],
  sorted: false,
  doc: `, ${rows} output channels share their taps`,
});
/** A tap of each channel in turn, and then what is left of each: for tiles too small to hide the latency of additions. */
export const zipped = (rows: number): Grouping => ({
  rows,
  lists: [{ rows: upTo(rows), shared: false }, ...upTo(rows).map(alone)],
  sorted: true,
  doc: `, ${rows} output channels in turn`,
});

/** Taps that a step of a list reads. */
export const tapsOf = (list: TapList): number => (list.shared ? 1 : list.rows.length);

/** What two ascending lists have in common, and what only the first, and only the second has. */
function compared(a: readonly number[], b: readonly number[]): number[][] {
  const [both, left, right]: [number[], number[], number[]] = [[], [], []];
  let j = 0;
  for (const i of a) {
    while (j < b.length && b[j]! < i) right.push(b[j++]!);
    if (b[j] === i) both.push(b[j++]!);
    else left.push(i);
  }
  return [both, left, [...right, ...b.slice(j)]];
}

/** For each list, the taps of its steps, one after the other, from those of each channel of a group in ascending order. */
export function listed(g: Grouping, rows: readonly (readonly number[])[]): readonly (readonly number[])[] {
  if (g.rows === 1) return rows;
  if (g.sorted) {
    const common = Math.min(...rows.map((r) => r.length));
    return [upTo(common).flatMap((i) => rows.map((r) => r[i]!)), ...rows.map((r) => r.slice(common))];
  }
  if (g.lists.length > 1) return compared(rows[0]!, rows[1]!);
  return [[...new Set(rows.flat())].sort((a, b) => a - b)];
}

/** Steps of each list for all channels, whose taps are given: what tiles are chosen by. */
export function stepsOf(g: Grouping, rows: readonly (readonly number[])[]): Lists {
  const order = g.sorted ? [...rows].sort((a, b) => b.length - a.length) : rows;
  const taps = g.lists.map(() => 0);
  for (let first = 0; first + g.rows <= order.length; first += g.rows)
    listed(g, order.slice(first, first + g.rows)).forEach((list, l) => {
      taps[l]! += list.length;
    });
  return {
    rows: g.rows,
    lists: g.lists.map((list, l) => ({ steps: taps[l]! / tapsOf(list), rows: list.rows.length, taps: tapsOf(list) })),
  };
}

/** Part of the weights that must be left for pairs to have much in common. */
const LEAST_DENSITY = 0.3;
/** Vectors of an output channel beyond which one channel at a time hides the latency of additions. */
const MOST_ZIPPED = 8;

/** The cheapest grouping for channels with such taps, the same for all targets: variants of one program share the streams. */
export function cheapestGrouping(spec: ConvSpec, s: ConvShape, a: Access, rows: readonly (readonly number[])[]): Grouping {
  const [height] = spec.block ?? [1];
  const options = [
    single,
    ...[2, 4].filter((n) => height % n === 0).map(together),
    ...(a.taps >= LEAST_DENSITY * spec.weights.length ? [pairs] : []),
    ...(a.rows * a.vectors <= MOST_ZIPPED ? [zipped(2), zipped(4)] : []),
  ];
  // Channels of different groups of the convolution share nothing.
  const possible = options.filter((g) => g.rows <= s.m && (g.sorted || s.groupOut % g.rows === 0 || spec.groups === 1));
  const cost = (g: Grouping): number => costOfLists(a, stepsOf(g, rows));
  return possible.map((g) => ({ g, cost: cost(g) })).reduce((best, o) => (o.cost < best.cost ? o : best)).g;
}
