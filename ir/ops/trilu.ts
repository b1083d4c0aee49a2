// The triangular part of a stack of matrices.

import { defineOp, zero } from "../op.ts";
import { cast, ge, le, select, sub } from "../scalar/element.ts";
import { typeToString } from "../types.ts";

export const trilu = defineOp({
  name: "trilu",
  doc: "`x` where `column - row >= k` (`upper`) or `column - row <= k`, else 0; `k` is i64[].",
  operands: ["x", "k"],
  infer(c) {
    const [x, k] = c.types;
    if (x!.shape.length < 2) c.fail(`expects a matrix, got ${typeToString(x!)}`);
    if (k!.dtype !== "i64" || k!.shape.length !== 0) c.fail(`the diagonal must be i64[], got ${typeToString(k!)}`);
    return { dtype: x!.dtype, shape: x!.shape };
  },
  compute(c) {
    const [row, column] = c.i.slice(-2);
    // In i64: k may lie anywhere.
    const diagonal = cast("i64", sub(column!, row!));
    const x = c.read(0, c.i);
    return select((c.attrs.upper ? ge : le)(diagonal, c.read(1, [])), x, zero(x.type));
  },
});

export const triluOps = [trilu] as const;
