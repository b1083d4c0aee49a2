// Pooling of regions of interest by bilinear samples.

import { defineOp } from "../op.ts";
import { i32 } from "../scalar/build.ts";
import { add, cast, ceil, clamp, div, eq, floor, gt, literal, lt, max, min, mul, or, select, sub } from "../scalar/element.ts";
import type { Scalar } from "../scalar/scalar.ts";
import { tensor, typeToString } from "../types.ts";
import { intAttr, numberAttr, sharedDType, stringAttr } from "./rules.ts";
import { extentsOf, staticShape } from "./static-shape.ts";

export const roiAlign = defineOp({
  name: "roi_align",
  doc:
    "For each region (x1, y1, x2, y2) of `rois`, in image `batch[r]` (i64) of x, `height` x `width` bins; each the mean (`avg`) of bilinear " +
    "samples on a regular grid, or the largest weighted corner (`max`). `ratio` samples a side, or as many as the bin has pixels when 0. " +
    "`half_pixel` shifts the regions by half a pixel; without it they are at least 1 x 1.",
  operands: ["x", "rois", "batch"],
  infer(c) {
    const [x, rois] = [staticShape(c, 0), staticShape(c, 1)];
    sharedDType(c, [0, 1]);
    stringAttr(c, "mode", ["avg", "max"]);
    numberAttr(c, "scale");
    intAttr(c, "ratio", 0);
    if (x.length !== 4 || rois.length !== 2 || rois[1] !== 4)
      c.fail(`regions ${typeToString(c.types[1]!)} of ${typeToString(c.types[0]!)}`);
    if (c.types[2]!.dtype !== "i64" || staticShape(c, 2).length !== 1 || staticShape(c, 2)[0] !== rois[0])
      c.fail(`the batch indices must be i64[${rois[0]}], got ${typeToString(c.types[2]!)}`);
    return tensor(c.types[0]!.dtype, [rois[0]!, x[1]!, intAttr(c, "height", 1), intAttr(c, "width", 1)]);
  },
  compute(c) {
    const [, , ...extents] = extentsOf(c.types[0]!);
    const { ratio, scale, half_pixel: half, mode } = c.attrs as Record<string, number | boolean | string>;
    const bins = [c.attrs.height as number, c.attrs.width as number];
    const corner = (k: number): Scalar => sub(mul(c.read(1, [c.i[0]!, i32(k)]), scale as number), half ? 0.5 : 0);
    /** Axis 0 is y, 1 is x: where the bin starts, its size, and its samples. */
    const axes = [0, 1].map((axis) => {
      const start = corner(1 - axis);
      const size = sub(corner(3 - axis), start);
      const bin = div(half ? size : max(size, 1), bins[axis]!);
      const samples = (ratio as number) > 0 ? i32(ratio as number) : cast("i32", ceil(bin));
      return { start: add(start, mul(cast(bin.type, c.i[2 + axis]!), bin)), bin, samples };
    });
    const image = cast("i32", c.read(2, [c.i[0]!]));
    const type = axes[0]!.bin.type;
    /** Calls `combine` with the coordinates, clamped, of a sample, or gives 0 off the image. */
    const sample = (r: readonly Scalar[], combine: (at: readonly Scalar[]) => Scalar): Scalar => {
      const raw = axes.map(({ start, bin, samples }, axis) =>
        add(start, div(mul(add(cast(type, r[axis]!), 0.5), bin), cast(type, samples))),
      );
      const outside = or(or(lt(raw[0]!, -1), gt(raw[0]!, extents[0]!)), or(lt(raw[1]!, -1), gt(raw[1]!, extents[1]!)));
      return select(outside, literal(type, 0), combine(raw.map((x, axis) => clamp(x, 0, extents[axis]! - 1))));
    };
    /** The share of corner (r0, r1) of the pixel that `at` lies in. */
    const share = (at: readonly Scalar[], r: readonly Scalar[]): Scalar => {
      const low = at.map((x) => floor(x));
      const weight = at.map((x, axis) => select(eq(r[axis]!, 0), sub(1, sub(x, low[axis]!)), sub(x, low[axis]!)));
      const where = low.map((x, axis) => min(add(cast("i32", x), r[axis]!), extents[axis]! - 1));
      const safe = where.map((i) => max(i, 0));
      return mul(mul(weight[0]!, weight[1]!), cast(type, c.read(0, [image, c.i[1]!, ...safe])));
    };
    const samples = axes.map((a) => a.samples);
    const count = mul(samples[0]!, samples[1]!);
    const pooled = c.reduce(mode === "max" ? "max" : "sum", samples, (r) =>
      sample(r, (at) => c.reduce(mode === "max" ? "max" : "sum", [2, 2], (k) => share(at, k))),
    );
    return mode === "max" ? select(gt(count, 0), pooled, literal(type, 0)) : div(pooled, cast(type, max(count, 1)));
  },
});

export const roiAlignOps = [roiAlign] as const;
