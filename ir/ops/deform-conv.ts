// Convolution whose taps are moved by offsets, and the inverse of unfolding.

import { defineOp } from "../op.ts";
import { i32 } from "../scalar/build.ts";
import { abs, add, all, cast, div, eq, floor, literal, mul, product, rem, select, sub, within } from "../scalar/element.ts";
import type { Scalar } from "../scalar/scalar.ts";
import { tensor, typeToString } from "../types.ts";
import { FLOAT, intAttr, intsAttr, operandOf, sharedDType } from "./rules.ts";
import { extentsOf, staticShape } from "./static-shape.ts";

/** Row-major position of coordinates within extents. */
const flat = (at: readonly Scalar[], extents: readonly number[]): Scalar =>
  at.reduce((sum, i, axis) => add(mul(sum, extents[axis]!), i), i32(0) as Scalar);

export const deformConv = defineOp({
  name: "deform_conv",
  doc:
    "Convolution of x [n, c, ...] with w [m, c/group, ...] where each tap reads x, bilinearly and zero outside, at its place plus an offset: " +
    "`offset` is [n, offset_group * taps * rank, ...]; `mask`, [n, offset_group * taps, ...], scales each read.",
  operands: ["x", "w", "offset", "bias?", "mask?"],
  infer(c) {
    operandOf(c, 0, FLOAT);
    sharedDType(c);
    const [x, w, offset] = [staticShape(c, 0), staticShape(c, 1), staticShape(c, 2)];
    const [group, offsets] = [intAttr(c, "group", 1), intAttr(c, "offset_group", 1)];
    const taps = w.slice(2).reduce((a, b) => a * b, 1);
    const rank = x.length - 2;
    if (rank < 1 || w.length !== x.length || offset.length !== x.length)
      c.fail(`x ${typeToString(c.types[0]!)}, w ${typeToString(c.types[1]!)}, offset ${typeToString(c.types[2]!)}`);
    if (x[1] !== w[1]! * group || w[0]! % group !== 0)
      c.fail(`${x[1]} channels with weights ${typeToString(c.types[1]!)} in ${group} groups`);
    if (x[1]! % offsets !== 0 || offset[1] !== offsets * taps * rank)
      c.fail(`offsets ${typeToString(c.types[2]!)} in ${offsets} groups of ${taps} taps`);
    const [strides, pads, dilations] = [intsAttr(c, "strides", rank, 1), intsAttr(c, "pads", 2 * rank), intsAttr(c, "dilations", rank, 1)];
    const out = strides.map((s, a) => Math.floor((x[2 + a]! + pads[a]! + pads[rank + a]! - dilations[a]! * (w[2 + a]! - 1) - 1) / s) + 1);
    if (out.some((d, a) => d !== offset[2 + a]) || offset[0] !== x[0])
      c.fail(`offsets ${typeToString(c.types[2]!)} for an output of [${out}]`);
    if (c.types[3] && (staticShape(c, 3).length !== 1 || staticShape(c, 3)[0] !== w[0]))
      c.fail(`the bias ${typeToString(c.types[3])} of ${w[0]} channels`);
    if (c.types[4] && staticShape(c, 4).length !== rank + 2) c.fail(`the mask ${typeToString(c.types[4])} has too few axes`);
    if (c.types[4] && (staticShape(c, 4)[1] !== offsets * taps || out.some((d, a) => d !== staticShape(c, 4)[2 + a])))
      c.fail(`the mask ${typeToString(c.types[4])} does not fit`);
    return tensor(c.types[0]!.dtype, [x[0]!, w[0]!, ...out]);
  },
  compute(c) {
    const [x, w] = [extentsOf(c.types[0]!), extentsOf(c.types[1]!)];
    const kernel = w.slice(2);
    const taps = kernel.reduce((a, b) => a * b, 1);
    const rank = kernel.length;
    const { group, offset_group: offsets } = c.attrs as Record<string, number>;
    const [strides, pads, dilations] = [c.attrs.strides as number[], c.attrs.pads as number[], c.attrs.dilations as number[]];
    const [n, m, ...out] = c.i as [Scalar, Scalar, ...Scalar[]];
    const sum = c.reduce("sum", w.slice(1), ([channel, ...tap]) => {
      const source = add(mul(div(m, w[0]! / group!), w[1]!), channel!);
      const block = add(mul(div(source, x[1]! / offsets!), taps), flat(tap, kernel));
      const at = out.map((o, a) => {
        const shift = c.read(2, [n, add(mul(block, rank), a), ...out]);
        return add(cast(shift.type, add(sub(mul(o, strides[a]!), pads[a]!), mul(tap[a]!, dilations[a]!))), shift);
      });
      const value = c.reduce(
        "sum",
        kernel.map(() => 2),
        (r) => {
          const whole = at.map((p, a) => add(floor(p), cast(p.type, r[a]!)));
          const where = whole.map((p) => cast("i32", p));
          const weight = product(at.map((p, a) => sub(1, abs(sub(p, whole[a]!)))));
          return select(
            all(where.map((i, a) => within(i, 0, x[2 + a]!))),
            mul(weight, c.read(0, [n, source, ...where])),
            literal(weight.type, 0),
          );
        },
      );
      const weighted = mul(value, c.read(1, [m, channel!, ...tap]));
      return c.types[4] ? mul(weighted, c.read(4, [n, block, ...out])) : weighted;
    });
    return c.types[3] ? add(sum, c.read(3, [m])) : sum;
  },
});

export const col2im = defineOp({
  name: "col2im",
  doc:
    "Sums blocks back into an image: x is [n, c * taps, blocks], the result [n, c, ...shape]. Each block is `kernel` large, taken at " +
    "`strides` with `dilations` from the image padded by `pads` (begins, then ends).",
  operands: ["x"],
  infer(c) {
    const x = staticShape(c, 0);
    const shape = intsAttr(c, "shape", undefined, 1);
    const kernel = intsAttr(c, "kernel", shape.length, 1);
    for (const name of ["strides", "dilations"]) intsAttr(c, name, shape.length, 1);
    intsAttr(c, "pads", 2 * shape.length);
    const taps = kernel.reduce((a, b) => a * b, 1);
    const blocks = blockCounts(c.attrs as never).reduce((a, b) => a * b, 1);
    if (x.length !== 3 || x[1]! % taps !== 0 || x[2] !== blocks)
      c.fail(`expects [n, c * ${taps}, ${blocks}], got ${typeToString(c.types[0]!)}`);
    return tensor(c.types[0]!.dtype, [x[0]!, x[1]! / taps, ...shape]);
  },
  compute(c) {
    const [kernel, strides, pads, dilations] = [
      c.attrs.kernel as number[],
      c.attrs.strides as number[],
      c.attrs.pads as number[],
      c.attrs.dilations as number[],
    ];
    const blocks = blockCounts(c.attrs as never);
    const taps = kernel.reduce((a, b) => a * b, 1);
    const [n, channel, ...at] = c.i as [Scalar, Scalar, ...Scalar[]];
    return c.reduce("sum", kernel, (tap) => {
      const start = at.map((p, a) => sub(add(p, pads[a]!), mul(tap[a]!, dilations[a]!)));
      const block = start.map((s, a) => div(s, strides[a]!));
      const hit = all(start.flatMap((s, a) => [eq(rem(s, strides[a]!), 0), within(s, 0, blocks[a]! * strides[a]!)]));
      const x = c.read(0, [n, add(mul(channel, taps), flat(tap, kernel)), flat(block, blocks)]);
      return select(hit, x, literal(x.type, 0));
    });
  },
});

interface Unfolding {
  readonly shape: readonly number[];
  readonly kernel: readonly number[];
  readonly strides: readonly number[];
  readonly pads: readonly number[];
  readonly dilations: readonly number[];
}
const blockCounts = ({ shape, kernel, strides, pads, dilations }: Unfolding): number[] =>
  shape.map((d, a) => Math.floor((d + pads[a]! + pads[shape.length + a]! - dilations[a]! * (kernel[a]! - 1) - 1) / strides[a]!) + 1);

export const deformConvOps = [deformConv, col2im] as const;
