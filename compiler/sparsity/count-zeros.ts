// Counts exact zeros.

import { isZero } from "../../ir/layouts/layout.ts";
import type { Tensor } from "../../ir/tensor.ts";

/** Elements that are zero (either sign for floats; raw zeros for integers). */
export function countZeros({ dtype, data }: Tensor): number {
  let zeros = 0;
  for (let i = 0; i < data.length; i++) if (isZero(dtype, data[i]!)) zeros++;
  return zeros;
}
