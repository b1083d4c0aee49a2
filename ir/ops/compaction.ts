// Operators that keep what passes a test: their results fill up to the extent of the operand, and a count says how much counts.

import { add, cast, compare, for_, i32, if_, let_, mul, set, variable } from "../kernel/build.ts";
import { elements, tensorElements } from "../kernel/elements.ts";
import type { Expr } from "../kernel/types.ts";
import { defineOp } from "../op.ts";
import { elementCount } from "../tensor.ts";
import { scalarType, tensor, typeToString } from "../types.ts";
import { axisAttr } from "./rules.ts";
import { extentsOf, staticShape } from "./static-shape.ts";

const v = (name: string): Expr => variable(name);
const increment = (name: string): ReturnType<typeof set> => set(name, add(v(name), i32(1)));

export const nonzero = defineOp({
  name: "nonzero",
  doc: "The coordinates of the elements that are not 0, in row-major order, as columns of i64[rank, size]; and how many there are (i64[]).",
  operands: ["x"],
  infer(c) {
    const shape = staticShape(c, 0);
    return [tensor("i64", [shape.length, elementCount(shape)]), scalarType("i64")];
  },
  kernel({ types, results }) {
    const shape = extentsOf(types[0]!);
    const size = elementCount(shape);
    const x = tensorElements("x", types[0]!, "read");
    const [y, count] = [tensorElements("y", results[0]!, "write"), elements("count", "i64", 1, "write")];
    const nested = shape.reduceRight((body, d, axis) => [for_(`c${axis}`, i32(0), i32(d), body)], [
      if_(compare("ne", x.at(v("at")), x.literal(0)), [
        ...shape.map((_, axis) => y.set(add(v("found"), i32(axis * size)), cast("i64", v(`c${axis}`)))),
        increment("found"),
      ]),
      increment("at"),
    ] as ReturnType<typeof set>[]);
    return {
      functions: [
        {
          name: "nonzero",
          params: [x.param, y.param, count.param],
          body: [let_("found", i32(0)), let_("at", i32(0)), ...nested, count.set(i32(0), cast("i64", v("found")))],
        },
      ],
      entry: "nonzero",
      scratch: 0,
      faults: [],
    };
  },
});

export const compress = defineOp({
  name: "compress",
  doc: "The slices of x along `axis` where `keep` (bool[at most the extent]) holds, and how many there are (i64[]).",
  operands: ["x", "keep"],
  infer(c) {
    const [x, keep] = [staticShape(c, 0), staticShape(c, 1)];
    const axis = axisAttr(c, x.length);
    if (c.types[1]!.dtype !== "bool" || keep.length !== 1) c.fail(`the condition must be bool[n], got ${typeToString(c.types[1]!)}`);
    return [
      tensor(
        c.types[0]!.dtype,
        x.map((d, a) => (a === axis ? Math.min(d, keep[0]!) : d)),
      ),
      scalarType("i64"),
    ];
  },
  kernel({ types, results, attrs }) {
    const shape = extentsOf(types[0]!);
    const axis = attrs["axis"] as number;
    const [outer, n, inner] = [elementCount(shape.slice(0, axis)), shape[axis]!, elementCount(shape.slice(axis + 1))];
    const most = extentsOf(results[0]!)[axis]!;
    const [x, keep] = [tensorElements("x", types[0]!, "read"), tensorElements("keep", types[1]!, "read")];
    const [y, count] = [tensorElements("y", results[0]!, "write"), elements("count", "i64", 1, "write")];
    return {
      functions: [
        {
          name: "compress",
          params: [x.param, keep.param, y.param, count.param],
          body: [
            let_("found", i32(0)),
            for_("o", i32(0), i32(outer), [
              set("found", i32(0)),
              for_("t", i32(0), i32(most), [
                if_(keep.at(v("t")), [
                  for_("i", i32(0), i32(inner), [
                    y.set(
                      add(mul(add(mul(v("o"), i32(most)), v("found")), i32(inner)), v("i")),
                      x.at(add(mul(add(mul(v("o"), i32(n)), v("t")), i32(inner)), v("i"))),
                    ),
                  ]),
                  increment("found"),
                ]),
              ]),
            ]),
            count.set(i32(0), cast("i64", v("found"))),
          ],
        },
      ],
      entry: "compress",
      scratch: 0,
      faults: [],
    };
  },
});

export const compactionOps = [nonzero, compress] as const;
