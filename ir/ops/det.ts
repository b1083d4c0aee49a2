// Determinants.

import { isFloat } from "../dtype.ts";
import { add, cast, compare, constant, div, for_, i32, if_, let_, mul, set, sub, unary, variable } from "../kernel/build.ts";
import { elements, tensorElements } from "../kernel/elements.ts";
import type { Expr } from "../kernel/types.ts";
import { defineOp } from "../op.ts";
import { elementCount } from "../tensor.ts";
import { tensor, typeToString } from "../types.ts";
import { extentsOf, staticShape } from "./static-shape.ts";

const v = (name: string): Expr => variable(name);
const d = (name: string): Expr => variable(name, "f64");

export const det = defineOp({
  name: "det",
  doc: "The determinant of each square matrix of the last two axes, by elimination with row pivots in f64.",
  operands: ["x"],
  infer(c) {
    const shape = staticShape(c, 0);
    if (shape.length < 2 || shape.at(-1) !== shape.at(-2) || !isFloat(c.types[0]!.dtype))
      c.fail(`expects square matrices of floats, got ${typeToString(c.types[0]!)}`);
    return tensor(c.types[0]!.dtype, shape.slice(0, -2));
  },
  kernel({ types, results }) {
    const shape = extentsOf(types[0]!);
    const n = shape.at(-1)!;
    const [x, y] = [tensorElements("x", types[0]!, "read"), tensorElements("y", results[0]!, "write")];
    const a = elements("a", "f64", n * n, "readwrite");
    const at = (row: Expr, column: Expr): Expr => add(mul(row, i32(n)), column);
    return {
      functions: [
        {
          name: "det",
          params: [x.param, y.param, a.param],
          body: [
            for_("m", i32(0), i32(elementCount(shape.slice(0, -2))), [
              for_("e", i32(0), i32(n * n), [a.set(v("e"), cast("f64", x.at(add(mul(v("m"), i32(n * n)), v("e")))))]),
              let_("product", constant("f64", 1)),
              for_("k", i32(0), i32(n), [
                let_("pivot", v("k")),
                let_("largest", unary("abs", a.at(at(v("k"), v("k"))))),
                for_("r", add(v("k"), i32(1)), i32(n), [
                  if_(compare("gt", unary("abs", a.at(at(v("r"), v("k")))), d("largest")), [
                    set("pivot", v("r")),
                    set("largest", unary("abs", a.at(at(v("r"), v("k"))))),
                  ]),
                ]),
                if_(compare("ne", v("pivot"), v("k")), [
                  set("product", unary("neg", d("product"))),
                  for_("s", i32(0), i32(n), [
                    let_("kept", a.at(at(v("k"), v("s")))),
                    a.set(at(v("k"), v("s")), a.at(at(v("pivot"), v("s")))),
                    a.set(at(v("pivot"), v("s")), d("kept")),
                  ]),
                ]),
                let_("head", a.at(at(v("k"), v("k")))),
                set("product", mul(d("product"), d("head"))),
                if_(compare("ne", d("head"), constant("f64", 0)), [
                  for_("t", add(v("k"), i32(1)), i32(n), [
                    let_("factor", div(a.at(at(v("t"), v("k"))), d("head"))),
                    for_("u", v("k"), i32(n), [
                      a.set(at(v("t"), v("u")), sub(a.at(at(v("t"), v("u"))), mul(d("factor"), a.at(at(v("k"), v("u")))))),
                    ]),
                  ]),
                ]),
              ]),
              y.set(v("m"), cast(y.literal(0).type as "f32", d("product"))),
            ]),
          ],
        },
      ],
      entry: "det",
      scratch: Math.max(1, n * n) * 8,
      faults: [],
    };
  },
});

export const detOps = [det] as const;
