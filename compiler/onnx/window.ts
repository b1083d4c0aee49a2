// Windows as ONNX describes them: strides, dilations and padding with their defaults, automatic padding resolved.

import type { Attrs } from "../../ir/op.ts";
import type { ImportContext } from "./op.ts";

export interface Window {
  readonly kernel: readonly number[];
  readonly strides: readonly number[];
  readonly dilations: readonly number[];
  /** Begins, then ends. */
  readonly pads: readonly number[];
  /** How many windows there are along each axis. */
  readonly shape: readonly number[];
}

export type AutoPad = "NOTSET" | "SAME_UPPER" | "SAME_LOWER" | "VALID";

export function autoPadOf(c: ImportContext): AutoPad {
  const mode = c.string("auto_pad", "NOTSET");
  if (mode !== "NOTSET" && mode !== "SAME_UPPER" && mode !== "SAME_LOWER" && mode !== "VALID")
    return c.bad(`attribute 'auto_pad' is ${JSON.stringify(mode)}`);
  return mode;
}

/** A list attribute with an integer >= `least` for each of `n` axes. */
export function perAxis(c: ImportContext, name: string, n: number, otherwise: number, least = 1): readonly number[] {
  const values = c.ints(
    name,
    Array.from({ length: n }, () => otherwise),
  );
  // Some exporters write an empty list for the default.
  if (values.length === 0) return Array.from({ length: n }, () => otherwise);
  if (values.length !== n || values.some((v) => !Number.isSafeInteger(v) || v < least))
    c.bad(`attribute '${name}' is [${values}], expected ${n} integers >= ${least}`);
  return values;
}

/** A total split in two, the odd one at the end (or at the begin). */
export const halves = (total: readonly number[], oddFirst: boolean): readonly number[] => [
  ...total.map((t) => (oddFirst ? Math.ceil(t / 2) : Math.floor(t / 2))),
  ...total.map((t) => (oddFirst ? Math.floor(t / 2) : Math.ceil(t / 2))),
];

/** The windows over an input of `extents` spatial extents. With `ceil`, one that starts inside but ends outside counts. */
export function windowOf(c: ImportContext, extents: readonly number[], kernel: readonly number[], ceil = false): Window {
  const n = extents.length;
  if (kernel.length !== n || kernel.some((k) => k < 1)) c.bad(`a kernel of shape [${kernel}] for ${n} spatial axes`);
  const strides = perAxis(c, "strides", n, 1);
  const dilations = perAxis(c, "dilations", n, 1);
  const span = kernel.map((k, axis) => (k - 1) * dilations[axis]! + 1);
  const mode = autoPadOf(c);
  if (mode === "SAME_UPPER" || mode === "SAME_LOWER") {
    const shape = extents.map((d, axis) => Math.ceil(d / strides[axis]!));
    const total = shape.map((o, axis) => Math.max(0, (o - 1) * strides[axis]! + span[axis]! - extents[axis]!));
    return { kernel, strides, dilations, pads: halves(total, mode === "SAME_LOWER"), shape };
  }
  const given = mode === "VALID" ? [] : c.ints("pads", []);
  const pads = given.length === 0 ? Array.from({ length: 2 * n }, () => 0) : given;
  if (pads.length !== 2 * n) c.bad(`attribute 'pads' is [${pads}], expected ${2 * n} integers`);
  const shape = extents.map((d, axis) => {
    const steps = (d + pads[axis]! + pads[axis + n]! - span[axis]!) / strides[axis]!;
    const count = (ceil ? Math.ceil(steps) : Math.floor(steps)) + 1;
    const outside = ceil && (count - 1) * strides[axis]! >= d + pads[axis]!;
    return Math.max(0, outside ? count - 1 : count);
  });
  return { kernel, strides, dilations, pads, shape };
}

/** The attributes that our windowed operators share. */
export const windowAttrs = ({ strides, dilations, pads }: Window): Attrs => ({ strides, dilations, pads });
