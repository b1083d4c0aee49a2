// Running sums and products.

import { add, for_, i32, let_, mul, set, sub, variable } from "../kernel/build.ts";
import { tensorElements } from "../kernel/elements.ts";
import type { Expr } from "../kernel/types.ts";
import { defineOp } from "../op.ts";
import { elementCount } from "../tensor.ts";
import { axisAttr, NUMBER, operandOf, stringAttr } from "./rules.ts";
import { extentsOf } from "./static-shape.ts";

export const cumulative = defineOp({
  name: "cumulative",
  doc: "The running `sum` or `prod` (`op`) along `axis`, from the end where `reverse`; `exclusive` leaves out the element itself. Integers wrap.",
  operands: ["x"],
  infer(c) {
    const x = operandOf(c, 0, NUMBER);
    axisAttr(c, x.shape.length);
    stringAttr(c, "op", ["sum", "prod"]);
    return { dtype: x.dtype, shape: x.shape };
  },
  kernel({ types, results, attrs }) {
    const shape = extentsOf(types[0]!);
    const axis = attrs["axis"] as number;
    const [outer, n, inner] = [elementCount(shape.slice(0, axis)), shape[axis]!, elementCount(shape.slice(axis + 1))];
    const [x, y] = [tensorElements("x", types[0]!, "read"), tensorElements("y", results[0]!, "write")];
    const v = (name: string): Expr => variable(name);
    const acc = variable("acc", x.literal(0).type);
    const update = set("acc", (attrs["op"] === "sum" ? add : mul)(acc, x.at(v("at"))));
    const write = y.set(v("at"), acc);
    const t = attrs["reverse"] ? sub(i32(n - 1), v("s")) : v("s");
    return {
      functions: [
        {
          name: "cumulative",
          params: [x.param, y.param],
          body: [
            for_("o", i32(0), i32(outer), [
              for_("i", i32(0), i32(inner), [
                let_("acc", x.literal(attrs["op"] === "sum" ? 0 : 1)),
                for_("s", i32(0), i32(n), [
                  let_("at", add(mul(add(mul(v("o"), i32(n)), t), i32(inner)), v("i"))),
                  ...(attrs["exclusive"] ? [write, update] : [update, write]),
                ]),
              ]),
            ]),
          ],
        },
      ],
      entry: "cumulative",
      scratch: 0,
      faults: [],
    };
  },
});

export const cumulativeOps = [cumulative] as const;
