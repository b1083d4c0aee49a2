// Operators that sort: the k first in order, and the distinct elements or slices.

import { DTYPES, type DType, isFloat } from "../dtype.ts";
import {
  add,
  advance,
  and,
  call,
  callStmt,
  cast,
  compare,
  constant,
  div,
  for_,
  i32,
  if_,
  let_,
  mul,
  or,
  rem,
  set,
  unary,
  variable,
} from "../kernel/build.ts";
import { elements, tensorElements } from "../kernel/elements.ts";
import { sortedAt, sortFunction, sortScratch } from "../kernel/sort.ts";
import type { Expr, Func } from "../kernel/types.ts";
import { defineOp } from "../op.ts";
import { elementCount } from "../tensor.ts";
import { scalarType, tensor } from "../types.ts";
import { axisAttr, intAttr, NUMBER, operandOf } from "./rules.ts";
import { extentsOf, staticShape } from "./static-shape.ts";

const v = (name: string): Expr => variable(name);

/** Whether `a` comes strictly before `b`; NaN counts as above everything. */
function precedes(dtype: DType, descending: boolean, a: Expr, b: Expr): Expr {
  const plain = compare(descending ? "gt" : "lt", a, b);
  if (!isFloat(dtype)) return plain;
  const [high, low] = descending ? [a, b] : [b, a];
  return or(plain, and(compare("ne", high, high), compare("eq", low, low)));
}

export const topk = defineOp({
  name: "topk",
  doc: "The `k` largest (or smallest) elements along `axis` in order, equal ones by position, and their positions (i64).",
  operands: ["x"],
  infer(c) {
    const x = operandOf(c, 0, NUMBER);
    const shape = staticShape(c, 0);
    const axis = axisAttr(c, shape.length);
    const k = intAttr(c, "k", 0);
    if (k > shape[axis]!) c.fail(`k is ${k}, and axis ${axis} has ${shape[axis]} elements`);
    const out = shape.map((d, a) => (a === axis ? k : d));
    return [tensor(x.dtype, out), tensor("i64", out)];
  },
  kernel({ types, results, attrs }) {
    const { dtype } = types[0]!;
    const shape = extentsOf(types[0]!);
    const [axis, k] = [attrs["axis"] as number, attrs["k"] as number];
    const [outer, n, inner] = [elementCount(shape.slice(0, axis)), shape[axis]!, elementCount(shape.slice(axis + 1))];
    const x = tensorElements("x", types[0]!, "read");
    const [y, at] = [tensorElements("y", results[0]!, "write"), tensorElements("at", results[1]!, "write")];
    const order = elements("order", "i32", 2 * n, "readwrite");
    const line = elements("x", dtype, Math.max(0, (n - 1) * inner + 1), "read");
    const along = (i: Expr): Expr => line.at(mul(i, i32(inner)));
    const before: Func = {
      name: "before",
      params: [line.param, { name: "i", type: "i32" }, { name: "j", type: "i32" }],
      body: [],
      result: precedes(dtype, attrs["largest"] === true, along(v("i")), along(v("j"))),
    };
    const main: Func = {
      name: "topk",
      params: [x.param, y.param, at.param, order.param],
      body: [
        for_("o", i32(0), i32(k === 0 ? 0 : outer), [
          for_("i", i32(0), i32(inner), [
            let_("line", advance(x.ptr, mul(add(mul(v("o"), i32(n * inner)), v("i")), i32(DTYPES[dtype].bytes)))),
            callStmt("sort", [variable("line", "ptr"), order.ptr]),
            for_("j", i32(0), i32(k), [
              let_("t", order.at(add(v("j"), i32(sortedAt(n))))),
              let_("place", add(mul(add(mul(v("o"), i32(k)), v("j")), i32(inner)), v("i"))),
              y.set(v("place"), x.at(add(mul(add(mul(v("o"), i32(n)), v("t")), i32(inner)), v("i")))),
              at.set(v("place"), cast("i64", v("t"))),
            ]),
          ]),
        ]),
      ],
    };
    return { functions: [before, sortFunction(n, line, "before"), main], entry: "topk", scratch: sortScratch(n), faults: [] };
  },
});

export const unique = defineOp({
  name: "unique",
  doc:
    "The distinct slices along `axis` (elements of a flat x when it has one axis), ascending where `sorted`, else by first occurrence; " +
    "position of each one's first occurrence; which distinct slice each of x's is; how often each occurs; and how many there are (i64[]). " +
    "All but the last have the extent of x, of which only that many count.",
  operands: ["x"],
  infer(c) {
    const shape = staticShape(c, 0);
    const n = shape[axisAttr(c, shape.length)]!;
    const positions = tensor("i64", [n]);
    return [tensor(c.types[0]!.dtype, shape), positions, positions, positions, scalarType("i64")];
  },
  kernel({ types, attrs }) {
    const { dtype } = types[0]!;
    const shape = extentsOf(types[0]!);
    const axis = attrs["axis"] as number;
    const [outer, n, inner] = [elementCount(shape.slice(0, axis)), shape[axis]!, elementCount(shape.slice(axis + 1))];
    const slice = outer * inner;
    const x = tensorElements("x", types[0]!, "read");
    const y = tensorElements("y", types[0]!, "write");
    const [first, inverse, counts, count] = (["first", "inverse", "counts", "count"] as const).map((name, k) =>
      elements(name, "i64", k === 3 ? 1 : n, "readwrite"),
    );
    const scratch = elements("order", "i32", 4 * n, "readwrite");
    const sorted = (i: Expr): Expr => scratch.at(add(i, i32(sortedAt(n))));
    /** Past the two halves that sorting uses: the first position in each group of equals, and the number that the group gets. */
    const [groupFirst, groupId] = [(g: Expr) => add(g, i32(2 * n)), (g: Expr) => add(g, i32(3 * n))];
    /** Element e of slice i: e counts outer axes, then inner ones. */
    const place = (e: Expr, i: Expr): Expr => add(mul(add(mul(div(e, i32(inner)), i32(n)), i), i32(inner)), rem(e, i32(inner)));
    const at = (i: string): Expr => x.at(place(v("e"), v(i)));
    const bool = (name: string): Expr => variable(name, "bool");
    const before: Func = {
      name: "before",
      doc: "lexicographic order of two slices",
      params: [x.param, { name: "i", type: "i32" }, { name: "j", type: "i32" }],
      body: [
        let_("less", constant("bool", false)),
        let_("open", constant("bool", true)),
        for_("e", i32(0), i32(slice), [
          if_(bool("open"), [
            set("less", precedes(dtype, false, at("i"), at("j"))),
            set("open", unary("not", or(bool("less"), precedes(dtype, false, at("j"), at("i"))))),
          ]),
        ]),
      ],
      result: bool("less"),
    };
    const long = (e: Expr): Expr => cast("i64", e);
    const short = (e: Expr): Expr => cast("i32", e);
    const main: Func = {
      name: "unique",
      params: [x.param, y.param, first!.param, inverse!.param, counts!.param, count!.param, scratch.param],
      body: [
        callStmt("sort", [x.ptr, scratch.ptr]),
        let_("groups", i32(0)),
        for_("p", i32(0), i32(n), [
          let_("current", sorted(v("p"))),
          let_("starts", compare("eq", v("p"), i32(0))),
          if_(unary("not", bool("starts")), [set("starts", call("bool", "before", [x.ptr, sorted(add(v("p"), i32(-1))), v("current")]))]),
          if_(bool("starts"), [scratch.set(groupFirst(v("groups")), v("current")), set("groups", add(v("groups"), i32(1)))]),
          inverse!.set(v("current"), long(add(v("groups"), i32(-1)))),
          counts!.set(v("p"), constant("i64", 0)),
        ]),
        let_("seen", i32(0)),
        for_("q", i32(0), i32(n), [
          let_("group", short(inverse!.at(v("q")))),
          if_(compare("eq", scratch.at(groupFirst(v("group"))), v("q")), [
            let_("fresh", attrs["sorted"] ? v("group") : v("seen")),
            scratch.set(groupId(v("group")), v("fresh")),
            set("seen", add(v("seen"), i32(1))),
            first!.set(v("fresh"), long(v("q"))),
            for_("e", i32(0), i32(slice), [y.set(place(v("e"), v("fresh")), x.at(place(v("e"), v("q"))))]),
          ]),
          let_("id", scratch.at(groupId(v("group")))),
          inverse!.set(v("q"), long(v("id"))),
          counts!.set(v("id"), add(counts!.at(v("id")), constant("i64", 1))),
        ]),
        count!.set(i32(0), long(v("groups"))),
      ],
    };
    return { functions: [before, sortFunction(n, x, "before"), main], entry: "unique", scratch: 2 * sortScratch(n), faults: [] };
  },
});

export const sortOps = [topk, unique] as const;
