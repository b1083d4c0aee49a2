// The time that a kernel is predicted to take.

import type { Graph, Node } from "../../ir/graph.ts";
import { isVector } from "../../ir/kernel/types.ts";
import { visitStatements } from "../../ir/kernel/walk.ts";
import { blockOf } from "../../ir/layouts/index.ts";
import { elementCount, type Tensor } from "../../ir/tensor.ts";
import { maxShape } from "../../ir/types.ts";
import { flopsOf } from "../flops.ts";
import type { Place, Step } from "../lower/step.ts";
import { elementBytes } from "../lower/storage.ts";
import { unitOf } from "../lower/unit.ts";
import { away, type Costs, interpolate, MOST_FEW } from "./costs.ts";
import { predictedGain } from "./gain.ts";

/** Operators whose elements cost a function each. */
const FUNCTIONS: ReadonlySet<string> = new Set(
  "exp log sin cos tan asin acos atan sinh cosh tanh asinh acosh atanh erf pow sigmoid softplus gelu silu mish softmax log_softmax elu selu celu".split(
    " ",
  ),
);

/** Beginning and storing a row of a sparse product, in elements. */
const ROW = 1;

/** Bytes that stay in the second-level cache: rates of products hold for them, and what is more is fetched from further away. */
const CACHE = 2 ** 20;

/** Right-hand sides at once, and the constant; undefined where both operands are computed. */
function productOf(n: Node, constantOf: (n: Node, k: number) => Tensor | undefined) {
  const out = maxShape(n.results[0]!.type);
  if (n.op !== "matmul") {
    const weights = constantOf(n, 1);
    return weights && ({ columns: (out[0] ?? 1) * elementCount(out.slice(2)), weights, by: "first" } as const);
  }
  const right = constantOf(n, 1);
  if (right) return { columns: elementCount(out.slice(0, -1)), weights: right, by: "last" } as const;
  const left = constantOf(n, 0);
  return left && ({ columns: out.at(-1) ?? 1, weights: left, by: "first" } as const);
}

/** Microseconds of the products of one node. */
function products(
  n: Node,
  format: string | undefined,
  fewer: number,
  constantOf: (n: Node, k: number) => Tensor | undefined,
  c: Costs,
): number {
  const { all, nonzero } = flopsOf([n], constantOf);
  if (all === 0) return 0;
  const micros = (rate: number): number => all / rate / 1000;
  if (n.op !== "matmul" && n.attrs.group !== 1) return micros(c.grouped);
  const product = productOf(n, constantOf);
  if (!product) return micros(interpolate(c.dense, maxShape(n.results[0]!.type).at(-2) ?? 1));
  const { columns, weights, by } = product;
  const elements = weights.data.length;
  const near = interpolate(c.dense, columns);
  const rate = columns > MOST_FEW ? near : near + (c.denseFar - near) * away(elements);
  if (format === undefined || format === "dense") return micros(rate * fewer);
  // Each row costs as much again as some of its elements.
  const perRow = (elements * (nonzero / all)) / (weights.shape[by === "first" ? 0 : weights.shape.length - 1] ?? 1);
  const rows = (perRow + ROW) / Math.max(perRow, 1e-6);
  return micros(rate * predictedGain(blockOf(format, by), nonzero / all, { columns, elements }, c)) * rows;
}

const bytes = (places: readonly Place[]): number => places.reduce((sum, p) => sum + elementBytes(p.storage), 0);

const isVectorized = ({ lowered }: Step & { readonly kind: "kernel" }): boolean => {
  let found = false;
  for (const f of lowered.functions)
    visitStatements(f.body, (s) => {
      found ||= s.kind === "store" && isVector(s.value.type);
    });
  return found;
};

/** Microseconds of a kernel. */
export function predict(graph: Graph, s: Step & { readonly kind: "kernel" }, c: Costs): number {
  const { node, lowered } = s;
  const unit = unitOf(node);
  const constantOf = (n: Node, k: number): Tensor | undefined => {
    const inner = n.inputs[k];
    const v = inner && (unit.outside.get(inner) ?? inner);
    return v?.node.op === "const" ? graph.weights.get(v.node.attrs.ref as string) : undefined;
  };
  const moved = bytes([...s.operands, ...s.results]);
  const beyond = Math.max(0, moved - CACHE) / c.memory / 1000;
  const traffic = Math.min(moved, CACHE) / (isVectorized(s) ? c.vectors : c.elements) / 1000 + beyond;
  if (lowered.moves) return c.start + traffic;
  const multiplied = unit.nodes.reduce((sum, n) => sum + products(n, lowered.format, lowered.fewer ?? 1, constantOf, c), 0);
  const called = unit.nodes.filter((n) => FUNCTIONS.has(n.op)).reduce((sum, n) => sum + elementCount(maxShape(n.results[0]!.type)), 0);
  return c.start + (multiplied > 0 ? multiplied + beyond : traffic) + (called * c.functions) / 1000;
}
