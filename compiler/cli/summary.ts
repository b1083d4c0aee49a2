// What a tensor holds, in a few numbers.

import { fromF16 } from "../../ir/scalar/f16.ts";
import type { Tensor } from "../../ir/tensor.ts";
import { number } from "./table.ts";

export interface Summary {
  readonly min: number;
  readonly max: number;
  readonly mean: number;
  /** Elements that are no number. */
  readonly nan: number;
  readonly first: readonly (number | bigint)[];
  /** For a row of scores: the largest ones, best first. */
  readonly top?: readonly { readonly index: number; readonly value: number }[];
}

const FIRST = 8;
const TOP = 5;
/** A vector this long is taken for scores of classes. */
const FEWEST_SCORES = 8;

/** Element `i`, f16 decoded. */
export const elementAt = ({ dtype, data }: Tensor, i: number): number | bigint => (dtype === "f16" ? fromF16(Number(data[i])) : data[i]!);

/** Elements as doubles: 64-bit integers beyond 2^53 are rounded. */
export const toDoubles = (t: Tensor): Float64Array => {
  const out = new Float64Array(t.data.length);
  for (let i = 0; i < out.length; i++) out[i] = Number(elementAt(t, i));
  return out;
};

export function summarize(t: Tensor): Summary {
  const values = toDoubles(t);
  let [min, max, sum, nan] = [Infinity, -Infinity, 0, 0];
  for (const x of values) {
    if (Number.isNaN(x)) nan++;
    else {
      min = Math.min(min, x);
      max = Math.max(max, x);
      sum += x;
    }
  }
  const scores = values.length >= FEWEST_SCORES && t.shape.includes(values.length);
  return {
    min,
    max,
    mean: sum / (values.length - nan),
    nan,
    first: Array.from({ length: Math.min(FIRST, values.length) }, (_, i) => elementAt(t, i)),
    ...(scores ? { top: largest(values) } : {}),
  };
}

const largest = (values: Float64Array): Summary["top"] & {} =>
  Array.from(values, (value, index) => ({ index, value }))
    .sort((a, b) => b.value - a.value || a.index - b.index)
    .slice(0, TOP);

/** The summary as lines. */
export function summaryLines(t: Tensor): string[] {
  if (t.data.length === 0) return ["no elements"];
  const { min, max, mean, nan, first, top } = summarize(t);
  const lines = [
    `min ${number(min)}  max ${number(max)}  mean ${number(mean)}${nan > 0 ? `  ${nan} NaN` : ""}`,
    `first ${first.map(number).join(" ")}${t.data.length > first.length ? " ..." : ""}`,
  ];
  if (top) lines.push(`top ${top.map(({ index, value }) => `${index}: ${number(value)}`).join("  ")}`);
  return lines;
}
