// Operators that change the element type and nothing else.

import { DTYPES, type DType, isDType } from "../dtype.ts";
import { defineOp, type InferContext } from "../op.ts";
import { bitcast as bitcastOf, cast as castOf } from "../scalar/build.ts";
import type { Scalar } from "../scalar/scalar.ts";

function target(c: InferContext): DType {
  const to = c.attrs["to"];
  return typeof to === "string" && isDType(to) ? to : c.fail(`attribute 'to' must be an element type, got ${String(to)}`);
}

export const cast = defineOp({
  name: "cast",
  doc:
    "x as element type `to`. Floats to integers truncate, saturating at 32 or 64 bits (NaN gives 0), then narrow ones wrap; integers wrap; " +
    "anything to bool is x != 0; f16 rounds to nearest even.",
  operands: ["x"],
  elementwise: true,
  infer: (c) => ({ dtype: target(c), shape: c.types[0]!.shape }),
  compute: (c) => castOf<Scalar>(DTYPES[c.results[0]!.dtype].compute, c.operand(0)),
});

/** Types whose bits the scalar language sees: f16 computes as f32, and bools are no bits. */
const hasBits = (d: DType): boolean => d !== "f16" && d !== "bool";

export const bitcast = defineOp({
  name: "bitcast",
  doc: "The bits of x read as element type `to`, which has as many.",
  operands: ["x"],
  elementwise: true,
  infer(c) {
    const [x, to] = [c.types[0]!, target(c)];
    if (DTYPES[to].bits !== DTYPES[x.dtype].bits || !hasBits(to) || !hasBits(x.dtype))
      c.fail(`cannot read the bits of ${x.dtype} as ${to}`);
    return { dtype: to, shape: x.shape };
  },
  compute(c) {
    const [x, to] = [c.operand(0), DTYPES[c.results[0]!.dtype].compute];
    return x.type === to ? x : bitcastOf<Scalar>(to, x);
  },
});

export const convertOps = [cast, bitcast] as const;
