// Stable sorting of positions by a comparison function: bottom-up merging between two halves of a scratch buffer.

import { add, call, compare, for_, i32, if_, let_, lt, min, mul, or, select, set, sub, unary, variable, while_ } from "./build.ts";
import { type Elements, elements } from "./elements.ts";
import type { Expr, Func } from "./types.ts";

/** Bytes of scratch that sorting `n` positions takes. */
export const sortScratch = (n: number): number => 2 * Math.max(1, n) * 4;

/** The sorted positions within the scratch of `sort`: i32, from element `offset` on. */
export const sortedAt = (n: number): number => {
  let passes = 0;
  for (let width = 1; width < n; width *= 2) passes++;
  return passes % 2 === 0 ? 0 : n;
};

/**
 * `sort(x, order)`: fills the half of `order` that `sortedAt` names with 0..n-1 sorted so that no position comes `before` one that it follows.
 * `before(x, i, j)` is a function, defined earlier, with a bool result and the pointer parameter `x`.
 */
export function sortFunction(n: number, x: Elements, before: string): Func {
  const order = elements("order", "i32", 2 * n, "readwrite");
  const v = (name: string): Expr => variable(name);
  const last = i32(n - 1);
  const source = (i: Expr): Expr => order.at(add(v("from"), min(i, last)));
  const rightFirst = call("bool", before, [x.ptr, source(v("right")), source(v("left"))]);
  return {
    name: "sort",
    doc: `stable merge sort of ${n} positions`,
    params: [x.param, order.param],
    body: [
      for_("p", i32(0), i32(n), [order.set(v("p"), v("p"))]),
      let_("from", i32(0)),
      let_("to", i32(n)),
      let_("width", i32(1)),
      while_(lt(v("width"), i32(n)), [
        let_("low", i32(0)),
        while_(lt(v("low"), i32(n)), [
          let_("middle", min(add(v("low"), v("width")), i32(n))),
          let_("high", min(add(v("middle"), v("width")), i32(n))),
          let_("left", v("low")),
          let_("right", v("middle")),
          for_("at", v("low"), v("high"), [
            let_("take", compare("ge", v("left"), v("middle"))),
            if_(unary("not", or(variable("take", "bool"), compare("ge", v("right"), v("high")))), [set("take", rightFirst)]),
            let_("next", select(variable("take", "bool"), source(v("right")), source(v("left")))),
            order.set(add(v("to"), v("at")), v("next")),
            if_(variable("take", "bool"), [set("right", add(v("right"), i32(1)))], [set("left", add(v("left"), i32(1)))]),
          ]),
          set("low", v("high")),
        ]),
        set("from", v("to")),
        set("to", sub(i32(n), v("from"))),
        set("width", mul(v("width"), i32(2))),
      ]),
    ],
  };
}
