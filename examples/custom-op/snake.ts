// An operator of our own, Snake (https://arxiv.org/abs/2006.08195): what it means, and how the ONNX node of that name becomes it.

import { defineOnnxOp } from "sparsec";
import { defineOp, type Scalar, scalar } from "sparsec/ir";

const { add, constant, div, mul, unary } = scalar;

/** One expression says it all: the reference, constant folding, fusion, and the kernels of every backend derive from it. */
export const snake = defineOp({
  name: "snake",
  doc: "x + sin(alpha x)^2 / alpha.",
  operands: ["x"],
  elementwise: true,
  infer(c) {
    const x = c.types[0]!;
    if (x.dtype !== "f32") c.fail(`expects f32, got ${x.dtype}`);
    if (typeof c.attrs["alpha"] !== "number" || c.attrs["alpha"] === 0) c.fail("expects an attribute `alpha` other than 0");
    return x;
  },
  compute(c) {
    const x = c.operand(0);
    const alpha = constant("f32", c.attrs["alpha"] as number);
    const sine = unary<Scalar>("sin", mul<Scalar>(alpha, x));
    return add<Scalar>(x, div<Scalar>(mul<Scalar>(sine, sine), alpha));
  },
});

export const snakeOnnx = defineOnnxOp({
  name: "com.example:Snake",
  import: (c) => c.add("snake", [c.input(0)], { alpha: c.float("alpha", 1) }),
});
