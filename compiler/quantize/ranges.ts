// Limits of activations, from what they were on samples: all of it, all but the rarest, or those of least squared error.

import type { Graph, Value } from "../../ir/graph.ts";
import { roundEven } from "../../ir/scalar/maths.ts";
import type { Step } from "./grid.ts";
import { type OpenGraph, observe, type Sample } from "./observe.ts";
import type { Range } from "./scheme.ts";

export interface Limits {
  readonly low: number;
  readonly high: number;
}

const LEVELS = 255;
/** 8 bits of a histogram's 12 tell one level from its sixteenth. */
const BINS = 4096;
/** The part of all values that `percentile` lets go on either side. */
const TAIL = 1e-4;

/** The step of 8 bits without sign that reaches over the limits, made to include 0. */
export function stepOver({ low, high }: Limits): Step {
  const [least, most] = [Math.min(0, low), Math.max(0, high)];
  const scale = Math.max(2 ** -126, Math.fround((most - least) / LEVELS));
  return most === least ? { scale: 1, zero: 0 } : { scale, zero: Math.min(LEVELS, roundEven((0 - least) / scale)) };
}

/** The union. */
const joined = (all: readonly Limits[]): Limits => ({
  low: Math.min(...all.map((l) => l.low)),
  high: Math.max(...all.map((l) => l.high)),
});

interface Histogram extends Limits {
  readonly counts: Float64Array;
}

const centre = ({ low, high }: Limits, bin: number): number => low + ((bin + 0.5) * (high - low)) / BINS;

function percentile(h: Histogram): Limits {
  const total = h.counts.reduce((a, c) => a + c, 0);
  /** The first bin from one end at which more than the tail lies behind. */
  const reach = (bins: readonly number[]): number => {
    let sum = 0;
    return bins.find((b) => (sum += h.counts[b]!) > TAIL * total) ?? bins.at(-1)!;
  };
  const ascending = Array.from({ length: BINS }, (_, b) => b);
  const width = (h.high - h.low) / BINS;
  return { low: h.low + reach(ascending) * width, high: h.low + (reach(ascending.toReversed()) + 1) * width };
}

/** Squared error of rounding what the histogram counts with the step of other limits. */
function squaredError(h: Histogram, limits: Limits): number {
  const { scale, zero } = stepOver(limits);
  let sum = 0;
  h.counts.forEach((count, b) => {
    if (count === 0) return;
    const x = centre(h, b);
    const level = Math.min(LEVELS, Math.max(0, roundEven(x / scale) + zero));
    sum += count * (x - (level - zero) * scale) ** 2;
  });
  return sum;
}

/** Each limit drawn in as long as that helps, the upper one first. */
function leastError(h: Histogram): Limits {
  let best: Limits = h;
  let least = squaredError(h, h);
  for (const side of ["high", "low"] as const)
    for (let part = 99; part > 30; part--) {
      const limits: Limits = { ...best, [side]: (part / 100) * h[side] };
      const error = squaredError(h, limits);
      if (error < least) [best, least] = [limits, error];
    }
  return { low: best.low, high: best.high };
}

/** Limits of each value on the samples; those that are not finite tell of values that were not. */
export async function limitsOf(
  open: OpenGraph,
  graph: Graph,
  values: readonly Value[],
  samples: readonly Sample[],
  range: Range,
): Promise<ReadonlyMap<Value, Limits>> {
  const low = new Float64Array(values.length).fill(Number.POSITIVE_INFINITY);
  const high = new Float64Array(values.length).fill(Number.NEGATIVE_INFINITY);
  await observe(open, graph, values, samples, (found) => {
    found.forEach(({ data }, i) => {
      let [l, h, odd] = [low[i]!, high[i]!, 0];
      for (const x of data as Float32Array) {
        if (x < l) l = x;
        if (x > h) h = x;
        // NaN for whatever is not finite.
        odd += 0 * x;
      }
      low[i] = l;
      high[i] = h + odd;
    });
  });
  const limits = values.map((_, i): Limits => ({ low: low[i]!, high: high[i]! }));
  if (range === "min-max") return new Map(values.map((v, i) => [v, limits[i]!]));
  const counts = values.map(() => new Float64Array(BINS));
  await observe(open, graph, values, samples, (found) => {
    found.forEach(({ data }, i) => {
      const [l, width] = [low[i]!, (high[i]! - low[i]!) / BINS];
      for (const x of data as Float32Array) counts[i]![Math.min(BINS - 1, Math.floor((x - l) / width) || 0)]!++;
    });
  });
  const choose = range === "mse" ? leastError : percentile;
  return new Map(
    values.map((v, i) => [v, Number.isFinite(high[i]! - low[i]!) ? choose({ ...limits[i]!, counts: counts[i]! }) : limits[i]!]),
  );
}

/** One step for each group of values. Groups whose values were not finite have none. */
export function stepsOf(groups: readonly (readonly Value[])[], limits: ReadonlyMap<Value, Limits>): ReadonlyMap<Value, Step> {
  return new Map(
    groups.flatMap((group) => {
      const all = joined(group.map((v) => limits.get(v)!));
      if (!Number.isFinite(all.high - all.low)) return [];
      const step = stepOver(all);
      return group.map((v) => [v, step] as const);
    }),
  );
}
