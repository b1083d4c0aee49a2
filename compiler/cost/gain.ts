// What leaving out zeros is predicted to gain.

import { away, type Costs, interpolate, MOST_FEW } from "./costs.ts";

/** How a constant is multiplied: `columns` right-hand sides at once (pixels of a convolution, rows of the other matmul operand). */
export interface Product {
  readonly columns: number;
  /** How much faster than by all its products the dense kernel is, where it takes fewer (Winograd convolution). Default 1. */
  readonly fewer?: number;
  /** Elements of the constant. */
  readonly elements: number;
}

/** What pairs of rows add where most elements are kept, from half of them on. */
const PAIRS = { from: 0.5, full: 0.75, gain: 0.06 };

function efficiency([rows, columns]: readonly [rows: number, columns: number], density: number, product: Product, costs: Costs): number {
  if (product.columns > MOST_FEW) {
    if (rows > 1) return interpolate(costs.shared, product.columns);
    const paired = Math.min(1, Math.max(0, (density - PAIRS.from) / (PAIRS.full - PAIRS.from)));
    return interpolate(costs.single, product.columns) + PAIRS.gain * paired;
  }
  const [, near, far] = costs.few.findLast(([n]) => rows % n === 0)!;
  const rates = rows === 1 && columns % 4 === 0 ? costs.along : { near, far };
  return rates.near + (rates.far - rates.near) * away(product.elements);
}

/** Below this predicted gain a constant stays dense: the prediction is no better than that. */
export const LEAST_GAIN = 1.1;

/** Dense time over sparse time, where blocks of `block` elements are kept or left out. `density`: kept elements as a fraction of all. */
export function predictedGain(block: readonly [rows: number, columns: number], density: number, product: Product, costs: Costs): number {
  return efficiency(block, density, product, costs) / (product.fewer ?? 1) / Math.max(density, 1e-6);
}
