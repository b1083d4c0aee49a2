// How a device's threads share out a product: tiles of the result, one for each workgroup.

/** Threads stand in rows and columns over a tile, each with `high` x `wide` blocks of 4 x 4 elements; `slices` such teams share the depth. */
export interface Tiling {
  readonly rows: number;
  readonly columns: number;
  /** Elements of the depth that lie in shared memory at a time. */
  readonly depth: number;
  readonly high: 1 | 2;
  readonly wide: 1 | 2;
  readonly slices: 1 | 2 | 4;
}

export const threadsOf = (t: Tiling): number => (t.slices * t.rows * t.columns) / (16 * t.high * t.wide);

/** Shared arrays and their padding fit 16 KiB, and no workgroup has more than 256 threads, as every WebGPU device allows. */
export const TILINGS: readonly Tiling[] = [
  { rows: 128, columns: 128, depth: 8, high: 2, wide: 2, slices: 1 },
  { rows: 64, columns: 64, depth: 16, high: 1, wide: 1, slices: 1 },
  ...([1, 2, 4] as const).flatMap((slices): Tiling[] => [
    { rows: 32, columns: 32, depth: 8 * Math.max(2, slices), high: 1, wide: 1, slices },
    { rows: 16, columns: 64, depth: 8 * Math.max(2, slices), high: 1, wide: 1, slices },
    { rows: 64, columns: 16, depth: 8 * Math.max(2, slices), high: 1, wide: 1, slices },
  ]),
];

/** Threads that keep a GPU of the middle class busy. */
const ENOUGH = 16384;
/** What bringing an element to shared memory costs, in multiply-adds of a thread. */
const BRING = 12;
/** What one thread's block costs to feed from shared memory, against its multiply-adds: vectors read a depth for so many products. */
const feed = (t: Tiling): number => 1 + (2 * (t.high + t.wide)) / (t.high * t.wide * 4);

/** The tiling by which a product is predicted to be done soonest. */
export function tilingFor(batches: number, rows: number, columns: number, depth: number): Tiling {
  const cost = (t: Tiling): number => {
    const tiles = batches * Math.ceil(rows / t.rows) * Math.ceil(columns / t.columns);
    const rounds = Math.ceil(depth / t.depth) * t.depth;
    const products = tiles * t.rows * t.columns * rounds;
    const busy = Math.min(1, (tiles * threadsOf(t)) / ENOUGH);
    return (products * (feed(t) + BRING * (1 / t.rows + 1 / t.columns)) + (t.slices - 1) * tiles * t.rows * t.columns * 8) / busy;
  };
  return TILINGS.reduce((best, t) => (cost(t) < cost(best) ? t : best));
}

/** For `explain`. */
export const whyTiled = (t: Tiling): string =>
  `tiles of ${t.rows} x ${t.columns} in shared memory, ${threadsOf(t)} threads${t.slices > 1 ? `, the depth in ${t.slices} slices` : ""}`;
