// Convolutions with constant weights: what they want of the layout, and which convolution template takes them.

import type { Node, Value } from "../../ir/graph.ts";
import { blockOf } from "../../ir/layouts/index.ts";
import type { OpSet } from "../../ir/op.ts";
import type { Capabilities } from "../backend.ts";
import { anchorOf, bound, constantOperand, hostLayout, outer } from "./anchor.ts";
import { epilogueOf } from "./epilogue.ts";
import { type GenericContext, kernelName } from "./generic/kernel.ts";
import type { Margin } from "./storage.ts";
import type { RowReach } from "./stripe-plan.ts";
import type { Lowered } from "./template.ts";
import { convDense } from "./templates/conv-dense.ts";
import { convDepthwise } from "./templates/conv-depthwise.ts";
import { convPixel } from "./templates/conv-pixel.ts";
import { convSparse } from "./templates/conv-sparse.ts";
import { type ConvSpec, convShape, isPlain3x3, type Pair } from "./templates/conv-spec.ts";
import { convWinograd } from "./templates/conv-winograd.ts";
import { bestWinograd } from "./templates/winograd-plan.ts";
import { type Unit, unitOf } from "./unit.ts";

const pair = (xs: readonly number[]): Pair => [xs[0]!, xs[1]!];

function imageConv(u: Unit, ops: OpSet): Node | undefined {
  const conv = anchorOf(u, "conv", ops);
  return conv && conv.inputs[0]!.type.shape.length === 4 ? conv : undefined;
}

/** The rows that a node's convolution reads: undefined unless a convolution template takes it. */
export function rowReachOf(node: Node, ops: OpSet): RowReach | undefined {
  if (!wantsRows(node, ops)) return undefined;
  const conv = imageConv(unitOf(node), ops)!;
  const attr = (name: string): number => (conv.attrs[name] as readonly number[])[0]!;
  const [x, w] = conv.inputs.map((v) => v.type.shape as readonly number[]);
  return {
    height: conv.results[0]!.type.shape[2] as number,
    inputHeight: x![2]!,
    stride: attr("strides"),
    top: attr("pads"),
    taps: (w![2]! - 1) * attr("dilations") + 1,
  };
}

/** The activation that the node's convolution reads, as an operand of the node. */
export const convInput = (node: Node, ops: OpSet): Value => {
  const u = unitOf(node);
  return outer(u, imageConv(u, ops)!.inputs[0]!);
};

/** The activation that a node's template reads as rows of channels, and the zero margin that it needs; strided ones copy it anyway. */
export function wantsRows(node: Node, ops: OpSet): { readonly input: Value | undefined; readonly margin: Margin } | undefined {
  if (node.op !== "conv" && node.op !== "fused") return undefined;
  const u = unitOf(node);
  const conv = imageConv(u, ops);
  if (!conv || conv.inputs.slice(1).some((v) => outer(u, v).node.op !== "const")) return undefined;
  const pads = conv.attrs["pads"] as readonly number[];
  const strides = conv.attrs["strides"] as readonly number[];
  const margin = { rows: Math.max(0, pads[0]!, pads[2]!), columns: Math.max(0, pads[1]!, pads[3]!) };
  return { input: strides[1] === 1 ? outer(u, conv.inputs[0]!) : undefined, margin };
}

/** Convolution with dense weights, by the way that is predicted to be fastest. */
export function denseConv(spec: ConvSpec): Lowered | undefined {
  const shape = convShape(spec);
  const best = shape && isPlain3x3(spec) ? bestWinograd(shape, spec.target) : undefined;
  const winograd = best && convWinograd(spec, best.m);
  return winograd ? { ...winograd, fewer: best.gain } : convDense(spec);
}

/** Of the rows of zeros that the convolution has around its input, those that a part of it has. */
export interface RowPads {
  readonly top: number;
  readonly bottom: number;
}

/** A convolution with constant weights, as templates are asked for it. */
export interface MatchedConv {
  readonly spec: ConvSpec;
  /** The layout of the weights, where they have one. */
  readonly layout: string | undefined;
  /** Operand 0 of the template. */
  readonly input: Value;
}

/** The unit as a convolution with constant weights, or undefined where it is none. */
export function matchConv(u: Unit, c: GenericContext, can: Capabilities, rows?: RowPads): MatchedConv | undefined {
  const conv = imageConv(u, c.ops);
  if (!conv) return undefined;
  const [x, w, b] = conv.inputs;
  const [weights, bias] = [constantOperand(u, w, c), constantOperand(u, b, c)];
  if (!weights || (b && !bias)) return undefined;
  const layout = can.device ? outer(u, w!).type.layout : hostLayout(outer(u, w!));
  const [top, left, bottom, right] = conv.attrs["pads"] as unknown as ConvSpec["pads"];
  const input = outer(u, x!);
  const spec: ConvSpec = {
    name: kernelName(u),
    input: c.storageOf(input),
    output: c.storageOf(u.node.results[0]!),
    weights: weights.data as Float32Array,
    kernel: pair(weights.shape.slice(2)),
    strides: pair(conv.attrs["strides"] as readonly number[]),
    dilations: pair(conv.attrs["dilations"] as readonly number[]),
    pads: rows ? [rows.top, left, rows.bottom, right] : [top, left, bottom, right],
    groups: conv.attrs["group"] as number,
    ...(layout ? { block: blockOf(layout, "first") } : {}),
    ...(bias ? { bias: bias.data as Float32Array } : {}),
    epilogue: epilogueOf(u, conv.results[0]!, c),
    target: can,
  };
  return { spec, layout, input };
}

export function lowerConv(u: Unit, c: GenericContext, can: Capabilities, rows?: RowPads): Lowered | undefined {
  const found = matchConv(u, c, can, rows);
  if (!found) return undefined;
  const { spec, layout, input } = found;
  const sparse = layout ? (convPixel(spec) ?? convSparse(spec)) : undefined;
  const lowered = (sparse && { ...sparse, format: layout! }) ?? convDepthwise(spec) ?? denseConv(spec);
  return bound(u, lowered, [input], spec.epilogue);
}
