// How fast kernels are, as measured on a machine: the one table that decisions and predictions read.

import { DEFAULTS } from "./defaults.ts";
import type { BlockRate } from "./device.ts";

/** A quantity by another that grows: linear in between, constant beyond both ends. */
export type Curve = readonly (readonly [x: number, y: number])[];

/** Costs of one variant. Rates are of one thread, in GFLOP/s (two operations for each multiplication and addition), and GB/s. */
export interface Costs {
  /** Rate of dense products by the number of right-hand sides: pixels of a convolution, rows of the other operand. */
  readonly dense: Curve;
  /** The same for up to three of them, where the weights lie beyond the second-level cache. */
  readonly denseFar: number;
  /**
   * Rate of sparse products on the elements that they keep, over the dense rate, by the number of right-hand sides: of single elements, and
   * of blocks of several rows that share an index.
   */
  readonly single: Curve;
  readonly shared: Curve;
  /** The same for up to three right-hand sides, by the rows that share an index: weights within the second-level cache, and beyond. */
  readonly few: readonly (readonly [rows: number, near: number, far: number])[];
  /** The same for blocks of four and more columns of one row. */
  readonly along: { readonly near: number; readonly far: number };
  /** Rate of depthwise and other grouped convolutions. */
  readonly grouped: number;
  /** What kernels without products read and write, a vector or an element at a time; and what goes beyond the second-level cache. */
  readonly vectors: number;
  readonly elements: number;
  readonly memory: number;
  /** Nanoseconds of a function such as exp, for each element. */
  readonly functions: number;
  /** Microseconds of entering a kernel. */
  readonly start: number;
  /** What bringing values from the host to a device takes, or back: microseconds each time, and GB/s. */
  readonly transfer?: Transfer;
}

export interface Transfer {
  readonly latency: number;
  readonly rate: number;
}

/** What `sparsec calibrate` writes. */
export interface CostFile {
  readonly version: 1;
  /** Where it was measured. */
  readonly machine: string;
  /** By backend and variant: `wasm:relaxed`. */
  readonly variants: Readonly<Record<string, Costs>>;
  /** By variant of a backend of devices: how fast sparse kernels are there. What ships, where left out (see device.ts). */
  readonly devices?: Readonly<Record<string, readonly BlockRate[]>>;
}

/** The costs of a variant: measured ones, else those that ship for it or for its backend; a backend that has neither is taken for wasm. */
export function costsFor(variant: string, file: CostFile | undefined): Costs {
  // `wasm:relaxed-dots` does what `wasm:relaxed` does, and more.
  const names = [variant, variant.replace(/-[^:]*$/, "")];
  const measured = names.flatMap((name) => (file && Object.hasOwn(file.variants, name) ? [file.variants[name]!] : []))[0];
  const backend = variant.slice(0, variant.indexOf(":") + 1);
  const [, related] = [...DEFAULTS].find(([name]) => name.startsWith(backend)) ?? [];
  return measured ?? DEFAULTS.get(names[0]!) ?? DEFAULTS.get(names[1]!) ?? related ?? DEFAULTS.get("wasm:baseline")!;
}

export function interpolate(curve: Curve, x: number): number {
  const above = curve.findIndex(([n]) => n >= x);
  if (above < 0) return curve.at(-1)![1];
  if (above === 0) return curve[0]![1];
  const [[x0, y0], [x1, y1]] = [curve[above - 1]!, curve[above]!];
  return y0 + ((y1 - y0) * (x - x0)) / (x1 - x0);
}

/** The most right-hand sides that the kernels for few of them take. */
export const MOST_FEW = 3;

/** Elements of matrices that lie well within a second-level cache, and well beyond. */
const [NEAR, FAR] = [2 ** 17, 2 ** 19];

/** From 0, where a matrix lies within the second-level cache, to 1, where it lies beyond. */
export const away = (elements: number): number => Math.min(1, Math.max(0, Math.log2(elements / NEAR) / Math.log2(FAR / NEAR)));
