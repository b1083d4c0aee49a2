// Products of integers with scales become products of the integers: scales and zero points move behind them, where they cost little.

import type { GraphBuilder, Value } from "../../ir/graph.ts";
import { op, type Rule, rule } from "../../ir/rewrite.ts";
import { elementCount } from "../../ir/tensor.ts";
import { isStatic, rank, sameShape } from "../../ir/types.ts";
import { numberAt, splatOf } from "./constants.ts";
import { dynamicScales } from "./dynamic-scales.ts";
import { type IntegerWeights, integerWeights, numbers, type Steps, stepsOf, unsigned } from "./integers.ts";
import { quantizedMatrix } from "./quantized-matrix.ts";

const shapeOf = (v: Value): readonly number[] => v.type.shape as readonly number[];
const floatConstant = (b: GraphBuilder, xs: Float64Array, shape: readonly number[]): Value =>
  b.constant({ dtype: "f32", shape, data: Float32Array.from(xs) });
const intConstant = (b: GraphBuilder, xs: Float64Array, shape: readonly number[]): Value =>
  b.constant({ dtype: "i32", shape, data: Int32Array.from(xs) });

const LARGEST = 2 ** 31 - 1;

/** A product that can be taken of integers: activations of one scale by constant weights. */
interface Product {
  readonly x: Steps;
  readonly w: IntegerWeights;
  /** Scale of the sums for each output; undefined where they are integers. */
  readonly scales: Float64Array | undefined;
}

/** `outputs`: the axis of the weights that runs over outputs. */
function productOf(b: GraphBuilder, x: Value, weights: Value, outputs: number): Product | undefined {
  const steps = stepsOf(x);
  if (!steps || steps.integers.node.op === "const") return undefined;
  const own = unsigned(b, steps);
  if (!own) return undefined;
  const w = integerWeights(b, weights, outputs);
  if (!w || (steps.scale === undefined) !== (w.scales === undefined)) return undefined;
  if (!steps.scale) return { x: own, w, scales: undefined };
  const scale = splatOf(b, steps.scale);
  // In f32, as the scales are.
  return scale === undefined ? undefined : { x: own, w, scales: w.scales!.map((s) => Math.fround(scale * s)) };
}

/** Whether sums with those biases stay below 2^31, so that floats of them mean the same. */
function inRange({ w, scales }: Product, bias: Float64Array): boolean {
  return scales === undefined || bias.every((x, m) => Math.abs(x) + 255 * w.magnitudes[m]! <= LARGEST);
}

/** The bias in steps of the sums, where it is whole steps; undefined where it is not. */
function stepsOfBias(b: GraphBuilder, bias: Value | undefined, { w, scales }: Product): Float64Array | undefined {
  if (!bias) return new Float64Array(w.sums.length);
  const { op: name, inputs } = bias.node;
  // A bias of i32 steps, dequantized with the scales of the sums, to within their rounding.
  if (scales && name === "dequantize" && inputs[0]!.type.dtype === "i32" && bias.node.attrs.block === 0) {
    const [q, s, z] = inputs.map((v) => numbers(b, v));
    const same = s && (s.length === 1 || s.length === scales.length) && scales.every((x, m) => close(x, s[s.length === 1 ? 0 : m]!));
    return q && same && (z === undefined || z.every((x) => x === 0)) && (inputs.length < 3 || z) ? q : undefined;
  }
  const own = numbers(b, bias);
  return scales ? undefined : own;
}

const close = (a: number, c: number): boolean => Math.abs(a - c) <= 2 ** -22 * Math.abs(a);

/** The sums as what they stand for: floats by their scales, or the integers themselves. */
function scaled(b: GraphBuilder, sums: Value, scales: Float64Array | undefined, axis: number, root: Value): Value {
  if (!scales) return sums;
  const shape = scales.every((s) => s === scales[0]) ? [] : shapeOf(root).map((d, k) => (k === axis ? d : 1));
  const factor = floatConstant(b, shape.length === 0 ? scales.slice(0, 1) : scales, shape);
  return b.value("mul", [b.value("cast", [sums], { to: "f32" }, root.node.locs), factor], {}, root.node.locs);
}

/** Steps beyond which a bias without weights is taken up by its scale, so that kernels see moderate numbers. */
const LARGE_STEPS = 2 ** 20;

/** Outputs without weights, whose steps may be tiny and their bias any number of them: one step of the bias' size means the same. */
function moderated(
  { w, scales }: Product,
  start: Float64Array,
): { readonly start: Float64Array; readonly scales: Float64Array | undefined } {
  if (!scales) return { start, scales };
  const idle = start.map((s, m) => Number(w.magnitudes[m] === 0 && Math.abs(s) > LARGE_STEPS));
  return {
    start: start.map((s, m) => (idle[m] ? 1 : s)),
    scales: scales.map((s, m) => (idle[m] ? Math.fround(Math.fround(start[m]!) * s) : s)),
  };
}

/** What sums of integers have in excess: those of the weights, along `axis`, times a zero point that a run gives. Undefined if out of range. */
function excess(b: GraphBuilder, p: Product, axis: readonly number[], root: Value): Value | undefined {
  const most = p.w.magnitudes.map((s) => 255 * s);
  if (!inRange(p, most)) return undefined;
  const { locs } = root.node;
  const zero = b.value("reshape", [b.value("cast", [p.x.zero!], { to: "i32" }, locs)], { shape: [] });
  return b.value("mul", [intConstant(b, p.w.sums, axis), zero], {}, locs);
}

/** A convolution by a zero point that a run gives: of the input in a frame of it, for what lies outside counts as zero. */
function framed(b: GraphBuilder, p: Product, w: Value, bias: Value | undefined, root: Value): Value | undefined {
  const { attrs, locs } = root.node;
  const all = attrs.pads as readonly number[];
  const n = all.length / 2;
  const more = excess(
    b,
    p,
    shapeOf(root).map((d, k) => (k === 1 ? d : 1)),
    root,
  );
  if (!more || bias) return undefined;
  const zero = b.value("reshape", [b.value("cast", [p.x.zero!], { to: "u8" }, locs)], { shape: [] });
  const frame = { mode: "constant", begins: [0, 0, ...all.slice(0, n)], ends: [0, 0, ...all.slice(n)] };
  const x = all.every((d) => d === 0) ? p.x.integers : b.value("pad", [p.x.integers, zero], frame, locs);
  const sums = b.value("conv", [x, b.constant(p.w.tensor, { loc: w.node.locs })], { ...attrs, pads: all.map(() => 0) }, locs);
  return scaled(b, b.value("sub", [sums, more], {}, locs), p.scales, 1, root);
}

const convolutions: Rule = rule("conv of integers and scales -> conv of integers, then scales", op("conv"), (_, b, root) => {
  const [x, w, bias] = root.node.inputs as [Value, Value, Value?];
  if (!isStatic(root.type) || (root.type.dtype !== "f32" && root.type.dtype !== "i32")) return undefined;
  const p = productOf(b, x, w, 0);
  if (!p || root.node.attrs.fill !== undefined) return undefined;
  const zero = p.x.zero ? splatOf(b, p.x.zero) : 0;
  if (zero === undefined) return framed(b, p, w, bias, root);
  const steps = stepsOfBias(b, bias, p);
  const biases = (steps ?? new Float64Array(p.w.sums.length)).map((s, m) => s - zero * p.w.sums[m]!);
  if (!inRange(p, biases)) return undefined;
  const { start, scales } = moderated(p, biases);
  const m = start.length;
  const operands = [p.x.integers, b.constant(p.w.tensor, { loc: w.node.locs })];
  if (start.some((s) => s !== 0)) operands.push(intConstant(b, start, [m]));
  const attrs = zero === 0 ? root.node.attrs : { ...root.node.attrs, fill: zero };
  const y = scaled(b, b.value("conv", operands, attrs, root.node.locs), scales, 1, root);
  if (steps || !bias) return y;
  const aligned = b.value("reshape", [bias], { shape: shapeOf(root).map((d, k) => (k === 1 ? d : 1)) });
  return b.value("add", [y, aligned], {}, root.node.locs);
});

const products: Rule = rule("matmul of integers and scales -> matmul of integers, then scales", op("matmul"), (_, b, root) => {
  const [x, w] = root.node.inputs as [Value, Value];
  if (!isStatic(root.type) || (root.type.dtype !== "f32" && root.type.dtype !== "i32") || rank(w.type) !== 2) return undefined;
  const p = productOf(b, x, w, 1);
  if (!p) return undefined;
  const n = p.w.sums.length;
  const { locs } = root.node;
  const sums = b.value("matmul", [p.x.integers, b.constant(p.w.tensor, { loc: w.node.locs })], {}, locs);
  const axis = rank(root.type) - 1;
  const known = p.x.zero ? splatOf(b, p.x.zero) : 0;
  if (known !== undefined) {
    const start = p.w.sums.map((s) => 0 - known * s);
    if (!inRange(p, start)) return undefined;
    return scaled(b, known === 0 ? sums : b.value("add", [sums, intConstant(b, start, [n])], {}, locs), p.scales, axis, root);
  }
  const more = excess(b, p, [n], root);
  return more && scaled(b, b.value("sub", [sums, more], {}, locs), p.scales, axis, root);
});

/** Operators that keep positive factors: f(c x) = c f(x), constants of theirs multiplied too. */
const HOMOGENEOUS: ReadonlySet<string> = new Set(["relu", "min", "max", "clip", "add", "leaky_relu"]);

/** `v / by`, where `v` is made of integers times constant scales, added up or rectified; undefined where it is anything else. */
function divided(b: GraphBuilder, v: Value, by: number, depth = 0): Value | undefined {
  const { op: name, inputs, attrs, locs } = v.node;
  const over = (c: Value): Value | undefined => {
    const t = c.type.dtype === "f32" ? b.constantOf(c) : undefined;
    return t && b.constant({ ...t, data: Float32Array.from(t.data as Float32Array, (e) => Math.fround(e / by)) }, { loc: c.node.locs });
  };
  const [x, factor, ...rest] = inputs as [Value, Value, ...Value[]];
  const isProduct = name === "mul" && x.node.op === "cast" && x.node.inputs[0]!.type.dtype === "i32";
  // One value's steps as others are better left alone: a ratio that is rounded moves whatever it takes halfway between two.
  if (isProduct || (name === "dequantize" && depth > 0)) {
    const own = over(factor);
    return own && b.value(name, [x, own, ...rest], attrs, locs);
  }
  if (!HOMOGENEOUS.has(name) || depth > 3) return undefined;
  const parts = inputs.map((e) => over(e) ?? divided(b, e, by, depth + 1));
  return parts.every((p) => p !== undefined) ? b.value(name, parts, attrs, locs) : undefined;
}

const requantized: Rule = rule("quantize(sums * scale, s) -> quantize(sums * (scale / s), 1)", op("quantize"), (_, b, root) => {
  const [x, scale, zero] = root.node.inputs as [Value, Value, Value?];
  const s = rank(scale.type) === 0 && scale.type.dtype === "f32" ? splatOf(b, scale) : undefined;
  if (s === undefined || s === 1 || !(s > 0) || !Number.isFinite(s)) return undefined;
  const units = divided(b, x, s);
  if (!units || !sameShape(units.type.shape, x.type.shape)) return undefined;
  const one = b.constant({ dtype: "f32", shape: [], data: Float32Array.of(1) });
  return b.value("quantize", zero ? [units, one, zero] : [units, one], root.node.attrs, root.node.locs);
});

const constants: Rule = rule("dequantize(constant) -> constant", op("dequantize"), (_, b, root) => {
  const [q, s, z] = root.node.inputs as [Value, Value, Value?];
  const [t, scale, zero] = [b.constantOf(q), b.constantOf(s), z && b.constantOf(z)];
  if (!t || !scale || scale.dtype !== "f32" || (z && !zero)) return undefined;
  const [axis, block] = [root.node.attrs.axis as number, root.node.attrs.block as number];
  const extent = scale.shape.length === 0 ? 1 : t.shape[axis]!;
  const inner = scale.shape.length === 0 ? t.data.length : elementCount(t.shape.slice(axis + 1));
  const blocks = block === 0 ? extent : Math.ceil(extent / block);
  const data = new Float32Array(t.data.length);
  for (let i = 0; i < data.length; i++) {
    const at = Math.floor(i / inner);
    const along = block === 0 ? at % extent : Math.floor((at % extent) / block);
    // One scale for each index of the axis, or one for each block along it, beside all the other axes.
    const k = block === 0 ? along : (Math.floor(at / extent) * blocks + along) * inner + (i % inner);
    data[i] = Math.fround(Math.fround(numberAt(t, i) - (zero ? numberAt(zero, k) : 0)) * numberAt(scale, k));
  }
  const made = quantizedMatrix(t, scale, zero, axis, block);
  return b.constant({ dtype: "f32", shape: t.shape, data, ...(made ? { made } : {}) }, { loc: q.node.locs });
});

/** Products first: what is left of constants after them is wanted as floats. */
export const integerProductRules: readonly Rule[] = [dynamicScales, convolutions, products, requantized];
export const dequantizedConstants: readonly Rule[] = [constants];
