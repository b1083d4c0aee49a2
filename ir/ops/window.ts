// Sliding windows over spatial axes: the arithmetic that convolution and pooling share.

import type { Attrs, InferContext } from "../op.ts";
import { add, and, compare, i32, max, min, mul, sub } from "../scalar/build.ts";
import type { Scalar } from "../scalar/scalar.ts";
import { intsAttr } from "./rules.ts";

export interface Window {
  readonly kernel: readonly number[];
  readonly strides: readonly number[];
  /** Begin of each axis, then end of each; negative pads crop. */
  readonly pads: readonly number[];
  readonly dilations: readonly number[];
}

export const windowOf = (attrs: Attrs, kernel: readonly number[]): Window => ({
  kernel,
  strides: attrs["strides"] as readonly number[],
  pads: attrs["pads"] as readonly number[],
  dilations: attrs["dilations"] as readonly number[],
});

/** Checks `strides`, `pads` and `dilations` for `n` spatial axes. */
export function checkWindow(c: InferContext, n: number): void {
  intsAttr(c, "strides", n, 1);
  intsAttr(c, "dilations", n, 1);
  intsAttr(c, "pads", 2 * n);
}

/** Extent of the dilated kernel. */
export const spanOf = (w: Window, axis: number): number => (w.kernel[axis]! - 1) * w.dilations[axis]! + 1;

/** How many windows fit on axis `axis` of extent `extent`; 0 if none. */
export const windows = (w: Window, axis: number, extent: number): number =>
  Math.max(0, Math.floor((extent + w.pads[axis]! + w.pads[axis + w.kernel.length]! - spanOf(w, axis)) / w.strides[axis]!) + 1);

/** o * stride + k * dilation - pad: where window `o` meets the input with element `k` of the kernel. */
export const position = (w: Window, axis: number, o: Scalar, k: Scalar): Scalar =>
  sub<Scalar>(add<Scalar>(mul<Scalar>(o, i32(w.strides[axis]!)), mul<Scalar>(k, i32(w.dilations[axis]!))), i32(w.pads[axis]!));

/** Whether a window can reach outside the input on this axis. */
export function reachesOutside(w: Window, axis: number, extent: number, outputs: number): boolean {
  const last = (outputs - 1) * w.strides[axis]! - w.pads[axis]! + spanOf(w, axis) - 1;
  return w.pads[axis]! > 0 || last >= extent;
}

/** All of `tests`; undefined if there are none. */
export const all = (tests: readonly Scalar[]): Scalar | undefined =>
  tests.length === 0 ? undefined : tests.reduce((a, b) => and<Scalar>(a, b));

/** Tests that the positions lie inside, for the axes on which they may not. */
export function inside(w: Window, at: readonly Scalar[], extents: readonly number[], outputs: readonly number[]): Scalar | undefined {
  return all(
    at.flatMap((p, axis) => {
      if (!reachesOutside(w, axis, extents[axis]!, outputs[axis]!)) return [];
      return [compare<Scalar>("ge", p, i32(0)), compare<Scalar>("lt", p, i32(extents[axis]!))];
    }),
  );
}

/** The position moved to the nearest one inside. */
export const clampInside = (p: Scalar, extent: number): Scalar => max<Scalar>(i32(0), min<Scalar>(p, i32(extent - 1)));
