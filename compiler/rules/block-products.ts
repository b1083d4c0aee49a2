// Products of few rows of activations that are rounded in blocks, by dequantized constants: taken of the integers.

import type { DType } from "../../ir/dtype.ts";
import type { Value } from "../../ir/graph.ts";
import type { Quantized } from "../../ir/quantized.ts";
import { op, type Rule, rule } from "../../ir/rewrite.ts";
import { isStatic, rank } from "../../ir/types.ts";
import { quantizedMatrix } from "./quantized-matrix.ts";
import { ROW_BLOCK, rowBlocksOf } from "./row-blocks.ts";

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

const products: Rule = rule(
  "matmul of a few rows rounded in blocks by dequantized constants -> block_product of the integers",
  op("matmul"),
  (_, b, root) => {
    const [x, w] = root.node.inputs as [Value, Value];
    if (w.node.op !== "dequantize" || rank(w.type) !== 2 || rank(x.type) !== 2 || !isStatic(x.type)) return undefined;
    const [rows, depth] = x.type.shape as readonly [number, number];
    const features = w.type.shape[1] as number;
    const given = rowBlocksOf(b, x);
    if (!given || !fitsBlocks(rows, depth, features)) return undefined;
    const [integers, scale, zero] = w.node.inputs.map((v) => b.constantOf(v));
    const { axis, block } = w.node.attrs as { axis: number; block: number };
    if (!integers || scale?.dtype !== "f32" || (w.node.inputs[2] && !zero)) return undefined;
    const q = quantizedMatrix(integers, scale, zero, axis, block);
    // The matrix as products want it: a row for each feature, blocks of activations whole within blocks of weights.
    if (q?.rows !== features || q.columns !== depth || (q.block < depth && q.block % ROW_BLOCK !== 0)) return undefined;
    const blocks = depth / ROW_BLOCK;
    const dtype: DType = q.bits === 4 ? "u4" : "u8";
    const { locs } = root.node;
    const whole = q.block >= depth;
    const scales = whole ? q.scales : perBlock(q, q.scales, (n) => new Float32Array(n));
    const zeros = q.zeros.length === 1 || whole ? q.zeros : perBlock(q, q.zeros, (n) => new Uint8Array(n));
    const operands = [
      b.value("reshape", [given.integers], { shape: [rows, depth] }, locs),
      b.value("reshape", [given.scales], { shape: [rows, blocks] }, locs),
      b.constant({ dtype, shape: [features, depth], data: q.integers }, { loc: w.node.locs }),
      b.constant({ dtype: "f32", shape: [features, whole ? 1 : blocks], data: scales }, { loc: w.node.locs }),
      ...(zeros.length > 1 ? [b.constant({ dtype, shape: [features, whole ? 1 : blocks], data: zeros }, { loc: w.node.locs })] : []),
    ];
    const attrs = { block: ROW_BLOCK, zero: zeros.length > 1 ? 0 : zeros[0]!, limit: given.limit };
    return b.value("block_product", operands, attrs, locs);
  },
);

export const blockProductRules: readonly Rule[] = [products];
