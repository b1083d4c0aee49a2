// Normalization across neighbouring channels.

import { defineOp } from "../op.ts";
import { add, div, literal, mul, pow, select, within } from "../scalar/element.ts";
import { FLOAT, intAttr, numberAttr, operandOf } from "./rules.ts";

export const lrn = defineOp({
  name: "lrn",
  doc: "x / (bias + alpha / size * sum of x^2 over the `size` channels (axis 1) around) ^ beta.",
  operands: ["x"],
  infer(c) {
    operandOf(c, 0, FLOAT);
    intAttr(c, "size", 1);
    for (const name of ["alpha", "beta", "bias"]) numberAttr(c, name);
    if (c.types[0]!.shape.length < 2) c.fail("expects channels on axis 1");
    return { dtype: c.types[0]!.dtype, shape: c.types[0]!.shape };
  },
  compute(c) {
    const { size, alpha, beta, bias } = c.attrs as Record<string, number>;
    const before = Math.floor((size! - 1) / 2);
    const [n, channel, ...rest] = c.i;
    const x = c.read(0, c.i);
    const squares = c.reduce("sum", [size!], ([r]) => {
      const at = add(channel!, add(r!, -before));
      const y = c.read(0, [n!, at, ...rest]);
      return select(within(at, 0, c.extent(0, 1)), mul(y, y), literal(y.type, 0));
    });
    return div(x, pow(add(mul(squares, alpha! / size!), bias!), literal(x.type, beta!)));
  },
});

export const lrnOps = [lrn] as const;
