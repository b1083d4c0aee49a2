// Products of small integers in blocks with scales of their own, by constant weights.

import { DTYPES } from "../../ir/dtype.ts";
import type { Value } from "../../ir/graph.ts";
import type { Capabilities } from "../backend.ts";
import { anchorOf, bound, constantOperand, outer } from "./anchor.ts";
import { epilogueOf } from "./epilogue.ts";
import { type GenericContext, kernelName } from "./generic/kernel.ts";
import type { Lowered } from "./template.ts";
import { BLOCK, type BlockProductSpec, blockProductTemplate } from "./templates/block-product.ts";
import type { Unit } from "./unit.ts";

/** The product of a unit, whose operands are `inputs`; undefined where it has none, or one of other blocks or results. */
export function blockProductOf(
  u: Unit,
  c: GenericContext,
): { readonly inputs: readonly [Value, Value]; readonly spec: Omit<BlockProductSpec, "target"> } | undefined {
  const node = anchorOf(u, "block_product", c.ops, () => true);
  if (!node || node.attrs.block !== BLOCK || u.node.results[0]!.type.dtype !== "f32") return undefined;
  const [x, scale] = [outer(u, node.inputs[0]!), outer(u, node.inputs[1]!)];
  const [weights, scales, zeros] = [2, 3, 4].map((k) => constantOperand(u, node.inputs[k], c));
  if (!weights || weights.dtype === "i8" || !scales || (node.inputs[4] && !zeros)) return undefined;
  const spec = {
    name: kernelName(u),
    x: c.storageOf(x),
    scale: c.storageOf(scale),
    output: c.storageOf(u.node.results[0]!),
    bits: DTYPES[weights.dtype].bits as 4 | 8,
    weights: weights.data as Uint8Array,
    scales: scales.data as Float32Array,
    zeros: zeros ? (zeros.data as Uint8Array) : Uint8Array.of(node.attrs.zero as number),
    limit: node.attrs.limit as number,
    epilogue: epilogueOf(u, node.results[0]!, c),
  };
  return { inputs: [x, scale], spec };
}

export function lowerBlockProduct(u: Unit, c: GenericContext, can: Capabilities): Lowered | undefined {
  // Without vectors, a loop nest of plain integers is as good.
  const found = c.vectors ? blockProductOf(u, c) : undefined;
  return found && bound(u, blockProductTemplate({ ...found.spec, target: can }), found.inputs, found.spec.epilogue);
}
