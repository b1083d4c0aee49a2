// Products of few rows of activations that are rounded as a whole, by dequantized constants: taken of the integers.

import type { Quantized } from "../../ir/quantized.ts";
import { op, type Rule, rule } from "../../ir/rewrite.ts";
import { MOST_DEPTH } from "../lower/templates/word-lists.ts";
import { FEW_ROWS, roundedProductOf } from "./block-products.ts";

/** Features are taken in fours, inputs eight at a time. */
export const fitsLists = (rows: number, depth: number, features: number): boolean =>
  rows <= FEW_ROWS && depth % 8 === 0 && depth <= MOST_DEPTH && features % 4 === 0;

/** Up to which magnitude activations of 16 bits may be, so that no sum of products by a row of weights [.., depth] leaves 32 bits. */
export function largestLimit(weights: Int8Array, depth: number): number {
  let most = 1;
  for (let from = 0; from < weights.length; from += depth) {
    let sum = 0;
    for (let k = from; k < from + depth; k++) sum += Math.abs(weights[k]!);
    most = Math.max(most, sum);
  }
  return Math.min(32767, Math.floor((2 ** 31 - 1) / most));
}

/** The integers less the zero point that they have in common, as bytes; undefined where they are none. */
function signedOf({ integers, zeros }: Quantized): Int8Array | undefined {
  const [zero] = zeros;
  const signed = Int8Array.from(integers, (w) => w - zero!);
  return zeros.length === 1 && integers.every((w, i) => w - zero! === signed[i]) ? signed : undefined;
}

const products: Rule = rule(
  "matmul of a few rows rounded as a whole by dequantized constants -> block_product of the integers",
  op("matmul"),
  (_, b, root) => {
    const found = roundedProductOf(b, root.node);
    if (!found) return undefined;
    const { rows, depth, features, x, w, weights } = found;
    if (x.integers.type.dtype !== "i32" || x.block !== depth || w.block < depth || !fitsLists(rows, depth, features)) return undefined;
    const signed = signedOf(w);
    if (!signed || x.limit > largestLimit(signed, depth)) return undefined;
    const { locs } = root.node;
    const operands = [
      x.integers,
      b.value("reshape", [x.scales], { shape: [rows, 1] }, locs),
      b.constant({ dtype: "i8", shape: [features, depth], data: signed }, { loc: weights.locs }),
      b.constant({ dtype: "f32", shape: [features, 1], data: w.scales }, { loc: weights.locs }),
    ];
    return b.value("block_product", operands, { block: depth, zero: 0, limit: x.limit }, locs);
  },
);

export const listedProductRules: readonly Rule[] = [products];
