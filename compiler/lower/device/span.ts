// Several axes of a storage as one: an index into all of them as bytes.

import { add, div, i32, mul, rem } from "../../../ir/kernel/build.ts";
import type { Expr } from "../../../ir/kernel/types.ts";
import { affineOf } from "../generic/affine.ts";
import type { Storage } from "../storage.ts";

/** Axes longer than 1, outermost first, with bytes between neighbours; those that follow each other at one distance are one. */
export interface Span {
  readonly shape: readonly number[];
  readonly strides: readonly number[];
}

export function spanOf(shape: readonly number[], strides: readonly number[]): Span {
  const merged: { extent: number; stride: number }[] = [];
  shape.forEach((extent, axis) => {
    const stride = strides[axis]!;
    const before = merged.at(-1);
    if (extent === 1) return;
    if (before && before.stride === stride * extent) merged[merged.length - 1] = { extent: before.extent * extent, stride };
    else merged.push({ extent, stride });
  });
  return { shape: merged.map((m) => m.extent), strides: merged.map((m) => m.stride) };
}

/** Axes `from` to before `to` of a storage. */
export const axesOf = (s: Storage, from: number, to: number): Span => spanOf(s.shape.slice(from, to), s.strides.slice(from, to));

export const extentOf = (span: Span): number => span.shape.reduce((a, b) => a * b, 1);

/** The sum of multiples of what cannot be taken apart, so that factors common to all of them are seen. */
export function linear(e: Expr): Expr {
  const { constant, terms } = affineOf(e);
  const sum = terms.reduce<Expr | undefined>((before, { of, by }) => {
    const term = by === 1 ? of : mul(of, i32(by));
    return before ? add(before, term) : term;
  }, undefined);
  if (!sum) return i32(constant);
  return constant === 0 ? sum : add(sum, i32(constant));
}

/** Coordinates of element `index` of a shape, row-major. */
export function unravel(index: Expr, shape: readonly number[]): Expr[] {
  const number = linear(index);
  let rest = shape.reduce((a, b) => a * b, 1);
  let outermost = true;
  return shape.map((extent) => {
    rest /= extent;
    if (extent === 1) return i32(0);
    const whole = rest === 1 ? number : div(number, i32(rest));
    const coordinate = outermost ? whole : rem(whole, i32(extent));
    outermost = false;
    return coordinate;
  });
}

/** Bytes from the first element to element `index`. */
export const bytesAt = (span: Span, index: Expr): Expr =>
  linear(unravel(index, span.shape).reduce<Expr>((sum, x, axis) => add(sum, mul(x, i32(span.strides[axis]!))), i32(0)));

/** A span of neighbours, of `size` bytes each, as one of vectors of four, or undefined where they do not come in whole, aligned vectors. */
export function vectorsOf(span: Span, size = 4): Span | undefined {
  const last = span.shape.length - 1;
  if (
    last < 0 ||
    span.strides[last] !== size ||
    span.shape[last]! % 4 !== 0 ||
    !isAligned({ shape: [], strides: span.strides.slice(0, last) }, size)
  )
    return undefined;
  return spanOf([...span.shape.slice(0, last), span.shape[last]! / 4], [...span.strides.slice(0, last), 4 * size]);
}

/** Whether all steps are of whole vectors. */
export const isAligned = (span: Span, size = 4): boolean => span.strides.every((s) => s % (4 * size) === 0);

/** The same in elements of four bytes, whose sums may be kept and are seen to be whole elements all the same. */
export const inElements = (span: Span): Span => ({ shape: span.shape, strides: span.strides.map((s) => s / 4) });
export const inBytes = (elements: Expr): Expr => linear(mul(elements, i32(4)));
