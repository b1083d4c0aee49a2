// Rounds weights one column after the other, and lets the columns still to come make up for each error: GPTQ (Frantar et al. 2022).

import { blockColumns, levelsOf, type Rounded, type Step, stepFor, toLevel } from "./grid.ts";
import type { Scheme } from "./scheme.ts";
import { inverseFactor } from "./solve.ts";

/** Added to the diagonal, as a part of its mean: inputs that samples hardly show are not to be relied on. */
const DAMPING = 0.01;

/** sum over samples of x x^T for columns `from` to `from + size` of a layer's inputs, row-major; other columns are taken as independent. */
export interface Gram {
  readonly from: number;
  readonly size: number;
  readonly products: Float64Array;
}

/** U of `inverseFactor` for the damped matrix. */
function factorOf({ size, products }: Gram): Float64Array {
  const h = products.slice();
  let trace = 0;
  for (let k = 0; k < size; k++) trace += h[k * size + k]!;
  // A layer that saw nothing but zeros rounds to nearest.
  const damping = trace > 0 ? (DAMPING * trace) / size : 1;
  for (let k = 0; k < size; k++) h[k * size + k]! += damping;
  return inverseFactor(h, size);
}

/** Like `roundToNearest`, with the inputs' Gram matrices. Weights that are zero stay zero. */
export function roundCompensated(
  xs: Float64Array,
  rows: number,
  grams: readonly Gram[],
  scheme: Pick<Scheme, "block" | "bits" | "symmetric">,
): Rounded {
  const columns = xs.length / rows;
  const block = blockColumns(scheme, columns);
  const blocks = Math.ceil(columns / block);
  const levels = levelsOf(scheme.bits, scheme.symmetric);
  const whole = scheme.block === "tensor" ? stepFor(xs, 0, xs.length, levels) : undefined;
  const left = xs.slice();
  const integers = new Int16Array(xs.length);
  const steps = new Array<Step>(rows * blocks);
  for (const gram of grams) {
    const { from, size } = gram;
    const u = factorOf(gram);
    for (let c = 0; c < size; c++) {
      const k = from + c;
      const b = Math.floor(k / block);
      const pivot = u[c * size + c]!;
      for (let r = 0; r < rows; r++) {
        const at = r * columns + k;
        if (k % block === 0) steps[r * blocks + b] = whole ?? stepFor(left, at, Math.min(block, columns - k), levels);
        const step = steps[r * blocks + b]!;
        const level = xs[at] === 0 ? step.zero : toLevel(left[at]!, step, levels);
        integers[at] = level;
        const error = (left[at]! - (level - step.zero) * step.scale) / pivot;
        if (error === 0) continue;
        const row = r * columns + from;
        for (let j = c + 1; j < size; j++) left[row + j]! -= error * u[c * size + j]!;
      }
    }
  }
  return { rows, columns, block, levels, integers, steps };
}
