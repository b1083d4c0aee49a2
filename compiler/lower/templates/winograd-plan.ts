// How a convolution is cut into Winograd tiles: four of a row in the lanes of a vector, vectors in blocks whose products share the weights.

import type { Capabilities } from "../../backend.ts";
import { evenness } from "../split.ts";
import type { ConvShape } from "./conv-spec.ts";
import { balanced, costOfShared, costsOf, type Segment, sharedLimit } from "./tiles.ts";
import type { TileSize } from "./winograd-matrices.ts";

export interface WinogradPlan {
  readonly m: TileSize;
  /** Vectors of tiles along a row of tiles, and rows of tiles. */
  readonly across: number;
  readonly down: number;
  /** Vectors whose products are computed at once. */
  readonly blocks: readonly Segment[];
  /** Neighbouring output channels of one register tile. */
  readonly channels: readonly Segment[];
  /** Vectors of one register tile, at most. */
  readonly vectors: number;
  /** In multiply-adds of a vector. */
  readonly cost: number;
}

/** Vectors of a block, at most; more share weights but leave the first-level cache. */
const MOST_VECTORS = 8;
const BLOCK_BYTES = 32 * 1024;
/** Below this predicted gain, direct convolution: the prediction is no better than that. */
const LEAST_GAIN = 1.1;

/** Register tiles of a block of `size` vectors. */
export const tilesOf = (plan: Pick<WinogradPlan, "vectors">, size: number): Segment[] => balanced(size, plan.vectors);

/** Weights of this size stay in the second-level cache from block to block; larger ones come from the third, line by line. */
const NEAR_BYTES = 2 ** 20;

/** Costs of transforms, of one channel of a vector: fitted, as the rest, to the shapes of bench/kernels.mjs on Node 20 and Node 24. */
const transformCost = (m: TileSize, can: Capabilities): { readonly input: number; readonly output: number } => {
  if (m === 2) return can.fma ? { input: 110, output: 95 } : { input: 55, output: 50 };
  return can.fma ? { input: 470, output: 360 } : { input: 165, output: 130 };
};

/** The cheapest plan for tiles of m x m outputs. */
export function planWinograd(m: TileSize, s: ConvShape, can: Capabilities): WinogradPlan {
  const across = Math.ceil(s.wo / (4 * m));
  const down = Math.ceil(s.ho / m);
  const points = (m + 2) ** 2;
  const { latency, line } = costsOf(can);
  const bytes = 4 * points * s.groupIn * s.groupOut;
  const transforms = transformCost(m, can);
  let best: WinogradPlan | undefined;
  for (let outputs = 1; outputs <= Math.min(6, s.groupOut); outputs++) {
    const channels = balanced(s.groupOut, outputs);
    for (let vectors = 1; vectors <= sharedLimit(channels[0]!.size, can); vectors++)
      for (let size = vectors; size <= MOST_VECTORS; size++) {
        if (size > 1 && size * s.groupIn * 16 > BLOCK_BYTES) continue;
        const blocks = balanced(across * down, size);
        const products = blocks.flatMap((b) =>
          channels.flatMap((c) =>
            balanced(b.size, vectors).map(
              (v) => b.count * c.count * v.count * (s.groupIn * Math.max(latency, 1 + 0.5 * (v.size + c.size) + v.size * c.size) + 10),
            ),
          ),
        );
        const weights = blocks.reduce((n, b) => n + b.count, 0) * (bytes / 64) * (bytes > NEAR_BYTES ? 2.5 * line : 2);
        const sum = points * products.reduce((a, b) => a + b, 0) + weights;
        const ends = across * down * (s.groupIn * transforms.input + s.groupOut * transforms.output);
        // Threads share out blocks.
        const used = can.threads === undefined ? 1 : evenness(blocks.map((b) => ({ count: b.count, cost: b.size })));
        const cost = (s.n * (s.c / s.groupIn) * (sum + ends)) / used;
        if (!best || cost < best.cost) best = { m, across, down, blocks, channels, vectors, cost };
      }
  }
  return best!;
}

/** Rate of the products of transformed tiles, of that of dense products elsewhere. */
const TRANSFORMED = 0.9;

/** Transformed weights of a layer, at most: more would be read from memory anew on every run. */
const MOST_WEIGHTS = 16 * 2 ** 20;

/** What the direct convolution costs over rows of channels, in multiply-adds of a vector. */
function directCost(s: ConvShape, can: Capabilities): number {
  const channelBytes = Math.ceil((s.w + 1) / 4) * 16;
  const access = {
    rows: s.ho,
    vectors: Math.ceil(s.wo / 4),
    outputs: s.groupOut,
    channels: s.groupIn,
    channelBytes,
    rowBytes: s.c * channelBytes,
    rowStep: 1,
    tapRows: s.kh,
    tapBytes: 4 * s.kw,
    taps: s.groupOut * s.groupIn * s.kh * s.kw,
  };
  return s.n * (s.c / s.groupIn) * costOfShared(access, s.groupOut, can);
}

/**
 * The tile size that is predicted to be fastest, and its gain over dense products one by one; undefined where direct convolution is faster or
 * products are exact.
 */
export function bestWinograd(s: ConvShape, can: Capabilities): { readonly m: TileSize; readonly gain: number } | undefined {
  if (can.exactSums || s.kh !== 3 || s.kw !== 3 || s.groupIn < 2 || !can.vectors.includes("f32x4")) return undefined;
  const sizes = ([2, 4] as const).filter((m) => 4 * (m + 2) ** 2 * s.m * s.groupIn <= MOST_WEIGHTS);
  // The choice is the same for teams of threads, whose results have the same bits.
  const { threads: _, ...alone } = can;
  const direct = directCost(s, can);
  const gains = sizes.map((m) => ({ m, gain: direct / planWinograd(m, s, alone).cost }));
  const best = gains.reduce<(typeof gains)[number] | undefined>((a, b) => (a && a.gain >= b.gain ? a : b), undefined);
  return best && best.gain > LEAST_GAIN ? { m: best.m, gain: TRANSFORMED * best.gain } : undefined;
}
