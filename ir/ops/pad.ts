// Padding and cropping.

import { defineOp, zero } from "../op.ts";
import { add, compare, i32, max, min, rem, select, sub } from "../scalar/build.ts";
import type { Scalar } from "../scalar/scalar.ts";
import { maxOf, typeToString } from "../types.ts";
import { intsAttr, staticDim, stringAttr } from "./rules.ts";
import { all } from "./window.ts";

const MODES = ["constant", "reflect", "edge", "wrap"] as const;

/** i modulo n, never negative. */
const wrapped = (i: Scalar, n: number): Scalar => rem<Scalar>(add<Scalar>(rem<Scalar>(i, i32(n)), i32(n)), i32(n));

/** Where in an axis of `extent` elements position `i` (maybe outside) finds its element. */
function sourceOf(mode: "reflect" | "edge" | "wrap", i: Scalar, extent: number): Scalar {
  if (extent <= 1) return i32(0);
  if (mode === "edge") return max<Scalar>(i32(0), min<Scalar>(i, i32(extent - 1)));
  if (mode === "wrap") return wrapped(i, extent);
  const there = wrapped(i, 2 * (extent - 1));
  return min<Scalar>(there, sub<Scalar>(i32(2 * (extent - 1)), there));
}

export const pad = defineOp({
  name: "pad",
  doc:
    "x with `begins` and `ends` elements added to (negative: taken from) each axis: `value` (0 without it) in mode constant, mirrored without " +
    "repeating the edge (reflect), the edge, or x again (wrap).",
  operands: ["x", "value?"],
  infer(c) {
    const x = c.types[0]!;
    const mode = stringAttr(c, "mode", MODES);
    const [begins, ends] = [intsAttr(c, "begins", x.shape.length), intsAttr(c, "ends", x.shape.length)];
    const value = c.types[1];
    if (value && (value.shape.length > 0 || value.dtype !== x.dtype)) c.fail(`the value must be ${x.dtype}[], got ${typeToString(value)}`);
    const shape = x.shape.map((d, axis) => {
      const more = begins[axis]! + ends[axis]!;
      if (begins[axis] === 0 && ends[axis] === 0) return d;
      const extent = staticDim(c, 0, axis);
      if (extent + more < 0) c.fail(`axis ${axis} of ${typeToString(x)} cannot lose ${-more} elements`);
      if (extent === 0 && mode !== "constant" && more > 0) c.fail(`axis ${axis} of ${typeToString(x)} has nothing to pad with`);
      return extent + more;
    });
    return { dtype: x.dtype, shape };
  },
  compute(c) {
    const mode = c.attrs["mode"] as (typeof MODES)[number];
    const [begins, ends] = [c.attrs["begins"] as readonly number[], c.attrs["ends"] as readonly number[]];
    const at = c.i.map((i, axis) => sub<Scalar>(i, i32(begins[axis]!)));
    if (mode !== "constant") {
      return c.read(
        0,
        at.map((i, axis) => (begins[axis]! <= 0 && ends[axis]! <= 0 ? i : sourceOf(mode, i, maxOf(c.types[0]!.shape[axis]!)))),
      );
    }
    const tests = at.flatMap((i, axis) => [
      ...(begins[axis]! > 0 ? [compare<Scalar>("ge", i, i32(0))] : []),
      ...(ends[axis]! > 0 ? [compare<Scalar>("lt", i, i32(maxOf(c.types[0]!.shape[axis]!)))] : []),
    ]);
    const x = c.read(0, at);
    const within = all(tests);
    if (!within) return x;
    return select<Scalar>(within, x, c.types.length > 1 ? c.read(1, []) : zero(x.type));
  },
});

export const padOps = [pad] as const;
