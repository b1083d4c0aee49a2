// Products of few rows, each of one scale, by constant signed bytes: lists of what is not zero, or of all.

import type { Value } from "../../ir/graph.ts";
import { blockOf } from "../../ir/layouts/index.ts";
import type { Capabilities } from "../backend.ts";
import { anchorOf, bound, constantOperand, hostLayout, outer } from "./anchor.ts";
import { epilogueOf } from "./epilogue.ts";
import { type GenericContext, kernelName } from "./generic/kernel.ts";
import type { Lowered } from "./template.ts";
import { groupOf, listedProduct } from "./templates/listed-product.ts";
import type { Unit } from "./unit.ts";

export function lowerListedProduct(u: Unit, c: GenericContext, can: Capabilities): Lowered | undefined {
  const node = anchorOf(u, "block_product", c.ops, () => true);
  if (!node || u.node.results[0]!.type.dtype !== "f32") return undefined;
  const [x, scale, w, s] = node.inputs.map((v) => outer(u, v)) as [Value, Value, Value, Value];
  const [weights, scales] = [constantOperand(u, w, c), constantOperand(u, s, c)];
  const { block, zero, limit } = node.attrs as { readonly block: number; readonly zero: number; readonly limit: number };
  if (weights?.dtype !== "i8" || !scales || node.inputs[4] || zero !== 0 || block !== weights.shape[1]) return undefined;
  const layout = hostLayout(w);
  const epilogue = epilogueOf(u, node.results[0]!, c);
  const lowered = listedProduct({
    name: kernelName(u),
    x: c.storageOf(x),
    output: c.storageOf(u.node.results[0]!),
    weights: weights.data as Int8Array,
    scaling: { rows: c.storageOf(scale), features: scales.data as Float32Array },
    limit,
    ...(layout ? { group: groupOf(blockOf(layout, "first")) } : {}),
    epilogue,
    target: can,
  });
  return bound(u, lowered && { ...lowered, ...(layout ? { format: layout } : {}) }, [x, scale], epilogue);
}
