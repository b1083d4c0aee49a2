// Zeroes the smallest weights, to tell what pruning would buy before anyone prunes. What the model computes is no longer meant.

import { type Graph, GraphBuilder, type Node, type Value } from "../../ir/graph.ts";
import { firstAxisRows, lastAxisRows } from "../../ir/layouts/index.ts";
import type { MatrixView } from "../../ir/layouts/layout.ts";
import { rebuild } from "../../ir/rewrite.ts";
import type { Tensor } from "../../ir/tensor.ts";
import { definePass, type Pass } from "../pass.ts";

export interface Imposed {
  /** Zeros as a fraction of all elements, above 0 and below 1. */
  readonly zeros: number;
  /** Elements that are zeroed together: rows are output channels, columns inputs. [1, 1] where each is judged by itself. */
  readonly block: readonly [rows: number, columns: number];
}

/** Copies a matrix with the blocks of least mean square zeroed, `zeros` of them all; those that stand first among equals. */
export function prune(t: Tensor, m: MatrixView, { zeros, block: [height, width] }: Imposed): Tensor {
  const across = Math.ceil(m.columns / width);
  const count = Math.ceil(m.rows / height) * across;
  const [sums, sizes] = [new Float64Array(count), new Uint32Array(count)];
  const visit = (see: (at: number, block: number) => void): void => {
    for (let r = 0; r < m.rows; r++)
      for (let c = 0; c < m.columns; c++)
        see(r * m.rowStride + c * m.columnStride, Math.floor(r / height) * across + Math.floor(c / width));
  };
  visit((at, b) => {
    sums[b]! += Number(t.data[at]) ** 2;
    sizes[b]!++;
  });
  const order = Uint32Array.from({ length: count }, (_, b) => b).sort((a, b) => sums[a]! / sizes[a]! - sums[b]! / sizes[b]! || a - b);
  const gone = new Uint8Array(count);
  for (const b of order.subarray(0, Math.round(zeros * count))) gone[b] = 1;
  const data = t.data.slice() as Float32Array;
  visit((at, b) => {
    if (gone[b]) data[at] = 0;
  });
  return { ...t, data };
}

/**
 * Which operand of a node is pruned, as a matrix: the weights of convolutions of one group and of products, as people prune them. Not the
 * first convolution (`learned`: whether weights went into its input), whose few weights matter most; no grouped or depthwise ones; and no
 * tables that are looked up.
 */
function prunable(n: Node, constantOf: (v: Value) => Tensor | undefined, learned: boolean): readonly [number, MatrixView] | undefined {
  const weights = (k: number): Tensor | undefined => {
    const t = constantOf(n.inputs[k]!);
    return t?.dtype === "f32" && t.shape.length >= 2 && t.shape.every((d) => d > 1 || n.op === "conv") ? t : undefined;
  };
  if (n.op === "conv") {
    const w = n.attrs.group === 1 && learned ? weights(1) : undefined;
    return w && [1, firstAxisRows(w.shape)];
  }
  if (n.op !== "matmul") return undefined;
  const [left, right] = [weights(0), weights(1)];
  if (right?.shape.length === 2) return [1, lastAxisRows(right.shape)];
  return left?.shape.length === 2 ? [0, firstAxisRows(left.shape)] : undefined;
}

export const imposeSparsity = (imposed: Imposed): Pass =>
  definePass({
    name: "impose-sparsity",
    doc: "Zeroes the weights of least magnitude in convolutions of one group and in products, but for the first convolution.",
    exactness: "lossy",
    invariant: "every weight that people prune has the given part of its blocks zero",
    run(g: Graph, ctx) {
      const learned = new Set<Value>();
      let tensors = 0;
      const out = rebuild(g, new GraphBuilder(g.ops, g.weights), (n, inputs, b) => {
        const after = inputs.some((v) => learned.has(v));
        const node: Node = { ...n, inputs };
        const found = prunable(node, (v) => b.constantOf(v), after);
        const operands = inputs.map((v, k) => {
          if (found?.[0] !== k) return v;
          tensors++;
          return b.constant(prune(b.constantOf(v)!, found[1], imposed), { loc: v.node.locs });
        });
        const { results } = b.add(n.op, operands, n.attrs, n.locs);
        if (after || ((n.op === "conv" || n.op === "matmul") && inputs.some((v) => b.constantOf(v))))
          for (const r of results) learned.add(r);
        return results;
      });
      if (tensors === 0) return g;
      const [rows, columns] = imposed.block;
      const shape = rows * columns === 1 ? "" : ` in blocks of ${rows}x${columns}`;
      ctx.note(
        `${(100 * imposed.zeros).toFixed(1)} % of the weights of ${tensors} layers${shape} were zeroed: outputs are not the model's`,
      );
      return out;
    },
  });
