// Transposed convolutions with constant weights: what they want of the layout, and the template that takes them.

import type { Node, Value } from "../../ir/graph.ts";
import type { OpSet } from "../../ir/op.ts";
import type { Capabilities } from "../backend.ts";
import { anchorOf, bound, constantOperand, outer } from "./anchor.ts";
import { epilogueOf } from "./epilogue.ts";
import { type GenericContext, kernelName } from "./generic/kernel.ts";
import type { Margin } from "./storage.ts";
import type { Lowered } from "./template.ts";
import type { Pair } from "./templates/conv-spec.ts";
import { type ConvTransposeSpec, convTranspose, marginOfPhases } from "./templates/conv-transpose.ts";
import { type Unit, unitOf } from "./unit.ts";

const shapeOf = (v: Value): readonly number[] => v.type.shape as readonly number[];

function imageTransposed(u: Unit, ops: OpSet): Node | undefined {
  const conv = anchorOf(u, "conv_transpose", ops);
  const plain = (conv?.attrs["dilations"] as readonly number[] | undefined)?.every((d) => d === 1);
  const constant = conv?.inputs.slice(1).every((v) => outer(u, v).node.op === "const");
  return plain && constant && shapeOf(conv!.inputs[0]!).length === 4 ? conv : undefined;
}

const windowOf = (u: Unit, conv: Node): Pick<ConvTransposeSpec, "kernel" | "strides" | "pads" | "groups"> => ({
  kernel: shapeOf(outer(u, conv.inputs[1]!)).slice(2) as unknown as Pair,
  strides: conv.attrs["strides"] as unknown as Pair,
  pads: conv.attrs["pads"] as unknown as ConvTransposeSpec["pads"],
  groups: conv.attrs["group"] as number,
});

/** The activation that a transposed convolution reads as rows of channels, and the zero margin that its phases need. */
export function transposedWantsRows(node: Node, ops: OpSet): { readonly input: Value; readonly margin: Margin } | undefined {
  if (node.op !== "conv_transpose" && node.op !== "fused") return undefined;
  const u = unitOf(node);
  const conv = imageTransposed(u, ops);
  if (!conv) return undefined;
  const x = conv.inputs[0]!;
  return { input: outer(u, x), margin: marginOfPhases(windowOf(u, conv), shapeOf(x), shapeOf(conv.results[0]!)) };
}

export function lowerConvTranspose(u: Unit, c: GenericContext, can: Capabilities): Lowered | undefined {
  const conv = imageTransposed(u, c.ops);
  if (!conv) return undefined;
  const [x, w, b] = conv.inputs;
  const [weights, bias] = [constantOperand(u, w, c), constantOperand(u, b, c)];
  const epilogue = epilogueOf(u, conv.results[0]!, c);
  const spec: ConvTransposeSpec = {
    name: kernelName(u),
    input: c.storageOf(outer(u, x!)),
    output: c.storageOf(u.node.results[0]!),
    weights: weights!.data as Float32Array,
    ...windowOf(u, conv),
    ...(bias ? { bias: bias.data as Float32Array } : {}),
    epilogue,
    target: can,
  };
  return bound(u, convTranspose(spec), [outer(u, x!)], epilogue);
}
