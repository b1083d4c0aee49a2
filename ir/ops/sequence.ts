// Operators over padded sequences of different lengths: reversal, and writing into a cache.

import { defineOp } from "../op.ts";
import { add, cast, rem, select, sub, within } from "../scalar/element.ts";
import { maxOf, sameShape, typeToString } from "../types.ts";
import { axisAttr } from "./rules.ts";

export const reverseSequence = defineOp({
  name: "reverse_sequence",
  doc: "`x` with the first `lengths[b]` elements along `time` reversed for each index b of axis `batch`; `lengths` is i64[batch].",
  operands: ["x", "lengths"],
  infer(c) {
    const [x, lengths] = c.types;
    const [batch, time] = [c.attrs.batch as number, c.attrs.time as number];
    if (lengths!.dtype !== "i64" || !sameShape(lengths!.shape, [x!.shape[batch]!])) {
      c.fail(`the lengths must be i64, one per index of axis ${batch} of ${typeToString(x!)}, got ${typeToString(lengths!)}`);
    }
    if (batch === time || x!.shape[time] === undefined) c.fail(`axis ${time} of ${typeToString(x!)} is no sequence of batch axis ${batch}`);
    return { dtype: x!.dtype, shape: x!.shape };
  },
  compute(c) {
    const [batch, time] = [c.attrs.batch as number, c.attrs.time as number];
    const t = c.i[time]!;
    const mirrored = sub(sub(cast("i32", c.read(1, [c.i[batch]!])), 1), t);
    const from = select(within(mirrored, 0, c.extent(0, time)), mirrored, t);
    return c.read(
      0,
      c.i.map((i, axis) => (axis === time ? from : i)),
    );
  },
});

export const tensorScatter = defineOp({
  name: "tensor_scatter",
  doc:
    "`past` with `update` written along `axis` from position `at[b]` on, for each index b of axis 0 (`at` is i64[batch]); " +
    "`circular` continues at 0 after the end.",
  operands: ["past", "update", "at"],
  infer(c) {
    const [past, update, at] = c.types;
    const axis = axisAttr(c, past!.shape.length);
    const fits =
      past!.shape.length === update!.shape.length &&
      past!.shape.every((d, i) => (i === axis ? maxOf(update!.shape[i]!) <= maxOf(d) : update!.shape[i] === d));
    if (!fits || past!.dtype !== update!.dtype) c.fail(`${typeToString(update!)} does not fit into axis ${axis} of ${typeToString(past!)}`);
    if (axis < 1) c.fail("axis 0 is the batch");
    if (at!.dtype !== "i64" || !sameShape(at!.shape, [past!.shape[0]!]))
      c.fail(`the positions must be i64, one per batch, got ${typeToString(at!)}`);
    return { dtype: past!.dtype, shape: past!.shape };
  },
  compute(c) {
    const axis = c.attrs.axis as number;
    const extent = c.extent(0, axis);
    const behind = sub(c.i[axis]!, cast("i32", c.read(2, [c.i[0]!])));
    const from = c.attrs.circular ? rem(add(rem(behind, extent), extent), extent) : behind;
    return select(
      within(from, 0, c.extent(1, axis)),
      c.read(
        1,
        c.i.map((i, a) => (a === axis ? from : i)),
      ),
      c.read(0, c.i),
    );
  },
});

export const sequenceOps = [reverseSequence, tensorScatter] as const;
