// Matrix products.

import { defineOp } from "../op.ts";
import { i32, mul } from "../scalar/build.ts";
import type { Scalar } from "../scalar/scalar.ts";
import { broadcast, type Dim, sameDim, typeToString } from "../types.ts";
import { NUMBER, operandOf, productDType } from "./rules.ts";

export const matmul = defineOp({
  name: "matmul",
  doc:
    "The product of the last two axes, [.., m, k] by [.., k, n], over broadcast leading axes, as NumPy's matmul. " +
    "A vector is a row on the left, a column on the right, and that axis vanishes. Products of i8, u8 and i16 are summed in i32.",
  operands: ["a", "b"],
  infer(c) {
    const [a, b] = [operandOf(c, 0, NUMBER), operandOf(c, 1, NUMBER)];
    const dtype = productDType(c);
    if (a.shape.length === 0 || b.shape.length === 0) c.fail(`scalars have no matrix product: ${typeToString(a)} and ${typeToString(b)}`);
    const inner = b.shape.at(b.shape.length === 1 ? -1 : -2)!;
    if (!sameDim(a.shape.at(-1)!, inner)) c.fail(`the inner extents differ: ${typeToString(a)} and ${typeToString(b)}`);
    const batch = broadcast(a.shape.slice(0, -2), b.shape.slice(0, -2));
    if (!batch) return c.fail(`the leading axes do not broadcast: ${typeToString(a)} and ${typeToString(b)}`);
    const rows: readonly Dim[] = a.shape.length === 1 ? [] : [a.shape.at(-2)!];
    const columns: readonly Dim[] = b.shape.length === 1 ? [] : [b.shape.at(-1)!];
    return { dtype, shape: [...batch, ...rows, ...columns] };
  },
  compute(c) {
    const [a, b] = [c.types[0]!.shape, c.types[1]!.shape];
    const [row, column] = [a.length > 1, b.length > 1];
    const batchRank = c.i.length - Number(row) - Number(column);
    const i = c.i[batchRank];
    const j = c.i[batchRank + Number(row)];
    const leading = (shape: readonly Dim[]): readonly Scalar[] => {
      const own = shape.slice(0, -2);
      return own.map((d, axis) => (d === 1 ? i32(0) : c.i[batchRank - own.length + axis]!));
    };
    return c.reduce("sum", [c.extent(0, a.length - 1)], ([k]) =>
      mul<Scalar>(c.read(0, row ? [...leading(a), i!, k!] : [k!]), c.read(1, column ? [...leading(b), k!, j!] : [k!])),
    );
  },
});

export const contractOps = [matmul] as const;
