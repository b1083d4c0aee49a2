// A backend of our own: what its target can do, and how it is printed. Kernel passes rewrite all that it does not list.

import { defineBackend } from "sparsec";
import { print } from "./print.ts";

export const dataview = defineBackend({
  name: "dataview",
  doc: "JavaScript over a DataView, one access at a time",
  variants: [
    {
      name: "plain",
      needs: [],
      can: {
        vectors: [],
        f16: false,
        fma: false,
        maths: [
          "exp",
          "log",
          "sin",
          "cos",
          "tan",
          "asin",
          "acos",
          "atan",
          "sinh",
          "cosh",
          "tanh",
          "asinh",
          "acosh",
          "atanh",
          "atan2",
          "rem",
        ],
        accumulators: 8,
      },
    },
  ],
  emit: (program) => ({ code: "model.dataview.js", files: { "model.dataview.js": print(program) } }),
});
