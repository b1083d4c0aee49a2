// How far apart two lists of tensors may be: not a bit, or no more than rounding moves them.

import { isFloat } from "../../ir/dtype.ts";
import { type Graph, topological } from "../../ir/graph.ts";
import { fromF16 } from "../../ir/scalar/f16.ts";
import type { Tensor } from "../../ir/tensor.ts";

const at = (t: Tensor, i: number): number => (t.dtype === "f16" ? fromF16(Number(t.data[i])) : Number(t.data[i]));

/** Relative to the largest element of a tensor: sums of hundreds of terms, twice rounded. */
const ROUNDING = { f16: 2e-2, f32: 2e-5, f64: 1e-11 } as const;
export type Precision = keyof typeof ROUNDING;

/** The coarsest float type of any value of a graph: what everything after it is as precise as. */
export function precisionOf(g: Graph): Precision {
  const dtypes = new Set(topological(g.outputs).flatMap((n) => n.results.map((r) => r.type.dtype)));
  return dtypes.has("f16") ? "f16" : dtypes.has("f32") ? "f32" : "f64";
}

/**
 * What differs, or undefined. `exact`: every bit, all NaNs alike. `bounded`: within `precision` of the largest element; elements where
 * the expected value is not finite are not compared, nor are integers and bools, which may lie at a step.
 */
export function difference(
  actual: readonly Tensor[],
  expected: readonly Tensor[],
  mode: "exact" | "bounded",
  precision: Precision = "f32",
): string | undefined {
  if (actual.length !== expected.length) return `${actual.length} outputs, expected ${expected.length}`;
  for (const [k, e] of expected.entries()) {
    const a = actual[k]!;
    if (a.dtype !== e.dtype || a.shape.join() !== e.shape.join())
      return `output ${k} is ${a.dtype}[${a.shape}], expected ${e.dtype}[${e.shape}]`;
    if (mode === "bounded" && !isFloat(e.dtype)) continue;
    let largest = 1;
    for (let i = 0; i < e.data.length; i++) if (Number.isFinite(at(e, i))) largest = Math.max(largest, Math.abs(at(e, i)));
    for (let i = 0; i < e.data.length; i++) {
      const [x, y] = [at(a, i), at(e, i)];
      if (
        mode === "exact"
          ? Object.is(a.data[i], e.data[i]) || Object.is(x, y)
          : !Number.isFinite(y) || Math.abs(x - y) <= ROUNDING[precision] * largest
      )
        continue;
      return `output ${k}, element ${i} is ${Object.is(x, -0) ? "-0" : a.data[i]}, expected ${Object.is(y, -0) ? "-0" : e.data[i]}`;
    }
  }
  return undefined;
}
