// Moves constant scales and shifts into the weights and biases of the products before them; a batch norm is one of each.

import type { GraphBuilder, Value } from "../../ir/graph.ts";
import { any, as, constant, once, op, type Rule, rule } from "../../ir/rewrite.ts";
import { rank, sameShape, sameType, sizeOf } from "../../ir/types.ts";
import { rewritePass } from "../pass.ts";
import { floats, fromFloats, isConstant } from "../rules/constants.ts";

type Floats = Float64Array;

const isReal = (v: Value): boolean => v.type.dtype === "f32" || v.type.dtype === "f64" || v.type.dtype === "f16";
const allFinite = (xs: Floats): boolean => xs.every((x) => Number.isFinite(x));

/** The constant as one number for each index of `axis` of a value of the given shape: a scalar, or extent 1 on all other axes. */
function perIndex(b: GraphBuilder, c: Value, shape: readonly number[], axis: number): Floats | undefined {
  const xs = floats(b, c);
  if (!xs) return undefined;
  const n = shape[axis]!;
  if (xs.length === 1) return new Float64Array(n).fill(xs[0]!);
  const own = c.type.shape as readonly number[];
  const at = axis - (shape.length - own.length);
  return own.every((d, k) => d === (k === at ? n : 1)) ? xs : undefined;
}

/** The axis of the weights that runs over output channels, where there is just one such axis. */
function outputAxis(product: Value): number | undefined {
  if (product.node.op === "conv") return 0;
  if (product.node.op === "conv_transpose" && product.node.attrs.group === 1) return 1;
  return product.node.op === "matmul" && rank(product.node.inputs[1]!.type) === 2 && rank(product.node.inputs[0]!.type) >= 2
    ? 1
    : undefined;
}

/** The axis of the result that runs over output channels. */
const channelAxis = (product: Value): number => (product.node.op === "matmul" ? rank(product.type) - 1 : 1);

/** The weights times `scale` per output channel. */
function scaledWeights(b: GraphBuilder, w: Value, axis: number, scale: Floats): Value | undefined {
  const xs = floats(b, w);
  if (!xs) return undefined;
  const shape = w.type.shape as readonly number[];
  const inner = shape.slice(axis + 1).reduce((a, d) => a * d, 1);
  const scaled = fromFloats(
    b,
    w,
    xs.map((x, i) => x * scale[Math.floor(i / inner) % shape[axis]!]!),
    shape,
  );
  // A weight that overflows its type when scaled was not meant to be.
  return allFinite(floats(b, scaled)!) ? scaled : undefined;
}

/** product * scale + shift, both per output channel. */
function affine(b: GraphBuilder, product: Value, scale: Floats, shift: Floats | undefined, root: Value): Value | undefined {
  const [x, w, bias] = product.node.inputs;
  const axis = outputAxis(product);
  const scaled = axis === undefined || !allFinite(scale) ? undefined : scaledWeights(b, w!, axis, scale);
  if (!scaled) return undefined;
  const old = bias ? floats(b, bias) : new Float64Array(scale.length);
  if (!old) return undefined;
  const moved = old.map((y, i) => y * scale[i]! + (shift?.[i] ?? 0));
  const locs = [...root.node.locs, ...product.node.locs];
  const { op: kind, attrs } = product.node;
  if (kind === "matmul") {
    const plain = b.value(kind, [x!, scaled], attrs, locs);
    return shift ? b.value("add", [plain, fromFloats(b, w!, moved, [moved.length])], {}, locs) : plain;
  }
  const inputs = bias || shift ? [x!, scaled, fromFloats(b, w!, moved, [moved.length])] : [x!, scaled];
  return b.value(kind, inputs, attrs, locs);
}

const products = ["conv", "conv_transpose", "matmul"] as const;

/** A product with constant weights that nothing else uses. */
const product = once(as("p", op(products)));

const folds: readonly Rule[] = [
  rule(
    "batch_norm(product) -> product",
    op("batch_norm", product, constant("scale"), constant("bias"), constant("mean"), constant("variance")),
    ({ p, ...c }, b, root) => {
      const { factor, shift } = normalization(b, c, root.node.attrs.epsilon as number) ?? {};
      // For matmul, axis 1 of the result is the output channel only where it is the last.
      if (!factor || !shift || channelAxis(p) !== 1) return undefined;
      return affine(b, p, factor, shift, root);
    },
  ),
  rule("product * constant -> product", op("mul", product, constant("c")), ({ p, c }, b, root) => {
    if (!sameType(p.type, root.type)) return undefined;
    const scale = perIndex(b, c, p.type.shape as readonly number[], channelAxis(p));
    return scale && affine(b, p, scale, undefined, root);
  }),
  rule("product / constant -> product", op("div", product, constant("c")), ({ p, c }, b, root) => {
    if (!sameType(p.type, root.type)) return undefined;
    const divisor = perIndex(b, c, p.type.shape as readonly number[], channelAxis(p));
    return (
      divisor &&
      affine(
        b,
        p,
        divisor.map((x) => 1 / x),
        undefined,
        root,
      )
    );
  }),
  rule(
    "conv + constant -> conv with bias",
    op("add", once(as("p", op(["conv", "conv_transpose"]))), constant("c")),
    ({ p, c }, b, root) => {
      const [x, w, bias] = p.node.inputs;
      if (!sameType(p.type, root.type) || !isReal(root) || (bias && !isConstant(bias))) return undefined;
      const shift = perIndex(b, c, p.type.shape as readonly number[], 1);
      const old = bias ? floats(b, bias) : undefined;
      if (!shift || !allFinite(shift)) return undefined;
      const moved = old ? shift.map((y, i) => y + old[i]!) : shift;
      return b.value(p.node.op, [x!, w!, fromFloats(b, c, moved, [moved.length])], p.node.attrs, [...root.node.locs, ...p.node.locs]);
    },
  ),
];

interface Norm {
  readonly scale: Value;
  readonly bias: Value;
  readonly mean: Value;
  readonly variance: Value;
}

/** (x - mean) / sqrt(variance + epsilon) * scale + bias as x * factor + shift. */
function normalization(b: GraphBuilder, n: Norm, epsilon: number): { readonly factor: Floats; readonly shift: Floats } | undefined {
  const [scale, bias, mean, variance] = [n.scale, n.bias, n.mean, n.variance].map((v) => floats(b, v));
  if (!scale || !bias || !mean || !variance) return undefined;
  const factor = scale.map((s, i) => s / Math.sqrt(variance[i]! + epsilon));
  const shift = bias.map((y, i) => y - mean[i]! * factor[i]!);
  return allFinite(factor) && allFinite(shift) ? { factor, shift } : undefined;
}

const chains: readonly Rule[] = [
  rule(
    "batch_norm(x) -> x * factor + shift",
    op("batch_norm", any("x"), constant("scale"), constant("bias"), constant("mean"), constant("variance")),
    ({ x, ...c }, b, root) => {
      const { factor, shift } = normalization(b, c, root.node.attrs.epsilon as number) ?? {};
      if (!factor || !shift) return undefined;
      const shape = [factor.length, ...Array.from({ length: rank(x.type) - 2 }, () => 1)];
      const scaled = b.value("mul", [x, fromFloats(b, c.scale, factor, shape)], {}, root.node.locs);
      return b.value("add", [scaled, fromFloats(b, c.scale, shift, shape)], {}, root.node.locs);
    },
  ),
  ...(["mul", "add"] as const).map((f) =>
    rule(
      `${f}(${f}(x, c), d) -> ${f}(x, ${f}(c, d))`,
      op(f, once(as("inner", op(f, any("x"), constant("c")))), constant("d")),
      ({ x, c, d, inner }, b, root) => {
        if (!isReal(root) || !sameType(x.type, root.type) || !sameType(inner.type, root.type)) return undefined;
        const [left, right] = [floats(b, c), floats(b, d)];
        // Equal shapes or a scalar: a product of two shapes could be larger than both.
        if (!left || !right || !(sameShape(c.type.shape, d.type.shape) || sizeOf(c.type) === 1 || sizeOf(d.type) === 1)) return undefined;
        const large = left.length >= right.length ? c : d;
        const combine = (i: number): number => {
          const [y, z] = [left[left.length === 1 ? 0 : i]!, right[right.length === 1 ? 0 : i]!];
          return f === "mul" ? y * z : y + z;
        };
        const merged = Float64Array.from({ length: Math.max(left.length, right.length) }, (_, i) => combine(i));
        return allFinite(merged)
          ? b.value(f, [x, fromFloats(b, large, merged, large.type.shape as readonly number[])], {}, root.node.locs)
          : undefined;
      },
    ),
  ),
];

export const foldBatchnorm = rewritePass({
  name: "fold-batchnorm",
  doc: "Multiplies constant scales into the weights of convolutions and matrix products, adds constant shifts to biases, and writes other batch norms as one scale and one shift.",
  exactness: "bounded",
  invariant: "no constant scale or shift per channel follows a product with constant weights that nothing else reads",
  rules: [...folds, ...chains],
});
