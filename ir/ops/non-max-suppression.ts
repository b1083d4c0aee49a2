// Greedy suppression of overlapping boxes.

import {
  add,
  advance,
  and,
  call,
  cast,
  compare,
  constant,
  div,
  for_,
  i32,
  if_,
  let_,
  lt,
  max,
  min,
  mul,
  or,
  select,
  set,
  sub,
  variable,
  while_,
} from "../kernel/build.ts";
import { elements, tensorElements } from "../kernel/elements.ts";
import type { Expr, Func } from "../kernel/types.ts";
import { defineOp } from "../op.ts";
import { scalarType, tensor, typeToString } from "../types.ts";
import { intAttr } from "./rules.ts";
import { extentsOf, staticShape } from "./static-shape.ts";

const v = (name: string): Expr => variable(name);
const f = (name: string): Expr => variable(name, "f32");
const zero = constant("f32", 0);

/** Low and high end of box `which` along y (0) and x (1), from its four numbers. */
function edges(box: (k: number) => Expr, centred: boolean, axis: 0 | 1): readonly [Expr, Expr] {
  if (!centred) return [min(box(axis), box(axis + 2)), max(box(axis), box(axis + 2))];
  const [centre, half] = [box(1 - axis), div(box(3 - axis), constant("f32", 2))];
  return [sub(centre, half), add(centre, half)];
}

/** `overlap(boxes, i, j)`: intersection over union of two boxes; 0 where they do not meet or have no area. */
function overlapFunction(boxCount: number, centred: boolean): Func {
  const boxes = elements("boxes", "f32", boxCount * 4, "read");
  const of = (name: string, axis: 0 | 1): readonly [Expr, Expr] => edges((k) => boxes.at(add(mul(v(name), i32(4)), i32(k))), centred, axis);
  const axes = ([0, 1] as const).flatMap((axis) => {
    const [a, b] = [of("i", axis), of("j", axis)];
    return [
      let_(`shared${axis}`, sub(min(a[1], b[1]), max(a[0], b[0]))),
      let_(`i${axis}`, sub(a[1], a[0])),
      let_(`j${axis}`, sub(b[1], b[0])),
    ];
  });
  const meets = and(compare("gt", f("shared0"), zero), compare("gt", f("shared1"), zero));
  const solid = and(compare("gt", f("areaI"), zero), compare("gt", f("areaJ"), zero));
  return {
    name: "overlap",
    params: [boxes.param, { name: "i", type: "i32" }, { name: "j", type: "i32" }],
    body: [
      ...axes,
      let_("areaI", mul(f("i0"), f("i1"))),
      let_("areaJ", mul(f("j0"), f("j1"))),
      let_("shared", mul(f("shared0"), f("shared1"))),
      let_("united", sub(add(f("areaI"), f("areaJ")), f("shared"))),
    ],
    result: select(and(and(meets, solid), compare("gt", f("united"), zero)), div(f("shared"), f("united")), zero),
  };
}

export const nonMaxSuppression = defineOp({
  name: "non_max_suppression",
  doc:
    "Per batch and class, takes the box of the highest score above `score_above` again and again (equal scores by position), at most `most` times, " +
    "and drops those that overlap it by more than `iou_above`. boxes f32[batch, n, 4] (corners y, x, y, x, or `centred`: x, y, width, height), " +
    "scores f32[batch, classes, n]. Results: rows (batch, class, box) of i64[batch * classes * limit, 3], and how many count (i64[]). " +
    "`limit` is at least `most`, or n.",
  operands: ["boxes", "scores", "most", "iou_above", "score_above"],
  infer(c) {
    const [boxes, scores] = [staticShape(c, 0), staticShape(c, 1)];
    const fits = boxes.length === 3 && boxes[2] === 4 && scores.length === 3 && scores[0] === boxes[0] && scores[2] === boxes[1];
    if (!fits || c.types[0]!.dtype !== "f32" || c.types[1]!.dtype !== "f32")
      c.fail(`boxes ${typeToString(c.types[0]!)} and scores ${typeToString(c.types[1]!)}`);
    const scalars = c.types.slice(2);
    if (scalars.some((t, k) => t.shape.length !== 0 || t.dtype !== (k === 0 ? "i64" : "f32")))
      c.fail(`limits of types ${scalars.map((t) => typeToString(t)).join(", ")}`);
    return [tensor("i64", [boxes[0]! * scores[1]! * intAttr(c, "limit", 0), 3]), scalarType("i64")];
  },
  kernel({ types, results, attrs }) {
    const [batches, n] = extentsOf(types[0]!) as [number, number];
    const classes = extentsOf(types[1]!)[1]!;
    const limit = attrs["limit"] as number;
    const [boxes, scores] = [tensorElements("boxes", types[0]!, "read"), tensorElements("scores", types[1]!, "read")];
    const [most, iou, least] = [elements("most", "i64", 1, "read"), elements("iou", "f32", 1, "read"), elements("least", "f32", 1, "read")];
    const [y, count] = [tensorElements("y", results[0]!, "write"), elements("count", "i64", 1, "write")];
    const alive = elements("alive", "i32", n, "readwrite");
    const score = (i: Expr): Expr => scores.at(add(mul(add(mul(v("b"), i32(classes)), v("c")), i32(n)), i));
    const isAlive = (i: Expr): Expr => compare("ne", alive.at(i), i32(0));
    const row = (k: number, value: Expr) => y.set(add(mul(v("found"), i32(3)), i32(k)), cast("i64", value));
    const better = or(lt(v("best"), i32(0)), compare("gt", f("candidate"), f("high")));
    const pick = [
      row(0, v("b")),
      row(1, v("c")),
      row(2, v("best")),
      set("found", add(v("found"), i32(1))),
      set("taken", add(v("taken"), i32(1))),
      alive.set(v("best"), i32(0)),
      for_("q", i32(0), i32(n), [
        if_(isAlive(v("q")), [
          let_("share", call("f32", "overlap", [variable("batch", "ptr"), v("best"), v("q")])),
          if_(compare("gt", f("share"), iou.at(i32(0))), [alive.set(v("q"), i32(0))]),
        ]),
      ]),
    ];
    const main: Func = {
      name: "non_max_suppression",
      params: [boxes.param, scores.param, most.param, iou.param, least.param, y.param, count.param, alive.param],
      body: [
        let_("found", i32(0)),
        let_("allowed", cast("i32", min(max(most.at(i32(0)), constant("i64", 0)), constant("i64", limit)))),
        for_("b", i32(0), i32(batches), [
          let_("batch", advance(boxes.ptr, mul(v("b"), i32(n * 16)))),
          for_("c", i32(0), i32(classes), [
            for_("p", i32(0), i32(n), [alive.set(v("p"), select(compare("gt", score(v("p")), least.at(i32(0))), i32(1), i32(0)))]),
            let_("taken", i32(0)),
            let_("going", lt(i32(0), v("allowed"))),
            while_(variable("going", "bool"), [
              let_("best", i32(-1)),
              let_("high", zero),
              for_("r", i32(0), i32(n), [
                if_(isAlive(v("r")), [let_("candidate", score(v("r"))), if_(better, [set("best", v("r")), set("high", f("candidate"))])]),
              ]),
              if_(compare("ge", v("best"), i32(0)), pick),
              set("going", and(compare("ge", v("best"), i32(0)), lt(v("taken"), v("allowed")))),
            ]),
          ]),
        ]),
        count.set(i32(0), cast("i64", v("found"))),
      ],
    };
    return {
      functions: [overlapFunction(n, attrs["centred"] === true), main],
      entry: "non_max_suppression",
      scratch: Math.max(1, n) * 4,
      faults: [],
    };
  },
});

export const nonMaxSuppressionOps = [nonMaxSuppression] as const;
