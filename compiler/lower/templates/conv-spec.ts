// What the convolution templates are asked for, and the shapes that follow from it.

import type { Capabilities } from "../../backend.ts";
import type { Storage } from "../storage.ts";
import type { Epilogue } from "../template.ts";
import type { Grouping } from "./tap-lists.ts";
import type { TilePlan } from "./tiles.ts";

export type Pair = readonly [y: number, x: number];

/** A 2-d convolution with constant weights. Operand 0 is the input, result 0 the output; both are f32 with four axes. */
export interface ConvSpec {
  /** Name of the entry function, and prefix of those it calls. */
  readonly name: string;
  /** [N, C, H, W]. */
  readonly input: Storage;
  /** [N, M, Ho, Wo]; vectors run along W, which had better be contiguous. */
  readonly output: Storage;
  /** [M, C / groups, KH, KW], row-major. */
  readonly weights: Float32Array;
  readonly kernel: Pair;
  readonly strides: Pair;
  readonly dilations: Pair;
  /** Implicit zeros above, left, below and right of the input. */
  readonly pads: readonly [top: number, left: number, bottom: number, right: number];
  readonly groups: number;
  /** Rows and columns (of [M, C / groups * KH * KW]) of the blocks in which zeros lie. Default single elements. */
  readonly block?: readonly [rows: number, columns: number];
  /** One number an output channel, the first summand of its sums. */
  readonly bias?: Float32Array;
  readonly epilogue: Epilogue;
  readonly target: Capabilities;
  /** Tiles other than the ones that the cost model picks. */
  readonly plan?: TilePlan;
  /** Sparse: output channels computed at once, other than the cost model picks. */
  readonly grouping?: Grouping;
}

export interface ConvShape {
  readonly n: number;
  readonly c: number;
  readonly h: number;
  readonly w: number;
  readonly m: number;
  readonly ho: number;
  readonly wo: number;
  readonly kh: number;
  readonly kw: number;
  /** Channels, input and output, of one group. */
  readonly groupIn: number;
  readonly groupOut: number;
}

/** The extents of a convolution, or undefined where the templates have nothing to work on (other dtypes, empty tensors). */
export function convShape(spec: ConvSpec): ConvShape | undefined {
  const { input, output, groups } = spec;
  if (input.dtype !== "f32" || output.dtype !== "f32") return undefined;
  if (input.shape.length !== 4 || output.shape.length !== 4) return undefined;
  const [n, c, h, w] = input.shape as [number, number, number, number];
  const [, m, ho, wo] = output.shape as [number, number, number, number];
  if ([n, c, h, w, m, ho, wo].some((d) => d < 1)) return undefined;
  const [kh, kw] = spec.kernel;
  return { n, c, h, w, m, ho, wo, kh, kw, groupIn: c / groups, groupOut: m / groups };
}

/** Whether a convolution's taps are 3x3 neighbours of each output, as Winograd's transforms want them. */
export const isPlain3x3 = (c: {
  readonly kernel: readonly number[];
  readonly strides: readonly number[];
  readonly dilations: readonly number[];
}): boolean => c.kernel.every((k) => k === 3) && [...c.strides, ...c.dilations].every((d) => d === 1);
