// Products of few rows of activations that are rounded in blocks, by dequantized constants: taken of the integers.

import type { DType } from "../../ir/dtype.ts";
import type { GraphBuilder, Node, Value } from "../../ir/graph.ts";
import type { Quantized } from "../../ir/quantized.ts";
import { op, type Rule, rule } from "../../ir/rewrite.ts";
import { isStatic, rank } from "../../ir/types.ts";
import { quantizedMatrix } from "./quantized-matrix.ts";
import { ROW_BLOCK, type RowBlocks, rowBlocksOf } from "./row-blocks.ts";

/** Rows of activations up to which reading the weights takes longer than multiplying by them. */
export const FEW_ROWS = 8;

/** Features are taken in fours. */
export const fitsBlocks = (rows: number, depth: number, features: number): boolean =>
  rows <= FEW_ROWS && depth % ROW_BLOCK === 0 && features % 4 === 0;

/** What belongs to blocks of weights, [rows, depth / ROW_BLOCK], or [rows, 1] where all of a row is one. */
function perBlock<T extends Float32Array | Uint8Array>(q: Quantized, xs: T, make: (length: number) => T): T {
  const [from, to] = [Math.ceil(q.columns / q.block), q.columns / ROW_BLOCK];
  if (from === to) return xs;
  const out = make(q.rows * to);
  for (let i = 0; i < out.length; i++) {
    const [row, k] = [Math.floor(i / to), i % to];
    out[i] = xs[row * from + Math.floor((k * ROW_BLOCK) / q.block)]!;
  }
  return out;
}

/** A product of rounded rows, [rows, depth], by a dequantized constant, a row of it for each feature. */
export interface RoundedProduct {
  readonly rows: number;
  readonly depth: number;
  readonly features: number;
  readonly x: RowBlocks;
  readonly w: Quantized;
  readonly weights: Node;
}

export function roundedProductOf(b: GraphBuilder, { inputs }: Node): RoundedProduct | undefined {
  const [x, w] = inputs as [Value, Value];
  if (w.node.op !== "dequantize" || rank(w.type) !== 2 || rank(x.type) !== 2 || !isStatic(x.type)) return undefined;
  const [rows, depth] = x.type.shape as readonly [number, number];
  const features = w.type.shape[1] as number;
  const given = rowBlocksOf(b, x);
  if (!given || rows > FEW_ROWS) return undefined;
  const [integers, scale, zero] = w.node.inputs.map((v) => b.constantOf(v));
  const { axis, block } = w.node.attrs as { axis: number; block: number };
  if (!integers || scale?.dtype !== "f32" || (w.node.inputs[2] && !zero)) return undefined;
  const q = quantizedMatrix(integers, scale, zero, axis, block);
  return q?.rows === features && q.columns === depth ? { rows, depth, features, x: given, w: q, weights: w.node } : undefined;
}

const products: Rule = rule(
  "matmul of a few rows rounded in blocks by dequantized constants -> block_product of the integers",
  op("matmul"),
  (_, b, root) => {
    const found = roundedProductOf(b, root.node);
    if (!found) return undefined;
    const { rows, depth, features, x, w: q, weights } = found;
    // Blocks of activations lie whole within blocks of weights.
    if (x.integers.type.dtype !== "i8" || x.block !== ROW_BLOCK || !fitsBlocks(rows, depth, features)) return undefined;
    if (q.block < depth && q.block % ROW_BLOCK !== 0) return undefined;
    const blocks = depth / ROW_BLOCK;
    const dtype: DType = q.bits === 4 ? "u4" : "u8";
    const { locs } = root.node;
    const whole = q.block >= depth;
    const scales = whole ? q.scales : perBlock(q, q.scales, (n) => new Float32Array(n));
    const zeros = q.zeros.length === 1 || whole ? q.zeros : perBlock(q, q.zeros, (n) => new Uint8Array(n));
    const operands = [
      b.value("reshape", [x.integers], { shape: [rows, depth] }, locs),
      b.value("reshape", [x.scales], { shape: [rows, blocks] }, locs),
      b.constant({ dtype, shape: [features, depth], data: q.integers }, { loc: weights.locs }),
      b.constant({ dtype: "f32", shape: [features, whole ? 1 : blocks], data: scales }, { loc: weights.locs }),
      ...(zeros.length > 1 ? [b.constant({ dtype, shape: [features, whole ? 1 : blocks], data: zeros }, { loc: weights.locs })] : []),
    ];
    const attrs = { block: ROW_BLOCK, zero: zeros.length > 1 ? 0 : zeros[0]!, limit: x.limit };
    return b.value("block_product", operands, attrs, locs);
  },
);

export const blockProductRules: readonly Rule[] = [products];
