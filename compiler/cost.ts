// Predicted speed of kernels on constant matrices with zeros, from measurements, as a table.

/** How a constant is multiplied: `columns` right-hand sides at once (pixels of a convolution, rows of the other matmul operand). */
export interface Product {
  readonly columns: number;
  /** How much faster than by all its products the dense kernel is, where it takes fewer (Winograd convolution). Default 1. */
  readonly fewer?: number;
}

/**
 * Rate of a sparse kernel on the elements that it keeps, over the rate of the dense kernel on all elements, by the number of
 * right-hand sides. Unstructured f32 on wasm SIMD, single thread: at N >= 49 1.7x at 50 %, 2.8x at 70 %, 8.5x at 90 % zeros; up to
 * N = 3 every input is gathered by itself (7.4 against 31.7 GF on 1024 x 1024, bench/kernels.mjs).
 */
const UNSTRUCTURED: readonly (readonly [columns: number, efficiency: number])[] = [
  [1, 0.23],
  [3, 0.22],
  [4, 0.31],
  [8, 0.55],
  [16, 0.78],
  [32, 0.82],
  [49, 0.85],
];

/** The same for blocks of several rows that share their columns: one load serves all of them. */
const BLOCKS: readonly (readonly [columns: number, efficiency: number])[] = [
  [1, 1.6],
  [4, 1.2],
  [8, 1.0],
  [16, 0.95],
  [49, 0.95],
];

function interpolate(table: readonly (readonly [number, number])[], columns: number): number {
  const above = table.findIndex(([n]) => n >= columns);
  if (above < 0) return table.at(-1)![1];
  if (above === 0) return table[0]![1];
  const [[n0, e0], [n1, e1]] = [table[above - 1]!, table[above]!];
  return e0 + ((e1 - e0) * (columns - n0)) / (n1 - n0);
}

/** Below this predicted gain a constant stays dense: the prediction is no better than that. */
export const LEAST_GAIN = 1.1;

/** Rows shorter than this cost more to enter than they save. */
export const LEAST_KEPT_PER_ROW = 2;

/** Dense time over sparse time. `density`: kept elements (of kept blocks) as a fraction of all. */
export function predictedGain(kind: "unstructured" | "block", density: number, product: Product): number {
  return interpolate(kind === "block" ? BLOCKS : UNSTRUCTURED, product.columns) / (product.fewer ?? 1) / Math.max(density, 1e-6);
}
