// What convolution templates for devices know of a convolution of any number of spatial axes, and of where its result goes.

import type { Node } from "../../../ir/graph.ts";
import { add, i32, mul } from "../../../ir/kernel/build.ts";
import type { Expr } from "../../../ir/kernel/types.ts";
import { anchorOf, constantOperand, isFloat, isFloatOrByte, outer } from "../anchor.ts";
import { epilogueOf } from "../epilogue.ts";
import type { GenericContext } from "../generic/kernel.ts";
import { type Storage, sameStorage } from "../storage.ts";
import type { Epilogue } from "../template.ts";
import type { Unit } from "../unit.ts";
import { epilogueStorages, isLaneSafe } from "./put.ts";
import { unravel } from "./span.ts";

/** One spatial axis. */
export interface Axis {
  readonly extent: number;
  /** Bytes between neighbours of the input. */
  readonly pitch: number;
  readonly out: number;
  readonly taps: number;
  readonly stride: number;
  readonly dilation: number;
  readonly pad: number;
}

/** [N, C, ...] by constant weights [M, C / groups, ...], in f32. */
export interface ConvSpec {
  readonly node: Node;
  readonly input: Storage;
  readonly output: Storage;
  readonly weights: Float32Array;
  readonly bias: Float32Array | undefined;
  readonly axes: readonly Axis[];
  readonly groups: number;
  /** Channels of a group. */
  readonly inputs: number;
  readonly outputs: number;
  readonly epilogue: Epilogue;
  /** What the epilogue reads. */
  readonly operands: readonly Storage[];
}

/** The unit's convolution, or undefined where its weights or bias are no constants. */
export function convSpecOf(u: Unit, c: GenericContext): ConvSpec | undefined {
  const node = anchorOf(u, "conv", c.ops, isFloat, isFloatOrByte);
  if (!node) return undefined;
  const [x, w, b] = node.inputs;
  const [weights, bias] = [constantOperand(u, w, c), constantOperand(u, b, c)];
  if (!weights || (b && !bias)) return undefined;
  const [input, output] = [c.storageOf(outer(u, x!)), c.storageOf(u.node.results[0]!)];
  const attr = (name: string): readonly number[] => node.attrs[name] as readonly number[];
  const groups = node.attrs["group"] as number;
  const epilogue = epilogueOf(u, node.results[0]!, c);
  return {
    node,
    input,
    output,
    weights: weights.data as Float32Array,
    bias: bias?.data as Float32Array | undefined,
    axes: weights.shape.slice(2).map((taps, k) => ({
      extent: input.shape[k + 2]!,
      pitch: input.strides[k + 2]!,
      out: output.shape[k + 2]!,
      taps,
      stride: attr("strides")[k]!,
      dilation: attr("dilations")[k]!,
      pad: attr("pads")[k]!,
    })),
    groups,
    inputs: weights.shape[1]!,
    outputs: weights.shape[0]! / groups,
    epilogue,
    operands: epilogueStorages(u, epilogue, c),
  };
}

/** Weights of an output channel. */
export const depthOf = ({ inputs, axes }: ConvSpec): number => axes.reduce((n, a) => n * a.taps, inputs);

/** Whether a tap falls on an implicit zero anywhere. */
export const isPadded = (a: Axis): boolean => a.pad > 0 || (a.out - 1) * a.stride - a.pad + (a.taps - 1) * a.dilation >= a.extent;

/** Whether four neighbours of the result in memory, in one row or not, have what follows done to them at once. */
function isUniform(s: Storage, out: Storage): boolean {
  const own = s.shape.slice(Math.max(0, s.shape.length - (out.shape.length - 2)));
  return sameStorage(s, out) || own.every((d) => d === 1);
}

/** The coordinates of the first of four neighbours, number `quad`, as exact multiples of four where rows are whole vectors. */
export function coordsOfQuad(spec: ConvSpec, quad: Expr): readonly Expr[] {
  const shape = spec.axes.map((a) => a.out);
  const last = shape.at(-1)!;
  if (last % 4 !== 0) return unravel(mul(quad, i32(4)), shape);
  const coords = unravel(quad, [...shape.slice(0, -1), last / 4]);
  return [...coords.slice(0, -1), mul(coords.at(-1)!, i32(4))];
}

/** Whether an epilogue can be applied to four neighbours at once. */
export function isWide(spec: ConvSpec): boolean {
  const { output, operands } = spec;
  const rank = output.shape.length;
  return output.shape.at(-1)! % 4 === 0
    ? operands.every((s) => isLaneSafe(s, rank, rank - 1))
    : operands.every((s) => isUniform(s, output));
}

/** A channel of the result from its group and its number there. */
export const channelOf = (spec: ConvSpec, group: Expr, channel: Expr): Expr => add(mul(group, i32(spec.outputs)), channel);
