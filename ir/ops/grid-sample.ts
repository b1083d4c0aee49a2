// Sampling an image or a volume at the points of a grid, and grids of affine maps.

import { defineOp } from "../op.ts";
import { constant } from "../scalar/build.ts";
import {
  abs,
  add,
  all,
  cast,
  clamp,
  div,
  eq,
  floor,
  gt,
  lt,
  max,
  mul,
  or,
  product,
  rem,
  roundEven,
  select,
  sub,
  trunc,
  within,
} from "../scalar/element.ts";
import type { Scalar } from "../scalar/scalar.ts";
import { tensor, typeToString } from "../types.ts";
import { FLOAT, intsAttr, operandOf, stringAttr } from "./rules.ts";
import { extentsOf, staticShape } from "./static-shape.ts";

/** Folds x back into [low, high] at both ends, as often as it takes. */
function reflect(x: Scalar, low: number, high: number): Scalar {
  if (high <= low) return mul(x, 0);
  const [below, above] = [sub(low, x), sub(x, high)];
  const outside = max(below, above);
  const turns = trunc(div(outside, high - low));
  const left = sub(outside, mul(turns, high - low));
  const even = eq(rem(turns, 2), 0);
  const [fromLow, fromHigh] = [add(left, low), sub(high, left)];
  const folded = select(gt(below, above), select(even, fromLow, fromHigh), select(even, fromHigh, fromLow));
  return select(gt(outside, 0), folded, x);
}

/** Keys' cubic convolution kernel with a = -0.75 at distance t < 2. */
function cubic(t: Scalar): Scalar {
  const a = -0.75;
  const near = add(mul(mul(sub(mul(t, a + 2), a + 3), t), t), 1);
  const far = sub(mul(add(mul(sub(mul(t, a), 5 * a), t), 8 * a), t), 4 * a);
  return select(lt(t, 1), near, far);
}

const TAPS: Readonly<Record<string, number>> = { nearest: 1, linear: 2, cubic: 4 };

export const gridSample = defineOp({
  name: "grid_sample",
  doc:
    "x[n, c, p] for the points p of `grid` ([n, ..., rank], last coordinate first, -1 to 1 across the image: its corner pixels' centres where " +
    "`align_corners`, else its edges). `mode`: nearest, linear, cubic; `padding`: zeros, border, reflection.",
  operands: ["x", "grid"],
  infer(c) {
    const [x, grid] = [staticShape(c, 0), staticShape(c, 1)];
    const rank = x.length - 2;
    operandOf(c, 1, FLOAT);
    stringAttr(c, "padding", ["zeros", "border", "reflection"]);
    if (rank < 1 || grid.length !== x.length || grid.at(-1) !== rank || grid[0] !== x[0]) {
      c.fail(`the grid ${typeToString(c.types[1]!)} does not fit ${typeToString(c.types[0]!)}`);
    }
    if (TAPS[c.attrs.mode as string] === undefined || (c.attrs.mode === "cubic" && rank !== 2))
      c.fail(`mode '${c.attrs.mode}' on ${rank} axes`);
    return tensor(c.types[0]!.dtype, [x[0]!, x[1]!, ...grid.slice(1, -1)]);
  },
  compute(c) {
    const extents = extentsOf(c.types[0]!).slice(2);
    const rank = extents.length;
    const { mode, padding, align_corners: align } = c.attrs;
    const point = (axis: number): Scalar => c.read(1, [c.i[0]!, ...c.i.slice(2), constant("i32", rank - 1 - axis)]);
    const limits = (n: number): readonly [number, number] => (align ? [0, n - 1] : [-0.5, n - 0.5]);
    const centre = extents.map((n, axis): Scalar => {
      const g = add(point(axis), 1);
      const raw = align ? mul(div(g, 2), n - 1) : div(sub(mul(g, n), 1), 2);
      const at = mode === "nearest" ? roundEven(raw) : raw;
      const [low, high] = limits(n);
      if (padding === "border") return select(or(lt(at, low), gt(at, high)), clamp(at, 0, n - 1), at);
      return padding === "reflection" ? reflect(at, low, high) : at;
    });
    /** The element at whole coordinates (floats), padded. */
    const pixel = (at: readonly Scalar[]): Scalar => {
      const folded = padding === "reflection" ? at.map((x, axis) => reflect(x, ...limits(extents[axis]!))) : at;
      const whole = folded.map((x) => cast("i32", x));
      const inside = all(whole.map((i, axis) => within(i, 0, extents[axis]!)));
      // Clamping serves the border, and keeps NaN and rounding of reflections inside.
      const safe = padding === "zeros" ? whole : whole.map((i, axis) => clamp(i, 0, extents[axis]! - 1));
      const x = c.read(0, [c.i[0]!, c.i[1]!, ...safe]);
      return padding === "zeros" ? select(inside, x, constant(x.type, 0)) : x;
    };
    if (mode === "nearest") return pixel(centre);
    const first = mode === "cubic" ? -1 : 0;
    return c.reduce(
      "sum",
      extents.map(() => TAPS[mode as string]!),
      (r) => {
        const at = centre.map((x, axis) => add(floor(x), cast(x.type, add(r[axis]!, first))));
        const distance = centre.map((x, axis) => abs(sub(x, at[axis]!)));
        const x = pixel(at);
        return mul(product(distance.map((t) => cast(x.type, mode === "cubic" ? cubic(t) : sub(1, t)))), x);
      },
    );
  },
});

export const affineGrid = defineOp({
  name: "affine_grid",
  doc:
    "The points [n, ...shape, rank] of `grid_sample` that the affine maps theta [n, rank, rank + 1] take the pixels' centres to; coordinates " +
    "run, last axis first, from -1 to 1 across the image, or between the corner pixels' centres where `align_corners`.",
  operands: ["theta"],
  infer(c) {
    const [theta, shape] = [staticShape(c, 0), intsAttr(c, "shape", undefined, 1)];
    operandOf(c, 0, FLOAT);
    const rank = shape.length;
    if (theta.length !== 3 || theta[1] !== rank || theta[2] !== rank + 1)
      c.fail(`expects [n, ${rank}, ${rank + 1}], got ${typeToString(c.types[0]!)}`);
    return tensor(c.types[0]!.dtype, [theta[0]!, ...shape, rank]);
  },
  compute(c) {
    const shape = c.attrs["shape"] as readonly number[];
    const rank = shape.length;
    const [n, row] = [c.i[0]!, c.i.at(-1)!];
    const entry = (column: number): Scalar => c.read(0, [n, row, constant("i32", column)]);
    /** The coordinate along the axis that is `k`-th from the end. */
    const along = (k: number): Scalar => {
      const extent = shape[rank - 1 - k]!;
      const i = cast(entry(k).type, c.i[rank - k]!);
      if (c.attrs["align_corners"]) return extent === 1 ? constant(i.type, -1) : sub(mul(i, 2 / (extent - 1)), 1);
      return sub(div(add(mul(i, 2), 1), extent), 1);
    };
    return shape.reduce<Scalar>((sum, _, k) => add(sum, mul(entry(k), along(k))), entry(rank));
  },
});

export const gridSampleOps = [gridSample, affineGrid] as const;
