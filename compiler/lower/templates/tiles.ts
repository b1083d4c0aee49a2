// How outputs are cut into register tiles: rows x vectors of accumulators, balanced so that no tile is a thin rest.

import type { Capabilities } from "../../backend.ts";

/** `count` tiles of `size`, side by side from `start`. */
export interface Segment {
  readonly start: number;
  readonly size: number;
  readonly count: number;
}

export interface TilePlan {
  readonly rows: readonly Segment[];
  readonly vectors: readonly Segment[];
  /** Neighbouring output channels computed at once. */
  readonly channels: readonly Segment[];
}

/** `extent` in the fewest tiles of at most `size`, whose sizes differ by one at most; larger ones first. */
export function balanced(extent: number, size: number): Segment[] {
  const count = Math.ceil(extent / size);
  const small = Math.floor(extent / count);
  const large = extent - small * count;
  const segments = [
    { start: 0, size: small + 1, count: large },
    { start: large * (small + 1), size: small, count: count - large },
  ];
  return segments.filter((s) => s.count > 0);
}

/** Vector accumulators that fit in registers beside the loaded vectors. */
export const vectorAccumulators = (can: Capabilities): number =>
  can.vectors.includes("f32x4") ? can.accumulators : Math.max(1, Math.floor(can.accumulators / 4));

/**
 * What one tap of a tile costs, in fused or unfused multiply-adds of a vector. `overhead` is what a tap costs besides (index, splat, loop);
 * `latency` bounds small tiles, whose additions wait for each other. From measured tiles of KERNELS.md 5 and NETWORKS.md 3.
 */
const COST = { fused: { overhead: 3.5, latency: 9 }, unfused: { overhead: 1, latency: 4.5 } } as const;

const tilesOf = (segments: readonly Segment[]): number => segments.reduce((n, s) => n + s.count, 0);

function* shapes(rows: number, vectors: number, limit: number): Generator<readonly [number, number]> {
  for (let r = 1; r <= Math.min(rows, limit); r++) for (let v = 1; v <= Math.min(vectors, Math.floor(limit / r)); v++) yield [r, v];
}

/** Tiles for one output channel at a time, each tap at its own displacement: sparse and depthwise convolutions. */
export function planSingle(rows: number, vectors: number, can: Capabilities): TilePlan {
  const { overhead, latency } = can.fma ? COST.fused : COST.unfused;
  let best: TilePlan | undefined;
  let least = Number.POSITIVE_INFINITY;
  for (const [r, v] of shapes(rows, vectors, vectorAccumulators(can))) {
    const [ys, xs] = [balanced(rows, r), balanced(vectors, v)];
    let cost = 0;
    for (const y of ys) for (const x of xs) cost += y.count * x.count * Math.max(latency, overhead + y.size * x.size);
    // Among equals, the fewer kinds of tiles.
    cost += 1e-3 * ys.length * xs.length - 1e-4 * v;
    if (cost < least) [best, least] = [{ rows: ys, vectors: xs, channels: [{ start: 0, size: 1, count: 1 }] }, cost];
  }
  return best!;
}

/** Tiles of several output channels that share their loads: dense convolutions and products. */
export function planShared(rows: number, vectors: number, channels: number, can: Capabilities): TilePlan {
  // Loads are shared, so three more accumulators fit than where each has a load of its own.
  const scalar = !can.vectors.includes("f32x4");
  const limit = scalar ? vectorAccumulators(can) : Math.min(12, can.accumulators + 3);
  const most = scalar ? 2 : can.fma ? 6 : 5;
  let best: TilePlan | undefined;
  let least = Number.POSITIVE_INFINITY;
  for (let m = 1; m <= Math.min(most, channels, limit); m++) {
    const ms = balanced(channels, m);
    for (const [r, v] of shapes(rows, vectors, Math.floor(limit / m))) {
      const [ys, xs] = [balanced(rows, r), balanced(vectors, v)];
      let cost = 0;
      for (const y of ys)
        for (const x of xs)
          for (const g of ms) {
            const a = y.size * x.size;
            cost += y.count * x.count * g.count * Math.max(can.fma ? 8 : 4.5, 1 + 0.5 * (a + g.size) + a * g.size);
          }
      cost *= 1 + 1e-4 * (tilesOf(ys) > 0 ? ys.length * xs.length * ms.length : 0);
      if (cost < least) [best, least] = [{ rows: ys, vectors: xs, channels: ms }, cost];
    }
  }
  return best!;
}
