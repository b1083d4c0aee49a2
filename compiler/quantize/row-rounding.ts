// How a product of few rows by small integers rounds what it reads, so as to be a product of integers.

import { elementCount } from "../../ir/tensor.ts";
import { fitsBlocks } from "../rules/block-products.ts";
import { fitsLists, largestLimit } from "../rules/listed-products.ts";
import { ROW_BLOCK, ROW_LIMITS, type RowRounding } from "../rules/row-blocks.ts";
import { bestForRows } from "../sparsity/choose-lists.ts";
import type { Rounded } from "./grid.ts";
import type { Layer } from "./layers.ts";

/** Rows that have one scale each are rounded to no less than 12 bits. */
const LEAST_LIMIT = 2047;

/** The weights less their zero point, which all have in common, as bytes; undefined where they are none. */
function signedOf({ integers, steps }: Rounded): Int8Array | undefined {
  const { zero } = steps[0]!;
  const signed = Int8Array.from(integers, (w) => w - zero);
  return steps.every((s) => s.zero === zero) && integers.every((w, i) => w - zero === signed[i]) ? signed : undefined;
}

/** Undefined where a layer had better multiply floats. */
export function rowRoundingOf({ node, weights, matrix }: Layer, w: Rounded): RowRounding | undefined {
  if (node.op !== "matmul" || weights !== 1) return undefined;
  const depth = matrix.outer;
  const rows = elementCount(node.inputs[0]!.type.shape as readonly number[]) / depth;
  if (!fitsBlocks(rows, depth, w.rows) && !fitsLists(rows, depth, w.rows)) return undefined;
  const signed = signedOf(w);
  const limit = signed && w.steps.length === w.rows && fitsLists(rows, depth, w.rows) ? largestLimit(signed, depth) : 0;
  const best = signed ? bestForRows({ dtype: "i8", shape: [w.rows, depth], data: signed }, rows, limit >= LEAST_LIMIT) : "blocks";
  if (best === "lists") return { block: depth, limit };
  if (best === "floats" || !fitsBlocks(rows, depth, w.rows)) return undefined;
  return { block: ROW_BLOCK, limit: ROW_LIMITS[w.levels.high - w.levels.low > 15 ? 8 : 4] };
}
