// Brings graphs to one form: drops what does nothing, and spells the same thing the same way.

import { rewritePass } from "../pass.ts";
import { arithmeticRules } from "../rules/arithmetic.ts";
import { productRules } from "../rules/product.ts";
import { quantizedBoundsRules } from "../rules/quantized-bounds.ts";
import { shapeRules } from "../rules/shape.ts";

export const canonicalize = rewritePass({
  name: "canonicalize",
  doc: "Applies exact identities until none is left: no-ops vanish, views and copies collapse, constants stand on the right, 1-D becomes 2-D.",
  exactness: "exact",
  invariant:
    "no identity of compiler/rules applies: constants are right operands, views are not stacked, convolutions hold their own padding",
  rules: [...arithmeticRules, ...shapeRules, ...productRules, ...quantizedBoundsRules],
});
