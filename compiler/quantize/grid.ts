// The grid that weights are rounded to: a scale, and where zero is not in the middle a zero point, for each row or block of a row.

import { roundEven } from "../../ir/scalar/maths.ts";
import type { Scheme } from "./scheme.ts";

/** Levels of the integers. */
export interface Levels {
  readonly low: number;
  readonly high: number;
}

/** Symmetric levels leave the lowest one out: then -w has a level wherever w has. */
export const levelsOf = (bits: 8 | 4, symmetric: boolean): Levels =>
  symmetric ? { low: 1 - 2 ** (bits - 1), high: 2 ** (bits - 1) - 1 } : { low: 0, high: 2 ** bits - 1 };

export interface Step {
  readonly scale: number;
  readonly zero: number;
}

/** Scales are normal f32 numbers: less would be 0 where denormal numbers are. */
const LEAST_SCALE = 2 ** -126;

/** The step that reaches from the least to the largest of `count` numbers; zero has a level of its own. */
export function stepFor(xs: Float64Array, at: number, count: number, { low, high }: Levels): Step {
  let [least, most] = [0, 0];
  for (let k = at; k < at + count; k++) {
    least = Math.min(least, xs[k]!);
    most = Math.max(most, xs[k]!);
  }
  const spread = low < 0 ? Math.max(-least, most) / high : (most - least) / (high - low);
  // All zeros: any scale will do.
  const scale = spread === 0 ? 1 : Math.max(LEAST_SCALE, Math.fround(spread));
  return { scale, zero: low < 0 ? 0 : roundEven((0 - least) / scale) };
}

export const toLevel = (x: number, { scale, zero }: Step, { low, high }: Levels): number =>
  Math.min(high, Math.max(low, roundEven(x / scale) + zero));

/** How many columns of a row share a step; a tensor's one step is that of every row. */
export const blockColumns = ({ block }: Pick<Scheme, "block">, columns: number): number =>
  typeof block === "number" ? Math.min(block, columns) : columns;

/** A rounded matrix: integers row after row, steps row after row and block after block. */
export interface Rounded {
  readonly rows: number;
  readonly columns: number;
  /** Columns that share a step. */
  readonly block: number;
  readonly levels: Levels;
  readonly integers: Int16Array;
  readonly steps: readonly Step[];
}

/** Rounds each weight to the level that is nearest. */
export function roundToNearest(xs: Float64Array, rows: number, scheme: Pick<Scheme, "block" | "bits" | "symmetric">): Rounded {
  const columns = xs.length / rows;
  const block = blockColumns(scheme, columns);
  const levels = levelsOf(scheme.bits, scheme.symmetric);
  const blocks = Math.ceil(columns / block);
  const whole = scheme.block === "tensor" ? stepFor(xs, 0, xs.length, levels) : undefined;
  const steps: Step[] = [];
  const integers = new Int16Array(xs.length);
  for (let r = 0; r < rows; r++)
    for (let b = 0; b < blocks; b++) {
      const [from, to] = [r * columns + b * block, r * columns + Math.min(columns, (b + 1) * block)];
      const step = whole ?? stepFor(xs, from, to - from, levels);
      steps.push(step);
      for (let k = from; k < to; k++) integers[k] = toLevel(xs[k]!, step, levels);
    }
  return { rows, columns, block, levels, integers, steps };
}
