// The menu of fast kernels: which template takes a unit, and what it wants of its operands' layout.

import type { Node, Value } from "../../ir/graph.ts";
import { isElementwise, type OpSet } from "../../ir/op.ts";
import { isStatic, sameShape } from "../../ir/types.ts";
import type { Capabilities } from "../backend.ts";
import { epilogueOf } from "./epilogue.ts";
import { NotVectorizable } from "./generic/element.ts";
import { type GenericContext, kernelName } from "./generic/kernel.ts";
import type { Margin } from "./storage.ts";
import type { Lowered } from "./template.ts";
import { convCsr } from "./templates/conv-csr.ts";
import { convDense } from "./templates/conv-dense.ts";
import type { ConvSpec, Pair } from "./templates/conv-spec.ts";
import { type Unit, unitOf } from "./unit.ts";

const pair = (xs: readonly number[]): Pair => [xs[0]!, xs[1]!];

/** The convolution that a unit starts with, when everything after it is elementwise on its result's shape. */
function anchorConv(u: Unit, ops: OpSet): Node | undefined {
  const conv = u.nodes.find((n) => n.op === "conv");
  const inside = new Set(u.nodes);
  if (!conv || u.roots.length !== 1 || conv.inputs[0]!.type.shape.length !== 4 || conv.inputs.some((v) => inside.has(v.node)))
    return undefined;
  const out = conv.results[0]!.type;
  const elementwise = u.nodes.every((n) => n === conv || (isElementwise(ops.get(n.op)!) && sameShape(n.results[0]!.type.shape, out.shape)));
  const plain = [conv.inputs[0]!.type, out, u.node.results[0]!.type].every(
    (t) => t.dtype === "f32" && isStatic(t) && t.shape.every((d) => (d as number) > 0),
  );
  return elementwise && plain ? conv : undefined;
}

/** The activation that a node's template reads as rows of channels, and the zero margin that it needs; strided ones copy it anyway. */
export function wantsRows(node: Node, ops: OpSet): { readonly input: Value | undefined; readonly margin: Margin } | undefined {
  if (node.op !== "conv" && node.op !== "fused") return undefined;
  const u = unitOf(node);
  const conv = anchorConv(u, ops);
  if (!conv) return undefined;
  const outer = (v: Value): Value => u.outside.get(v) ?? v;
  if (outer(conv.inputs[1]!).node.op !== "const" || (conv.inputs[2] && outer(conv.inputs[2]).node.op !== "const")) return undefined;
  const pads = conv.attrs.pads as readonly number[];
  const strides = conv.attrs.strides as readonly number[];
  const margin = { rows: Math.max(0, pads[0]!, pads[2]!), columns: Math.max(0, pads[1]!, pads[3]!) };
  return { input: strides[1] === 1 ? outer(conv.inputs[0]!) : undefined, margin };
}

function convolution(u: Unit, c: GenericContext, can: Capabilities): Lowered | undefined {
  const conv = anchorConv(u, c.ops);
  if (!conv) return undefined;
  const outer = (v: Value): Value => u.outside.get(v) ?? v;
  const [x, w, b] = conv.inputs.map(outer);
  const weights = c.constantOf(w!);
  const bias = b && c.constantOf(b);
  if (!weights || weights.dtype !== "f32" || (b && !bias)) return undefined;
  const epilogue = epilogueOf(u, conv.results[0]!, c);
  if (!epilogue) return undefined;
  const spec: ConvSpec = {
    name: kernelName(u),
    input: c.storageOf(x!),
    output: c.storageOf(u.node.results[0]!),
    weights: weights.data as Float32Array,
    kernel: pair(weights.shape.slice(2)),
    strides: pair(conv.attrs.strides as readonly number[]),
    dilations: pair(conv.attrs.dilations as readonly number[]),
    pads: conv.attrs.pads as unknown as ConvSpec["pads"],
    groups: conv.attrs.group as number,
    ...(bias ? { bias: bias.data as Float32Array } : {}),
    epilogue,
    target: can,
  };
  const lowered = w!.type.layout === "csr" ? (convCsr(spec) ?? convDense(spec)) : convDense(spec);
  if (!lowered) return undefined;
  // The template numbers operands from its own: 0 is the input.
  const at = u.operands.indexOf(x!);
  return {
    ...lowered,
    bindings: lowered.bindings.map((bind, k) =>
      bind.kind === "operand" && k < lowered.bindings.length - epilogue.bindings.length ? { kind: "operand", operand: at } : bind,
    ),
  };
}

/** A template's kernel for the unit, or undefined where the generic lowering is the way. */
export function templateFor(u: Unit, c: GenericContext, can: Capabilities): Lowered | undefined {
  try {
    return convolution(u, c, can);
  } catch (e) {
    if (e instanceof NotVectorizable) return undefined;
    throw e;
  }
}
