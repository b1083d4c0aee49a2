// How outputs are cut into register tiles, and input channels into blocks that stay in the first-level cache: the cheapest by a small model.

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
  /** Input channels taken at once; partial sums wait in memory between blocks. */
  readonly block: number;
  /** Predicted, in multiply-adds of a vector. */
  readonly cost?: number;
}

/** What the taps of a tile touch in memory. */
export interface Access {
  /** Output rows and vectors of a row. */
  readonly rows: number;
  readonly vectors: number;
  readonly outputs: number;
  /** Input channels that a tile reads, and bytes between them. */
  readonly channels: number;
  readonly channelBytes: number;
  /** Bytes between input rows. */
  readonly rowBytes: number;
  /** Input rows between output rows, and those that the taps of one output reach; bytes of a row that they reach. */
  readonly rowStep: number;
  readonly tapRows: number;
  readonly tapBytes: number;
  /** Taps of all output channels together. */
  readonly taps: number;
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

const vectorTarget = (can: Capabilities): boolean => can.vectors.includes("f32x4");

/** Vector accumulators that fit in registers beside the loaded vectors. */
export const vectorAccumulators = (can: Capabilities): number =>
  vectorTarget(can) ? can.accumulators : Math.max(1, Math.floor(can.accumulators / 4));

/**
 * Costs in multiply-adds of a vector. `tap` is what a tap costs besides its vectors (index, splat, loop); `latency` bounds small tiles, whose
 * additions wait for each other; `line` fetches a cache line from the second level. Fitted to the tiles measured in KERNELS.md 5 and NETWORKS.md 3.
 */
interface Costs {
  readonly tap: number;
  readonly latency: number;
  readonly line: number;
}
export const costsOf = (can: Capabilities): Costs => (can.fma ? { tap: 3.5, latency: 9, line: 9 } : { tap: 1, latency: 4.5, line: 6 });
/** Of a row of taps: its count and bias, the store of a vector, and a vector of partial sums kept and taken up again. */
const ROW = 5;
const STORE = 1.5;
const PARTIAL = 1;
const CROWDED = 0.3;

const LINE = 64;
/** Bytes of the first-level cache that a block's lines may take: it is 32 to 48 KiB, and the streams pass through it too. */
export const CACHE = 30 * 1024;
/** Bytes of one way of it: what lies a multiple of this apart shares a set. */
const WAY = 4096;

/** Lines that `bytes` bytes, at any multiple of 4, touch on average. */
export const linesOf = (bytes: number): number => (bytes + LINE - 4) / LINE;

const gcd = (a: number, b: number): number => (b === 0 ? a : gcd(b, a % b));

/** Lines that one channel of a tile takes, and bytes of cache that a block of `channels` fills. */
function footprint(a: Access, rows: number, vectors: number, channels: number): { readonly lines: number; readonly bytes: number } {
  const height = (rows - 1) * a.rowStep + a.tapRows;
  // Channels packed closer than a tile is wide share lines.
  const across = Math.min(linesOf(vectors * 16 + a.tapBytes - 4), Math.max(1 / 16, a.channelBytes / LINE));
  const lines = height * across;
  // Channels a power of two apart fall on the same few sets, and so do rows.
  const apart = a.channelBytes % LINE === 0 ? gcd(a.channelBytes / LINE, WAY / LINE) : 1;
  const bytes = lines * channels * LINE * Math.max(1, apart / Math.ceil(across));
  const stacked = height > 1 && a.rowBytes % (WAY / 2) === 0 ? 1.25 * height * WAY : 0;
  return { lines, bytes: Math.max(bytes, stacked) };
}

/** Cost of one tile over all channels, `perTap` its arithmetic a tap, `passes` how often its input is swept. */
function tileCost(a: Access, can: Capabilities, rows: number, vectors: number, outputs: number, perTap: number, block: number): number {
  const costs = costsOf(can);
  const { lines, bytes } = footprint(a, rows, vectors, block);
  const blocks = Math.ceil(a.channels / block);
  const accumulators = rows * vectors * outputs;
  // With more lines than fit, each tap fetches its own.
  const missing = Math.min(1, Math.max(0, (bytes - CACHE) / (CACHE / 2)));
  const fetched = missing * rows * Math.min(linesOf(vectors * 16), Math.max(1, vectors)) * costs.line;
  // Loads of rows that share a set get in each other's way.
  const crowded = a.rowBytes % (WAY / 2) === 0 ? CROWDED * (rows - 1) : 0;
  const groups = a.outputs / outputs;
  const perGroup = ROW * blocks + STORE * accumulators + (blocks - 1) * PARTIAL * accumulators;
  return (a.taps / outputs) * (perTap + fetched + crowded) + groups * perGroup + lines * a.channels * costs.line;
}

function blockSizes(channels: number): number[] {
  const sizes: number[] = [];
  for (let blocks = 1; blocks <= Math.min(channels, 64); blocks = Math.ceil(blocks * 1.3)) sizes.push(Math.ceil(channels / blocks));
  return sizes;
}

function* candidates(
  a: Access,
  limit: number,
  sizes: readonly number[],
): Generator<readonly [rows: number, vectors: number, block: number]> {
  for (let r = 1; r <= Math.min(a.rows, limit); r++)
    for (let v = 1; v <= Math.min(a.vectors, Math.floor(limit / r)); v++) for (const block of sizes) yield [r, v, block];
}

function cheapest(
  a: Access,
  can: Capabilities,
  channels: number,
  options: Iterable<readonly [outputs: number, limit: number]>,
  perTap: (accumulators: number, vectors: number, outputs: number) => number,
  sizes: readonly number[] = blockSizes(a.channels),
): TilePlan {
  let best: TilePlan | undefined;
  let least = Number.POSITIVE_INFINITY;
  for (const [outputs, limit] of options) {
    const groups = balanced(channels, outputs);
    for (const [r, v, block] of candidates(a, limit, sizes)) {
      const [ys, xs] = [balanced(a.rows, r), balanced(a.vectors, v)];
      let cost = 0;
      for (const y of ys)
        for (const x of xs) {
          const size = groups[0]!.size;
          const tap = perTap(y.size * x.size * size, y.size * x.size, size);
          cost += y.count * x.count * tileCost(a, can, y.size, x.size, size, tap, block);
        }
      // Among near equals, the fewer kinds of tiles.
      cost *= 1 + 0.002 * ys.length * xs.length * groups.length;
      if (cost < least) [best, least] = [{ rows: ys, vectors: xs, channels: groups, block, cost }, cost];
    }
  }
  return best!;
}

/** The target for which blocks are chosen. */
export const COMMON: Capabilities = { vectors: ["f32x4"], f16: false, fma: false, maths: [], accumulators: 7 };

/**
 * Tiles for one output channel at a time, each tap at its own displacement: sparse and depthwise convolutions. The block of channels is the same
 * for every target, because the order of the streams follows it, and variants of one program share them.
 */
export function planSingle(a: Access, can: Capabilities): TilePlan {
  const plan = (target: Capabilities, sizes?: readonly number[]): TilePlan => {
    const { tap, latency } = costsOf(target);
    return cheapest(a, target, 1, [[1, vectorAccumulators(target)]], (sums) => Math.max(latency, tap + sums), sizes);
  };
  return plan(can, [plan(COMMON).block]);
}

/** Vector registers that compiled code has to itself. */
const REGISTERS = 15;

/** Accumulators for each of `outputs` output channels that leave room for the loads: engines without fused operations load all of a tap first. */
export function sharedLimit(outputs: number, can: Capabilities): number {
  if (!vectorTarget(can)) return Math.floor(vectorAccumulators(can) / outputs);
  return can.fma ? Math.floor((REGISTERS - 1) / (outputs + 1)) : Math.floor((REGISTERS - 1 - outputs) / (outputs + 1));
}

/** Tiles of several output channels, of `channels` in a group, that share their loads: dense convolutions and products. */
export function planShared(a: Access, channels: number, can: Capabilities): TilePlan {
  const options = Array.from({ length: Math.min(channels, 6) }, (_, i) => [i + 1, sharedLimit(i + 1, can)] as const).filter(
    ([, n]) => n > 0,
  );
  const { latency } = costsOf(can);
  return cheapest(a, can, channels, options, (sums, vectors, outputs) => Math.max(latency, 1 + 0.5 * (vectors + outputs) + sums));
}
