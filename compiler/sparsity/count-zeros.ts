// Counts exact zeros.

import type { Tensor } from "../../ir/tensor.ts";

/** Elements that are zero (either sign for floats; raw zeros for integers). */
export function countZeros(t: Tensor): number {
  let zeros = 0;
  const half = t.dtype === "f16";
  for (const x of t.data as Iterable<number | bigint>) if (half ? ((x as number) & 0x7fff) === 0 : x === 0 || x === 0n) zeros++;
  return zeros;
}
