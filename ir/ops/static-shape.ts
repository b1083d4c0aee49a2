// Operands whose extents an operator needs as numbers.

import type { InferContext } from "../op.ts";
import { typeToString } from "../types.ts";

/** The extents of operand `k`, or `bad-operands` where one hangs on data. */
export function staticShape(c: InferContext, k: number): readonly number[] {
  return c.types[k]!.shape.map((d) =>
    typeof d === "number" ? d : c.fail(`operand ${k}, ${typeToString(c.types[k]!)}, has an extent that hangs on data`),
  );
}

/** The extents of the static types that a kernel builder or a `compute` sees. */
export const extentsOf = (t: { readonly shape: readonly (number | { readonly max: number })[] }): readonly number[] =>
  t.shape.map((d) => (typeof d === "number" ? d : d.max));
