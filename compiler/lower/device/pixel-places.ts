// Where the pixels of a convolution lie in its input and its result, and which taps of each lie inside the input.

import { add, and, binary, compare, div, i32, lt, min, mul, rem, select } from "../../../ir/kernel/build.ts";
import type { Expr } from "../../../ir/kernel/types.ts";
import type { Emitter } from "../generic/emitter.ts";
import type { Storage } from "../storage.ts";
import type { ConvShape, ConvSpec } from "../templates/conv-spec.ts";

/** A pixel, or four neighbours; distances are in units of as many elements. */
export interface PixelPlace {
  /** What must hold for it to be one; a thread without reads the last one. */
  readonly inside: readonly Expr[];
  readonly image: Expr;
  /** Row and column of the result. */
  readonly coords: readonly Expr[];
  /** From the input's start to its first tap of channel 0, and from the result's element 0 to its own of channel 0. */
  readonly from: Expr;
  readonly to: Expr;
  /** A bit for each tap: whether it lies inside the input. Undefined where all do. */
  readonly mask: Expr | undefined;
}

/** Whether four neighbouring pixels are 16 aligned bytes of input and result, and no tap moves them out of their row. */
export function hasVectors(spec: ConvSpec, s: ConvShape): boolean {
  const whole = ({ shape, strides, offset }: Storage): boolean => {
    const [n, c, h, w] = shape as [number, number, number, number];
    const apart = [n > 1 ? strides[0]! : 0, c > 1 ? strides[1]! : 0, offset];
    return strides[3] === 4 && (h === 1 || strides[2] === 4 * w) && (h * w) % 4 === 0 && apart.every((x) => x % 16 === 0);
  };
  const plain = s.kh === 1 && s.kw === 1 && [...spec.pads, ...spec.strides.map((x) => x - 1)].every((x) => x === 0);
  return plain && whole(spec.input) && whole(spec.output);
}

/** Strides in units of `unit` bytes; along axes of one element they mean nothing. */
export const inUnits = ({ strides, shape }: Storage, unit: number): [number, number, number, number] =>
  strides.map((x, axis) => (shape[axis] === 1 ? 0 : x / unit)) as [number, number, number, number];

export const isPadded = (spec: ConvSpec): boolean => spec.pads.some((p) => p > 0);

/** The place of pixel, or vector of `lanes` pixels, number `wanted`. `ends`: whether there may be no such. */
export function placePixel(em: Emitter, spec: ConvSpec, s: ConvShape, lanes: 1 | 4, wanted: Expr, ends: boolean): PixelPlace {
  const { input, output, pads, strides } = spec;
  const [[sn, , sy, sx], [tn, , ty, tx]] = [inUnits(input, 4 * lanes), inUnits(output, 4 * lanes)];
  const count = (s.n * s.ho * s.wo) / lanes;
  const inside = ends ? [lt(wanted, i32(count))] : [];
  const at = em.named("at", ends ? min(wanted, i32(count - 1)) : wanted);
  const offset = i32(input.offset / (4 * lanes));
  if (lanes === 4) {
    const [image, i] = em.coordinates(at, [s.n, (s.h * s.w) / 4], [0, 1]) as [Expr, Expr];
    const first = mul(i, i32(4));
    return {
      inside,
      image,
      coords: s.h === 1 ? [i32(0), first] : [div(first, i32(s.wo)), rem(first, i32(s.wo))],
      from: em.named("from", add(add(mul(image, i32(sn)), i), offset)),
      to: add(mul(image, i32(tn)), i),
      mask: undefined,
    };
  }
  const [image, y, x] = em.coordinates(at, [s.n, s.ho, s.wo], [0, 1, 2]) as [Expr, Expr, Expr];
  const top = em.named("top", add(mul(y, i32(strides[0])), i32(-pads[0])));
  const left = em.named("left", add(mul(x, i32(strides[1])), i32(-pads[1])));
  return {
    inside,
    image,
    coords: [y, x],
    from: em.named("from", add(add(mul(image, i32(sn)), mul(top, i32(sy))), add(mul(left, i32(sx)), offset))),
    to: add(mul(image, i32(tn)), add(mul(y, i32(ty)), mul(x, i32(tx)))),
    mask: isPadded(spec) ? maskOf(em, spec, s, top, left) : undefined,
  };
}

/** A bit for each tap of a pixel whose first tap lies at (`top`, `left`). */
function maskOf(em: Emitter, spec: ConvSpec, s: ConvShape, top: Expr, left: Expr): Expr {
  const bits = (start: Expr, taps: number, apart: number, extent: number, bit: (k: number) => Expr): Expr =>
    Array.from({ length: taps }, (_, k) => {
      const at = add(start, i32(k * apart));
      return select(and(compare("ge", at, i32(0)), lt(at, i32(extent))), bit(k), i32(0));
    }).reduce((a, b) => binary("or", a, b));
  const columns = em.named(
    "columns",
    bits(left, s.kw, spec.dilations[1], s.w, (k) => i32(2 ** k)),
  );
  return em.named(
    "mask",
    bits(top, s.kh, spec.dilations[0], s.h, (k) => mul(columns, i32(2 ** (k * s.kw)))),
  );
}
