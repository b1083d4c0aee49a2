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
 * Costs in multiply-adds of a vector. `latency` bounds small tiles, whose additions wait for each other; `line` fetches a cache line from
 * the second level. Fitted to measured tiles.
 */
interface Costs {
  readonly latency: number;
  readonly line: number;
}
export const costsOf = (can: Capabilities): Costs => (can.fma ? { latency: 9, line: 9 } : { latency: 4.5, line: 6 });
/** Of a row of taps: its count and bias, the store of a vector, and a vector of partial sums kept and taken up again. */
const ROW = 5;
const STORE = 1.5;
const PARTIAL = 1;
const CROWDED = 0.3;

const LINE = 64;
/**
 * Bytes of the first-level cache that a block's lines may take: it is 32 to 48 KiB and more. Where 36 fill it, the streams that pass through
 * cost less than partial sums would.
 */
export const CACHE = 36 * 1024;
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

/** What a tile does over all its taps. */
interface TileWork {
  readonly arithmetic: number;
  /** Taps that it reads, and lists of them for each group of output channels. */
  readonly taps: number;
  readonly lists: number;
}

/** Cost of one tile over all channels. */
function tileCost(a: Access, can: Capabilities, rows: number, vectors: number, outputs: number, work: TileWork, block: number): number {
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
  const perGroup = ROW * blocks * work.lists + STORE * accumulators + (blocks - 1) * PARTIAL * accumulators;
  return work.arithmetic + work.taps * (fetched + crowded) + groups * perGroup + lines * a.channels * costs.line;
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
  work: (vectors: number, outputs: number) => TileWork,
  sizes: readonly number[] = blockSizes(a.channels),
): { readonly plan: TilePlan; readonly cost: number } {
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
          cost += y.count * x.count * tileCost(a, can, y.size, x.size, size, work(y.size * x.size, size), block);
        }
      // Among near equals, the fewer kinds of tiles.
      cost *= 1 + 0.002 * ys.length * xs.length * groups.length;
      if (cost < least) [best, least] = [{ rows: ys, vectors: xs, channels: groups, block }, cost];
    }
  }
  return { plan: best!, cost: least };
}

/** The target for which blocks are chosen. */
const COMMON: Capabilities = { vectors: ["f32x4"], f16: false, fma: false, maths: [], accumulators: 7 };

/** The other target that groupings are chosen for. */
export const FUSED: Capabilities = { ...COMMON, fma: true, accumulators: 10 };

/** Vector registers that compiled code has to itself. */
const REGISTERS = 15;

/**
 * Accumulators for each of `outputs` output channels that leave room for the loads: engines without fused operations load all of a tap first.
 * With fused ones a register is left over: five channels of two vectors run 3 to 13 % faster than six.
 */
export function sharedLimit(outputs: number, can: Capabilities): number {
  if (!vectorTarget(can)) return Math.floor(vectorAccumulators(can) / outputs);
  return can.fma ? Math.floor((REGISTERS - 2) / (outputs + 1)) : Math.floor((REGISTERS - 1 - outputs) / (outputs + 1));
}

/** Steps of taps: how many in all, how many output channels each adds to, and how many taps it reads for them: one, or one for each. */
export interface StepList {
  readonly steps: number;
  readonly rows: number;
  readonly taps: number;
}

/** How sparse output channels are computed: `rows` at once, by lists of taps. */
export interface Lists {
  readonly rows: number;
  readonly lists: readonly StepList[];
}

/** Vectors of each output channel that fit in registers beside what a step loads. */
function listLimit({ rows, lists }: Lists, can: Capabilities): number {
  if (rows === 1 || !vectorTarget(can)) return Math.max(1, Math.floor(vectorAccumulators(can) / rows));
  // Weights and inputs, whichever are fewer, stay in registers while the others pass.
  if (lists[0]!.taps === 1)
    return can.fma ? Math.max(sharedLimit(rows, can), Math.floor((REGISTERS - 1 - rows) / rows)) : sharedLimit(rows, can);
  return Math.max(1, Math.floor(can.fma ? 12 / rows : (REGISTERS - rows) / (2 * rows)));
}

/** Cost of a step for `vectors` vectors: as many multiply-adds as loads at once with fused ones, twice as many loads without. */
function stepCost({ rows, taps }: StepList, vectors: number, can: Capabilities): number {
  const [sums, loads] = [rows * vectors, taps * vectors + rows + taps];
  const { latency } = costsOf(can);
  return can.fma ? Math.max(latency, sums + 1.5, loads + 1.5) : Math.max(latency, sums + 1, loads / 2 + 1);
}

function cheapestLists(a: Access, work: Lists, can: Capabilities, sizes?: readonly number[]): ReturnType<typeof cheapest> {
  const total = (cost: (list: StepList) => number): number => work.lists.reduce((sum, list) => sum + list.steps * cost(list), 0);
  const taps = total((list) => list.taps);
  const of = (vectors: number): TileWork => ({
    arithmetic: total((list) => stepCost(list, vectors, can)),
    taps,
    lists: work.lists.length,
  });
  return cheapest(a, can, work.rows, [[work.rows, listLimit(work, can)]], of, sizes);
}

/**
 * Tiles for sparse output channels, each tap at its own displacement. The block of channels is the same for every target, because the order of
 * the streams follows it, and variants of one program share them.
 */
export const planLists = (a: Access, work: Lists, can: Capabilities): TilePlan =>
  cheapestLists(a, work, can, [cheapestLists(a, work, COMMON).plan.block]).plan;

/** What the cheapest tiles for such lists cost, by which they are compared; the same for all targets. A fused operation is half of two. */
export const costOfLists = (a: Access, work: Lists): number =>
  cheapestLists(a, work, COMMON).cost + 0.5 * cheapestLists(a, work, FUSED).cost;

/** Tiles for one output channel at a time: depthwise convolutions, windows. */
export const planSingle = (a: Access, can: Capabilities): TilePlan =>
  planLists(a, { rows: 1, lists: [{ steps: a.taps, rows: 1, taps: 1 }] }, can);

function cheapestShared(a: Access, channels: number, can: Capabilities): ReturnType<typeof cheapest> {
  const options = Array.from({ length: Math.min(channels, 6) }, (_, i) => [i + 1, sharedLimit(i + 1, can)] as const).filter(
    ([, n]) => n > 0,
  );
  const { latency } = costsOf(can);
  const perTap = (vectors: number, outputs: number): number => Math.max(latency, 1 + 0.5 * (vectors + outputs) + vectors * outputs);
  const work = (vectors: number, outputs: number): TileWork => {
    const taps = a.taps / outputs;
    return { arithmetic: taps * perTap(vectors, outputs), taps, lists: 1 };
  };
  return cheapest(a, can, channels, options, work);
}

/** Tiles of several output channels, of `channels` in a group, that share their loads: dense convolutions and products. */
export const planShared = (a: Access, channels: number, can: Capabilities): TilePlan => cheapestShared(a, channels, can).plan;

/** What those tiles cost, in multiply-adds of a vector. */
export const costOfShared = (a: Access, channels: number, can: Capabilities): number => cheapestShared(a, channels, can).cost;
