// Softmax and normalisations spelled out as reductions: recognised piece by piece, scale and bias last.

import { isFloat } from "../../ir/dtype.ts";
import type { GraphBuilder, Value } from "../../ir/graph.ts";
import { any, as, once, op, type Rule, rule } from "../../ir/rewrite.ts";
import { tensorOf } from "../../ir/tensor.ts";
import { broadcast, isStatic, rank, sameShape } from "../../ir/types.ts";
import { near } from "./activation.ts";
import { isSplat, splatOf } from "./constants.ts";

const axesOf = (v: Value): readonly number[] => v.node.attrs.axes as readonly number[];
const isReduce = (v: Value, kind: string): boolean => v.node.op === "reduce" && v.node.attrs.op === kind && v.node.attrs.keepdims === true;

/** What `v` is the mean of, and over which axes: a sum over a count, kept as axes of extent 1. */
function meanOf(b: GraphBuilder, v: Value): { readonly x: Value; readonly axes: readonly number[] } | undefined {
  const [sum, by] = v.node.inputs;
  if (!sum || !by || !isReduce(sum, "sum") || (v.node.op !== "div" && v.node.op !== "mul")) return undefined;
  const x = sum.node.inputs[0]!;
  const axes = axesOf(sum);
  if (!isStatic(x.type)) return undefined;
  const count = axes.reduce((n, axis) => n * (x.type.shape[axis] as number), 1);
  const k = splatOf(b, by);
  return k !== undefined && near(v, v.node.op === "div" ? k : 1 / k, count) ? { x, axes } : undefined;
}

const squareOf = (b: GraphBuilder, v: Value): Value | undefined => {
  const [x, y] = v.node.inputs;
  if (v.node.op === "mul") return x === y ? x : undefined;
  return v.node.op === "pow" && splatOf(b, y!) === 2 ? x : undefined;
};

/** `v` as x over the root of its mean square plus epsilon, in one of the ways to write it. */
function standardized(
  b: GraphBuilder,
  v: Value,
): { readonly x: Value; readonly axes: readonly number[]; readonly epsilon: number } | undefined {
  const [x, second] = v.node.inputs;
  if (!x || !second) return undefined;
  const root = ((): Value | undefined => {
    if (v.node.op === "div") return second;
    if (v.node.op !== "mul") return undefined;
    if (second.node.op === "reciprocal") return second.node.inputs[0];
    return second.node.op === "div" && isSplat(b, second.node.inputs[0]!, 1) ? second.node.inputs[1] : undefined;
  })();
  const shifted = root?.node.op === "sqrt" ? root.node.inputs[0]! : undefined;
  if (shifted?.node.op !== "add") return undefined;
  const epsilon = splatOf(b, shifted.node.inputs[1]!);
  const mean = meanOf(b, shifted.node.inputs[0]!);
  if (epsilon === undefined || !mean || squareOf(b, mean.x) !== x) return undefined;
  return { x, axes: mean.axes, epsilon };
}

/** The first of axes that run to the last one, or undefined. */
function trailing(axes: readonly number[], n: number): number | undefined {
  const sorted = [...axes].sort((a, c) => a - c);
  return sorted.length > 0 && sorted.every((axis, i) => axis === n - sorted.length + i) ? sorted[0] : undefined;
}

const one = (b: GraphBuilder, like: Value): Value => b.constant(tensorOf(like.type.dtype, [], [like.type.dtype === "f16" ? 0x3c00 : 1]));

const norm = op(["layer_norm", "rms_norm"]);
const fits = (c: Value, x: Value): boolean => {
  const shape = broadcast(x.type.shape, c.type.shape);
  return c.type.dtype === x.type.dtype && shape !== undefined && sameShape(shape, x.type.shape);
};

/** The scale of a normalisation that has none yet. */
function scaled(n: Value, c: Value, b: GraphBuilder, root: Value): Value | undefined {
  const [x, scale, bias] = n.node.inputs;
  return bias || !isSplat(b, scale!, 1) || !fits(c, x!)
    ? undefined
    : b.value(n.node.op, [x!, c], n.node.attrs, [...root.node.locs, ...n.node.locs]);
}

function biased(n: Value, c: Value, b: GraphBuilder, root: Value): Value | undefined {
  const [x, scale, bias] = n.node.inputs;
  // A residual of x's own shape is no bias: adding it is better fused.
  if (n.node.op !== "layer_norm" || bias || !fits(c, x!) || sameShape(c.type.shape, x!.type.shape)) return undefined;
  return b.value("layer_norm", [x!, scale!, c], n.node.attrs, [...root.node.locs, ...n.node.locs]);
}

export const normalizationRules: readonly Rule[] = [
  rule(
    "exp(x - max(x)) / sum(exp(x - max(x))) -> softmax(x)",
    op("div", as("e", op("exp", op("sub", any("x"), as("m", op("reduce", any("x")))))), as("s", op("reduce", any("e")))),
    ({ x, m, s }, b, root) => {
      const [axis, ...more] = axesOf(s);
      if (
        !isReduce(m, "max") ||
        !isReduce(s, "sum") ||
        axis === undefined ||
        more.length > 0 ||
        axesOf(m).length !== 1 ||
        axesOf(m)[0] !== axis
      )
        return undefined;
      return isFloat(x.type.dtype) ? b.value("softmax", [x], { axis }, root.node.locs) : undefined;
    },
  ),
  rule(
    "(x - mean) / sqrt(variance + epsilon) -> layer_norm(x); x / sqrt(mean square + epsilon) -> rms_norm(x)",
    op(["div", "mul"]),
    (_, b, root) => {
      const found = standardized(b, root);
      if (!found || !isFloat(root.type.dtype)) return undefined;
      const { x: d, axes, epsilon } = found;
      const axis = trailing(axes, rank(root.type));
      if (axis === undefined) return undefined;
      const attrs = { axis, epsilon };
      const mean = d.node.op === "sub" ? meanOf(b, d.node.inputs[1]!) : undefined;
      const centred =
        mean && mean.x === d.node.inputs[0] && trailing(mean.axes, rank(root.type)) === axis && mean.axes.length === axes.length;
      return centred
        ? b.value("layer_norm", [mean.x, one(b, mean.x)], attrs, root.node.locs)
        : b.value("rms_norm", [d, one(b, d)], attrs, root.node.locs);
    },
  ),
  rule("norm(x) * scale -> norm(x, scale)", op("mul", once(as("n", norm)), any("c")), ({ n, c }, b, root) => scaled(n, c, b, root)),
  rule("scale * norm(x) -> norm(x, scale)", op("mul", any("c"), once(as("n", norm))), ({ n, c }, b, root) => scaled(n, c, b, root)),
  rule("layer_norm(x, scale) + bias -> layer_norm(x, scale, bias)", op("add", once(as("n", norm)), any("c")), ({ n, c }, b, root) =>
    biased(n, c, b, root),
  ),
  rule("bias + layer_norm(x, scale) -> layer_norm(x, scale, bias)", op("add", any("c"), once(as("n", norm))), ({ n, c }, b, root) =>
    biased(n, c, b, root),
  ),
];
