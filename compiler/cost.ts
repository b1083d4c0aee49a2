// Predicted speed of kernels on constant matrices with zeros, from measurements, as tables.

/** How a constant is multiplied: `columns` right-hand sides at once (pixels of a convolution, rows of the other matmul operand). */
export interface Product {
  readonly columns: number;
  /** How much faster than by all its products the dense kernel is, where it takes fewer (Winograd convolution). Default 1. */
  readonly fewer?: number;
  /** Elements of the constant. */
  readonly elements: number;
}

type Table = readonly (readonly [columns: number, efficiency: number])[];

/**
 * Rates of sparse kernels on the elements that they keep, over the rate of the dense kernel on all elements, by the number of right-hand
 * sides. Single elements, f32 on wasm SIMD, single thread: at N >= 49 1.2x at 25 %, 1.7x at 50 %, 2.8x at 70 %, 8.7x at 90 % zeros.
 */
const SINGLE: Table = [
  [4, 0.5],
  [8, 0.58],
  [16, 0.7],
  [32, 0.82],
  [49, 0.87],
];
/** What pairs of rows add where most elements are kept, from half of them on. */
const PAIRS = { from: 0.5, full: 0.75, gain: 0.06 };
/** The same for blocks of several rows that share their columns: one load serves all of them. */
const SHARED: Table = [
  [4, 0.6],
  [8, 0.75],
  [16, 0.9],
  [49, 1],
];

/**
 * Up to three right-hand sides, by the number of rows that share an index: with dense weights in the second-level cache, and with weights
 * beyond it, where the dense kernel waits for memory (1024 x 1024: 5x at 90 % zeros, 15x in 4x1 blocks, 19x in 16x1).
 */
const FEW: readonly (readonly [rows: number, near: number, far: number])[] = [
  [1, 0.23, 0.45],
  [2, 0.3, 0.6],
  [4, 0.5, 1.2],
  [8, 0.65, 1.6],
  [16, 0.7, 1.8],
];
/** The same for blocks of four and more columns of one row. */
const ALONG = { near: 0.45, far: 1.1 };
/** The most right-hand sides that the kernels for few of them take. */
const MOST_FEW = 3;
/** Elements of matrices that lie well within a second-level cache, and well beyond. */
const [NEAR, FAR] = [2 ** 17, 2 ** 19];

function interpolate(table: Table, columns: number): number {
  const above = table.findIndex(([n]) => n >= columns);
  if (above < 0) return table.at(-1)![1];
  if (above === 0) return table[0]![1];
  const [[n0, e0], [n1, e1]] = [table[above - 1]!, table[above]!];
  return e0 + ((e1 - e0) * (columns - n0)) / (n1 - n0);
}

const ramp = (x: number, from: number, to: number): number => Math.min(1, Math.max(0, (x - from) / (to - from)));

function efficiency([rows, columns]: readonly [rows: number, columns: number], density: number, product: Product): number {
  if (product.columns > MOST_FEW)
    return rows > 1
      ? interpolate(SHARED, product.columns)
      : interpolate(SINGLE, product.columns) + PAIRS.gain * ramp(density, PAIRS.from, PAIRS.full);
  const [, near, far] = FEW.findLast(([n]) => rows % n === 0)!;
  const rates = rows === 1 && columns % 4 === 0 ? ALONG : { near, far };
  const away = ramp(Math.log2(product.elements), Math.log2(NEAR), Math.log2(FAR));
  return rates.near + (rates.far - rates.near) * away;
}

/** Below this predicted gain a constant stays dense: the prediction is no better than that. */
export const LEAST_GAIN = 1.1;

/** Dense time over sparse time, where blocks of `block` elements are kept or left out. `density`: kept elements as a fraction of all. */
export function predictedGain(block: readonly [rows: number, columns: number], density: number, product: Product): number {
  return efficiency(block, density, product) / (product.fewer ?? 1) / Math.max(density, 1e-6);
}
