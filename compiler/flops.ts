// Counts the arithmetic of matrix products and convolutions, as the field does: two operations for each multiplication and addition.

import type { Node } from "../ir/graph.ts";
import type { Tensor } from "../ir/tensor.ts";
import { elementCount } from "../ir/tensor.ts";
import { maxShape } from "../ir/types.ts";
import { countZeros } from "./sparsity/count-zeros.ts";

/** Floating-point operations: all of them, and those whose constant operand is not zero. */
export interface Flops {
  readonly all: number;
  readonly nonzero: number;
}

/** Operators that are counted; all others are taken for free. */
export const COUNTED: readonly string[] = ["conv", "conv_transpose", "matmul"];

const share = (t: Tensor): number => (t.data.length === 0 ? 0 : 1 - countZeros(t) / t.data.length);

/** Multiplications of one node; taps on padding are counted. */
function products(n: Node): number {
  const [x, w] = n.inputs.map((v) => maxShape(v.type)) as [readonly number[], readonly number[]];
  const out = maxShape(n.results[0]!.type);
  switch (n.op) {
    case "conv":
      return elementCount(out) * elementCount(w.slice(1));
    case "conv_transpose":
      return elementCount(x) * elementCount(w.slice(1));
    case "matmul":
      return elementCount(out) * (x.at(-1) ?? 1);
    default:
      return 0;
  }
}

/** `constantOf` gives the tensor of an operand that is constant. */
export function flopsOf(nodes: readonly Node[], constantOf: (n: Node, operand: number) => Tensor | undefined): Flops {
  let [all, nonzero] = [0, 0];
  for (const n of nodes) {
    const flops = 2 * products(n);
    if (flops === 0) continue;
    const constant = constantOf(n, 1) ?? constantOf(n, 0);
    all += flops;
    nonzero += constant ? flops * share(constant) : flops;
  }
  return { all, nonzero: Math.round(nonzero) };
}
