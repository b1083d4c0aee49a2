// What the templates for products of bytes are asked for, and the extents and distances that follow from it.

import { binary, i32, splat } from "../../../ir/kernel/build.ts";
import type { ByteReading, Expr } from "../../../ir/kernel/types.ts";
import type { Capabilities } from "../../backend.ts";
import { holdsPixels, type Margin, type Storage } from "../storage.ts";
import type { Epilogue } from "../template.ts";
import type { Pair } from "./conv-spec.ts";

/**
 * A 2-d convolution, or a product of matrices, of bytes by constant small integers, summed in i32. Operand 0 is the input, result 0 the
 * output. Images lie pixel by pixel, channels side by side; rows of a matrix likewise.
 */
export interface BytesSpec {
  readonly name: string;
  /** u8: [N, C, H, W], or [T, C]. */
  readonly input: Storage;
  /** u8, i8, i32 or f32: [N, M, Ho, Wo], or [T, M]. */
  readonly output: Storage;
  /** [M, C / groups, KH, KW], row-major, from -255 to 255. */
  readonly weights: Int16Array;
  readonly kernel: Pair;
  readonly strides: Pair;
  readonly dilations: Pair;
  /** What lies above and left of the input, made of `fill`. */
  readonly pads: Pair;
  /** How far windows reach beyond the input. */
  readonly margin: Margin;
  readonly fill: number;
  readonly groups: number;
  /** Outputs and inputs of the blocks in which the weights' zeros lie, where they had better be left out. */
  readonly block?: readonly [outputs: number, inputs: number];
  /** i32, one for each output: the first summand of its sums. */
  readonly bias?: Int32Array;
  /** Whether all results are in range of the output's type, so that storing them may saturate. */
  readonly saturates: boolean;
  readonly epilogue: Epilogue;
  readonly target: Capabilities;
}

export interface BytesShape {
  readonly n: number;
  readonly c: number;
  readonly m: number;
  readonly ho: number;
  readonly wo: number;
  /** Bytes of the input between images, rows and pixels, and from its start to tap (0, 0) of output (0, 0). */
  readonly from: { readonly image: number; readonly row: number; readonly pixel: number; readonly base: number };
  /** Bytes of the output between images, rows, pixels and channels. */
  readonly to: { readonly image: number; readonly row: number; readonly pixel: number; readonly channel: number };
  /** Whether any weight needs more than a byte. */
  readonly wide: boolean;
  readonly matrix: boolean;
}

/** Extents and distances, or undefined where the operand's padding is not the one that windows want, or channels are not neighbours. */
export function bytesShape(spec: BytesSpec): BytesShape | undefined {
  const { input, output, margin, fill } = spec;
  const matrix = input.shape.length === 2;
  if (input.dtype !== "u8" || input.strides[1] !== 1) return undefined;
  const wide = spec.weights.some((w) => w < -128 || w > 127);
  if (matrix) {
    const [t, c] = input.shape as [number, number];
    const m = output.shape[1]!;
    const [pixel, channel] = output.strides as [number, number];
    if (input.strides[0]! % 4 !== 0 || input.offset % 4 !== 0) return undefined;
    const from = { image: 0, row: 0, pixel: input.strides[0]!, base: input.offset };
    return { n: 1, c, m, ho: 1, wo: t, from, to: { image: 0, row: 0, pixel, channel }, wide, matrix };
  }
  const [n, c] = input.shape as [number, number];
  const [, m, ho, wo] = output.shape as [number, number, number, number];
  const [image, , row, pixel] = input.strides as [number, number, number, number];
  if (!holdsPixels(input, margin, fill)) return undefined;
  const base = input.offset - spec.pads[0] * row - spec.pads[1] * pixel;
  const [toImage, toChannel, toRow, toPixel] = output.strides as [number, number, number, number];
  return {
    n,
    c,
    m,
    ho,
    wo,
    from: { image, row: row * spec.strides[0], pixel: pixel * spec.strides[1], base },
    to: { image: toImage, row: toRow, pixel: toPixel, channel: toChannel },
    wide,
    matrix,
  };
}

/** Whether dot products of bytes are taken: the weights fit in one, and the target has them. */
export const usesBytes = (spec: BytesSpec, s: BytesShape): boolean =>
  spec.target.byteDots !== undefined && !s.wide && (readingOf(spec) === "unsigned" || spec.weights.every((w) => w > -128));

/** Whether dot products of bytes are exact for weights as they are packed: of signed bytes, no two that are added first are both -128. */
export const readsExactly = (spec: BytesSpec, packed: Int8Array): boolean =>
  readingOf(spec) === "unsigned" || packed.every((w, i) => i % 2 === 0 || w !== -128 || packed[i - 1] !== -128);

/** How dot products of bytes read inputs. */
export const readingOf = ({ target }: BytesSpec): ByteReading => target.byteDots ?? "unsigned";

/** The sums of each output's weights. */
export function weightSums({ weights }: BytesSpec, outputs: number): Int32Array {
  const each = weights.length / outputs;
  return Int32Array.from({ length: outputs }, (_, m) => weights.subarray(m * each, (m + 1) * each).reduce((a, w) => a + w, 0));
}

const MIDDLE = 128;

/** Inputs (i32x4 of whole words, or i8x16) as dot products of bytes want them: less 128, where those read signed bytes. */
export function asRead(spec: BytesSpec, inputs: Expr): Expr {
  if (readingOf(spec) === "unsigned") return inputs;
  return binary("xor", inputs, inputs.type === "i32x4" ? splat("i32x4", i32(0x80808080 | 0)) : splat("i8x16", i32(-MIDDLE)));
}

/** With first summands that make up for what is taken off inputs; `sums` are those of each output's weights, as they are multiplied. */
export function asSummed(spec: BytesSpec, sums: Int32Array): BytesSpec {
  if (readingOf(spec) === "unsigned") return spec;
  return { ...spec, bias: sums.map((sum, m) => (spec.bias?.[m] ?? 0) + MIDDLE * sum) };
}
