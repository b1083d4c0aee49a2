// The input of a convolution as the right side of a product: a line for each pixel of the result, of the elements under all taps.

import { add, advance, bitcast, compare, constant, i32, load, lt, mul, pointer, sub, variable } from "../../../ir/kernel/build.ts";
import type { Expr } from "../../../ir/kernel/types.ts";
import type { Binding } from "../template.ts";
import { type ConvSpec, coordsOfQuad, isPadded } from "./conv-spec.ts";
import { gathered, guarded, type Reach, type Side, strided } from "./operand.ts";
import { bytesAt, inBytes, inElements, spanOf, unravel } from "./span.ts";

/** Whether 0 <= x < extent. */
export const isWithin = (x: Expr, extent: number): Expr => compare("lt", bitcast("u32", x), constant("u32", extent));

/** The batch is of images, and of groups within. */
export function pixels(name: string, binding: Binding, spec: ConvSpec, reach: Reach): Side {
  const { input, axes, groups, inputs } = spec;
  const [images] = input.shape as [number];
  const [perImage, perChannel] = input.strides as [number, number];
  const batch = spanOf([images, groups], [perImage, inputs * perChannel]);
  const shape = axes.map((a) => a.out);
  if (axes.every((a) => a.taps === 1 && !isPadded(a))) {
    const strides = axes.map((a) => a.stride * a.pitch);
    const at = { offset: input.offset, bytes: input.bytes, batch, line: spanOf(shape, strides), depth: spanOf([inputs], [perChannel]) };
    return strided(name, binding, at, reach);
  }
  const count = shape.reduce((a, b) => a * b, 1);
  const kernel = axes.map((a) => a.taps);
  const depths = kernel.reduce((a, b) => a * b, inputs);
  const ptr = variable(name, "ptr");
  const whole = shape.at(-1)! % 4 === 0;
  const bounded = count % reach.lines === 0 ? undefined : i32(count);
  return {
    deep: false,
    params: [pointer(name, "read", input.bytes)],
    bindings: [binding],
    open(em, image, quad) {
      // In elements, so that every address is seen to be a whole one.
      const base = em.keep(add(i32(input.offset / 4), bytesAt(inElements(batch), image)));
      const pitch = (k: number): Expr => i32(axes[k]!.pitch / 4);
      /** Where the first taps of pixels fall: those of four in a row from the first one's place on. */
      const place = (coords: readonly Expr[], pixel: Expr) => {
        const first = coords.map((x, k) => em.named("o", sub(mul(x, i32(axes[k]!.stride)), i32(axes[k]!.pad))));
        const inside = bounded && em.named("in", lt(pixel, bounded));
        const at = em.named(
          "at",
          first.reduce((sum, x, k) => add(sum, mul(x, pitch(k))), base),
        );
        return { first, inside, at };
      };
      const pixel = (lane: number): Expr => add(mul(quad, i32(4)), i32(lane));
      const row = whole ? place(coordsOfQuad(spec, quad), pixel(0)) : undefined;
      const places = row ? [] : [0, 1, 2, 3].map((lane) => place(unravel(pixel(lane), shape), pixel(lane)));
      const last = axes.length - 1;
      return (depth) => {
        const k = em.named("d", depth);
        const fetch = (): Expr => {
          const [channel, ...taps] = unravel(k, [inputs, ...kernel]) as [Expr, ...Expr[]];
          const shifts = taps.map((t, a) => em.named("s", mul(t, i32(axes[a]!.dilation))));
          const shift = em.named(
            "by",
            shifts.reduce((sum, s, a) => add(sum, mul(s, pitch(a))), mul(channel, i32(perChannel / 4))),
          );
          return gathered(em, (lane) => {
            const p = row ?? places[lane]!;
            const beside = row ? lane * axes[last]!.stride : 0;
            const when = axes.flatMap((a, n) => {
              const at = add(p.first[n]!, shifts[n]!);
              return isPadded(a) ? [isWithin(n === last ? add(at, i32(beside)) : at, a.extent)] : [];
            });
            return {
              when: p.inside ? [p.inside, ...when] : when,
              read: () => load("f32", advance(ptr, inBytes(add(add(p.at, shift), mul(i32(beside), pitch(last)))))),
            };
          });
        };
        return depths % reach.depth === 0 ? fetch() : guarded(em, [lt(k, i32(depths))], fetch);
      };
    },
  };
}
