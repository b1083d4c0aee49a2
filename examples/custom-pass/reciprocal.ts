// A pass of our own: a quotient by a constant becomes a product, which is cheaper and rounds once more.

import { rewritePass } from "sparsec";
import { rewrite } from "sparsec/ir";

const { any, constant, op, rule } = rewrite;

export const reciprocal = rewritePass({
  name: "reciprocal",
  doc: "Multiplies by the reciprocals of constants.",
  exactness: "bounded",
  invariant: "no f32 value is divided by a constant",
  rules: [
    rule(
      "x / constant -> x * (1 / constant)",
      op(
        "div",
        any("x"),
        constant("c", (c) => c.type.dtype === "f32"),
      ),
      ({ x, c }, b, root) => {
        const divisor = b.constantOf(c)!;
        const data = Float32Array.from(divisor.data as Float32Array, (y) => 1 / y);
        return b.value("mul", [x, b.constant({ ...divisor, data })], {}, root.node.locs);
      },
    ),
  ],
});
