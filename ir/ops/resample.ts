// Resampling along axes by tables of source positions and weights: what every mode of Resize comes down to.

import { defineOp } from "../op.ts";
import { cast, div, literal, mul, product } from "../scalar/element.ts";
import type { Scalar } from "../scalar/scalar.ts";
import { maxOf, tensor, typeToString } from "../types.ts";
import { axesAttr, intsAttr } from "./rules.ts";
import { extentsOf, staticShape } from "./static-shape.ts";

export const resample = defineOp({
  name: "resample",
  doc:
    "Along each axis of `axes`, element o is the sum over taps t of weight[o, t] * x[index[o, t]]; one index (i32[extent, taps]) and one " +
    "weight operand (float, of the same shape) per axis, in turn. Without `weighted` there are index operands alone, of one tap each.",
  operands: ["x", "...tables"],
  infer(c) {
    const axes = axesAttr(c, c.types[0]!.shape.length);
    const each = c.attrs.weighted ? 2 : 1;
    if (c.types.length !== 1 + axes.length * each) c.fail(`${c.types.length - 1} tables for ${axes.length} axes`);
    const shape = [...c.types[0]!.shape];
    axes.forEach((axis, k) => {
      const [index, weight] = [c.types[1 + k * each]!, c.types[1 + k * each + (each - 1)]!];
      const [out, taps] = staticShape(c, 1 + k * each);
      if (index.dtype !== "i32" || index.shape.length !== 2) c.fail(`an index table must be i32[extent, taps], got ${typeToString(index)}`);
      if (each === 2 && (maxOf(weight.shape[0]!) !== out || maxOf(weight.shape[1]!) !== taps))
        c.fail(`weights ${typeToString(weight)} for ${typeToString(index)}`);
      if (each === 1 && taps !== 1) c.fail(`${taps} taps without weights`);
      if (shape[axis] === undefined) c.fail(`no axis ${axis} in ${typeToString(c.types[0]!)}`);
      shape[axis] = out!;
    });
    return tensor(c.types[0]!.dtype, shape as number[]);
  },
  compute(c) {
    const axes = c.attrs.axes as readonly number[];
    if (!c.attrs.weighted)
      return c.read(
        0,
        c.i.map((i, a) => (axes.includes(a) ? c.read(1 + axes.indexOf(a), [i, literal("i32", 0)]) : i)),
      );
    const taps = axes.map((_, k) => extentsOf(c.types[1 + 2 * k]!)[1]!);
    return c.reduce("sum", taps, (r) => {
      const place = (k: number): readonly Scalar[] => [c.i[axes[k]!]!, r[k]!];
      const x = c.read(
        0,
        c.i.map((i, a) => (axes.includes(a) ? c.read(1 + 2 * axes.indexOf(a), place(axes.indexOf(a))) : i)),
      );
      return mul(product(axes.map((_, k) => cast(x.type, c.read(2 + 2 * k, place(k))))), x);
    });
  },
});

export const repeatElements = defineOp({
  name: "repeat_elements",
  doc: "Each element `factors[axis]` times in a row along each axis: resampling to the nearest by whole factors.",
  operands: ["x"],
  infer(c) {
    const shape = staticShape(c, 0);
    const factors = intsAttr(c, "factors", shape.length, 1);
    return tensor(
      c.types[0]!.dtype,
      shape.map((d, a) => d * factors[a]!),
    );
  },
  compute(c) {
    const factors = c.attrs["factors"] as readonly number[];
    return c.read(
      0,
      c.i.map((i, a) => div(i, factors[a]!)),
    );
  },
});

export const resampleOps = [resample, repeatElements] as const;
