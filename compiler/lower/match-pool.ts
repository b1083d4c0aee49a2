// Pooling of images by small windows: what it wants of the layout, and the template that takes it.

import type { Node, Value } from "../../ir/graph.ts";
import type { OpSet } from "../../ir/op.ts";
import type { Capabilities } from "../backend.ts";
import { anchorOf, bound, outer } from "./anchor.ts";
import { epilogueOf } from "./epilogue.ts";
import { type GenericContext, kernelName } from "./generic/kernel.ts";
import type { Margin } from "./storage.ts";
import type { Lowered } from "./template.ts";
import type { Pair } from "./templates/conv-spec.ts";
import { type PoolSpec, poolRows } from "./templates/pool-rows.ts";
import { type Unit, unitOf } from "./unit.ts";

function imagePool(u: Unit, ops: OpSet): Node | undefined {
  const pool = anchorOf(u, "pool", ops);
  return pool && pool.inputs[0]!.type.shape.length === 4 && pool.attrs["op"] !== "lp" ? pool : undefined;
}

/** The activation that a pooling node reads as rows of channels, with the zero margin that averages count on. */
export function poolWantsRows(node: Node, ops: OpSet): { readonly input: Value; readonly margin: Margin } | undefined {
  if (node.op !== "pool" && node.op !== "fused") return undefined;
  const u = unitOf(node);
  const pool = imagePool(u, ops);
  if (!pool) return undefined;
  const pads = pool.attrs["pads"] as readonly number[];
  // Zeros are no padding for the largest: windows over an edge are copied.
  const margin =
    pool.attrs["op"] === "avg" ? { rows: Math.max(pads[0]!, pads[2]!), columns: Math.max(pads[1]!, pads[3]!) } : { rows: 0, columns: 0 };
  return { input: outer(u, pool.inputs[0]!), margin };
}

export function lowerPool(u: Unit, c: GenericContext, can: Capabilities): Lowered | undefined {
  const pool = imagePool(u, c.ops);
  if (!pool) return undefined;
  const x = outer(u, pool.inputs[0]!);
  const epilogue = epilogueOf(u, pool.results[0]!, c);
  const pair = (name: string): Pair => pool.attrs[name] as unknown as Pair;
  const spec: PoolSpec = {
    name: kernelName(u),
    input: c.storageOf(x),
    output: c.storageOf(u.node.results[0]!),
    kernel: pair("kernel"),
    strides: pair("strides"),
    dilations: pair("dilations"),
    pads: pool.attrs["pads"] as unknown as PoolSpec["pads"],
    op: pool.attrs["op"] as "max" | "avg",
    countPads: pool.attrs["count_include_pad"] as boolean,
    epilogue,
    target: can,
  };
  return bound(u, poolRows(spec), [x], epilogue);
}
