// What templates for products of bytes on a device know of one, and of where its result goes: a row for each pixel (or token), channels
// side by side in words of four.

import { DTYPES } from "../../../ir/dtype.ts";
import type { Node } from "../../../ir/graph.ts";
import { add, i32, mul } from "../../../ir/kernel/build.ts";
import type { Expr } from "../../../ir/kernel/types.ts";
import { constantOperand, outer } from "../anchor.ts";
import { epilogueOf } from "../epilogue.ts";
import type { GenericContext } from "../generic/kernel.ts";
import { byteProduct, fillOf, largestSum, transposed } from "../match-bytes.ts";
import type { Storage } from "../storage.ts";
import type { Epilogue } from "../template.ts";
import type { Unit } from "../unit.ts";
import type { Axis } from "./conv-spec.ts";
import { epilogueStorages, isLaneSafe, type Target } from "./put.ts";
import { spanOf, unravel } from "./span.ts";

/** A convolution, or a product of matrices as one of single taps, of u8 by constant integers from -255 to 255, summed in i32. */
export interface BytesSpec {
  readonly node: Node;
  readonly operand: number;
  readonly input: Storage;
  readonly output: Storage;
  /** Axes of the result besides channels: images first. */
  readonly places: readonly number[];
  /** Bytes between neighbours along those axes. */
  readonly from: readonly number[];
  readonly to: readonly number[];
  /** Windows along the places behind the images. */
  readonly axes: readonly Axis[];
  /** Byte by which the input is surrounded. */
  readonly fill: number;
  readonly groups: number;
  /** Channels of a group. */
  readonly inputs: number;
  readonly outputs: number;
  /** Bytes between channels of the result. */
  readonly channel: number;
  /** The weight of an output (of all), a channel of its group and a tap. */
  weight(output: number, channel: number, tap: number): number;
  /** First summand of an output. */
  bias(output: number): number;
  readonly epilogue: Epilogue;
  readonly target: Target;
}

export const WORD = 4;
/** Words of a pixel's channels that belong to a group. */
export const wordsOf = (spec: BytesSpec): number => Math.ceil(spec.inputs / WORD);
export const tapsOf = (spec: BytesSpec): number => spec.axes.reduce((n, a) => n * a.taps, 1);

/** Whether every pixel's channels are whole words. */
const isInWords = (s: Storage, channel: number): boolean =>
  s.strides[channel] === 1 &&
  s.offset % WORD === 0 &&
  s.strides.every((d, axis) => axis === channel || s.shape[axis] === 1 || d % WORD === 0);

/** The unit's product of bytes, or undefined where it has none or its operand lies otherwise. */
export function bytesSpecOf(u: Unit, c: GenericContext): BytesSpec | undefined {
  const node = byteProduct(u, c.ops);
  if (!node) return undefined;
  const [x, w, b] = node.inputs;
  const [input, output] = [c.storageOf(outer(u, x!)), c.storageOf(u.node.results[0]!)];
  const [weights, bias] = [constantOperand(u, w, c)!, constantOperand(u, b, c)?.data as Int32Array | undefined];
  const conv = node.op === "conv";
  const rank = output.shape.length;
  const channels = conv ? 1 : rank - 1;
  if (!isInWords(input, channels)) return undefined;
  const attr = (name: string): readonly number[] => node.attrs[name] as readonly number[];
  const groups = conv ? (node.attrs["group"] as number) : 1;
  const [all, inputs] = conv ? (weights.shape as [number, number]) : (weights.shape.toReversed() as [number, number]);
  const axes = (conv ? weights.shape.slice(2) : []).map(
    (taps, k): Axis => ({
      extent: input.shape[k + 2]!,
      pitch: input.strides[k + 2]!,
      out: output.shape[k + 2]!,
      taps,
      stride: attr("strides")[k]!,
      dilation: attr("dilations")[k]!,
      pad: attr("pads")[k]!,
    }),
  );
  const others = output.shape.map((_, axis) => axis).filter((axis) => axis !== channels);
  const values = conv ? Int16Array.from(weights.data as ArrayLike<number>) : transposed(weights);
  const epilogue = epilogueOf(u, node.results[0]!, c, largestSum(values, all, bias));
  const taps = axes.reduce((n, a) => n * a.taps, 1);
  const places = others.map((axis) => output.shape[axis]!);
  return {
    node,
    operand: u.operands.indexOf(outer(u, x!)),
    input,
    output,
    places,
    from: others.map((axis) => input.strides[axis]!),
    to: others.map((axis) => output.strides[axis]!),
    axes,
    fill: conv ? fillOf(node) : 0,
    groups,
    inputs,
    outputs: all / groups,
    channel: output.strides[channels]!,
    weight: (m, k, tap) => values[(m * inputs + k) * taps + tap]!,
    bias: (m) => bias?.[m] ?? 0,
    epilogue,
    // Channels by themselves are taken side by side.
    target: targetOf(
      output,
      channels,
      places,
      inputs === 1 ? 1 : groups,
      inputs === 1 ? all : all / groups,
      epilogueStorages(u, epilogue, c),
    ),
  };
}

/** A row for each place, a column for each channel of a group; the batch is of groups. */
function targetOf(
  s: Storage,
  axis: number,
  places: readonly number[],
  groups: number,
  outputs: number,
  operands: readonly Storage[],
): Target {
  const [size, channel] = [DTYPES[s.dtype].bytes, s.strides[axis]!];
  const others = s.strides.filter((_, k) => k !== axis);
  const coords = (batch: Expr, row: Expr, column: Expr): Expr[] =>
    unravel(row, places).toSpliced(axis, 0, groups === 1 ? column : add(mul(batch, i32(outputs)), column));
  // The last word of a pixel's channels may be stored whole where nothing else lies there.
  const rounded = Math.ceil(outputs / WORD) * WORD;
  const room = s.part !== true && others.every((d, k) => places[k] === 1 || d >= rounded * size);
  const wide =
    channel === size && (outputs === rounded || (groups === 1 && room)) && operands.every((o) => isLaneSafe(o, s.shape.length, axis));
  return {
    storage: s,
    batch: spanOf([groups], [outputs * channel]),
    row: spanOf(places, others),
    column: spanOf([wide ? rounded : outputs], [channel]),
    coords,
    ...(wide ? { wide: { axis, coords: (b: Expr, r: Expr, quad: Expr) => coords(b, r, mul(quad, i32(WORD))) } } : {}),
  };
}
