// The steps of random graphs: each adds one operator, or one idiom of exporters, to the values made so far.

import { GraphBuilder, type Value } from "../../ir/graph.ts";
import { tensorOf } from "../../ir/tensor.ts";
import { rank, sizeOf } from "../../ir/types.ts";
import { type Choices, shapeOf } from "./random-graph.ts";
import { conv, matmul, norm, pool, quantized, scaledProduct, spelled } from "./random-products.ts";
import { atLeast, both, broadcastable, float, literal, number, type Step } from "./random-step.ts";

const unary =
  (names: readonly string[], test: (v: Value) => boolean): Step =>
  (s) => {
    const x = s.value(test);
    return x && s.op(s.c.of(names), [x]);
  };

const binary =
  (names: readonly string[], test: (v: Value) => boolean): Step =>
  (s) => {
    const x = s.value(test);
    if (!x) return undefined;
    const { dtype } = x.type;
    const kind = s.c.below(4);
    const like = (v: Value) => v.type.dtype === dtype && (rank(v.type) === 0 || shapeOf(v).join() === shapeOf(x).join());
    const y = kind === 0 ? literal(s, dtype) : kind === 1 ? s.constant(dtype, broadcastable(s.c, shapeOf(x))) : (s.value(like) ?? x);
    return s.op(s.c.of(names), s.c.chance(0.3) ? [y, x] : [x, y]);
  };

const permutation = (c: Choices, n: number): number[] => {
  const perm = Array.from({ length: n }, (_, i) => i);
  for (let i = n - 1; i > 0; i--) {
    const j = c.below(i + 1);
    [perm[i], perm[j]] = [perm[j]!, perm[i]!];
  }
  return perm;
};

const reshape: Step = (s) => {
  const x = s.value();
  if (!x) return undefined;
  const shape = [...shapeOf(x)];
  const kind = s.c.below(4);
  if (kind === 0) shape.splice(s.c.below(shape.length + 1), 0, 1);
  else if (kind === 1 && shape.length > 1) {
    const at = s.c.below(shape.length - 1);
    shape.splice(at, 2, shape[at]! * shape[at + 1]!);
  } else if (kind === 2) return s.op("reshape", [x], { shape: shape.filter((d) => d !== 1) });
  else shape.splice(0, shape.length, sizeOf(x.type));
  return s.op("reshape", [x], { shape });
};

const slice: Step = (s) => {
  const x = s.value();
  if (!x) return undefined;
  const axes = shapeOf(x).map((d) => {
    const start = s.c.below(d);
    const step = s.c.chance(0.2) ? -1 : s.c.chance(0.2) ? 2 : 1;
    if (s.c.chance(0.5)) return { start: 0, step: 1, extent: d };
    const room = step < 0 ? start + 1 : Math.ceil((d - start) / step);
    return { start, step, extent: 1 + s.c.below(room) };
  });
  return s.op("slice", [x], { starts: axes.map((a) => a.start), steps: axes.map((a) => a.step), shape: axes.map((a) => a.extent) });
};

const pad: Step = (s) => {
  const x = s.value();
  if (!x) return undefined;
  const amount = () => (s.c.chance(0.4) ? 0 : s.c.below(4) - 1);
  const [begins, ends] = [shapeOf(x).map(amount), shapeOf(x).map(amount)];
  const mode = s.c.of(["constant", "constant", "constant", "edge", "reflect", "wrap"]);
  return s.op("pad", mode === "constant" && s.c.chance(0.4) ? [x, literal(s, x.type.dtype)] : [x], { mode, begins, ends });
};

/** Padding of the spatial axes alone, as exporters put before windows. */
const spatialPad: Step = (s) => {
  const x = s.value(both(float, atLeast(3)));
  if (!x) return undefined;
  const spatial = rank(x.type) - 2;
  const amounts = () => [0, 0, ...Array.from({ length: spatial }, () => s.c.below(2))];
  const value = s.c.of([undefined, 0, Number.NEGATIVE_INFINITY]);
  return s.op("pad", value === undefined ? [x] : [x, literal(s, x.type.dtype, value)], {
    mode: "constant",
    begins: amounts(),
    ends: amounts(),
  });
};

const reduce: Step = (s) => {
  const x = s.value(both(number, atLeast(1)));
  if (!x) return undefined;
  const axes = shapeOf(x).flatMap((_, axis) => (s.c.chance(0.5) ? [axis] : []));
  return s.op("reduce", [x], { op: s.c.of(["sum", "prod", "min", "max"]), axes: axes.length > 0 ? axes : [0], keepdims: s.c.chance(0.5) });
};

const clip: Step = (s) => {
  const x = s.value(number);
  return x && s.op("clip", [x, literal(s, x.type.dtype), literal(s, x.type.dtype)]);
};

const where: Step = (s) => {
  const x = s.value();
  if (!x) return undefined;
  const cond =
    s.value((v) => v.type.dtype === "bool" && shapeOf(v).join() === shapeOf(x).join()) ??
    s.constant("bool", s.c.chance(0.5) ? [] : shapeOf(x));
  const y = s.value((v) => v.type.dtype === x.type.dtype && shapeOf(v).join() === shapeOf(x).join())!;
  return s.op("where", [cond, x, y]);
};

const gather: Step = (s) => {
  const x = s.value(atLeast(1));
  if (!x) return undefined;
  const axis = s.c.below(rank(x.type));
  const extent = shapeOf(x)[axis]!;
  const shape = s.c.of([[], [2], [3], [2, 2]]);
  const start = s.c.below(extent);
  const spaced = s.c.chance(0.5);
  const count = shape.reduce((a, d) => a * d, 1);
  const at = Array.from({ length: count }, (_, i) => (spaced ? Math.min(extent - 1, start + i) : s.c.below(2 * extent) - extent));
  return s.op("gather", [x, s.b.constant(tensorOf("i64", shape, at.map(BigInt)))], { axis });
};

const concat: Step = (s) => {
  const x = s.value(atLeast(1));
  if (!x) return undefined;
  const axis = s.c.below(rank(x.type));
  const fits = (v: Value) =>
    v.type.dtype === x.type.dtype && rank(v.type) === rank(x.type) && shapeOf(v).every((d, k) => k === axis || d === shapeOf(x)[k]);
  return s.op(
    "concat",
    Array.from({ length: 1 + s.c.below(3) }, () => s.value(fits)!),
    { axis },
  );
};

/** A tensor cut in two and put together again, or a part of what was put together. */
const cut: Step = (s) => {
  const x = s.value((v) => rank(v.type) >= 1 && shapeOf(v)[0]! > 1);
  if (!x) return undefined;
  const shape = shapeOf(x);
  const at = 1 + s.c.below(shape[0]! - 1);
  const part = (start: number, extent: number) =>
    s.op("slice", [x], { starts: shape.map((_, k) => (k === 0 ? start : 0)), steps: shape.map(() => 1), shape: shape.with(0, extent) });
  return s.op("concat", [part(0, at), part(at, shape[0]! - at)], { axis: 0 });
};

/** An `if` on a scalar, known or not, whose branches capture a value and a constant. */
const branch: Step = (s) => {
  const x = s.value(float);
  if (!x) return undefined;
  const known = s.c.chance(0.3);
  const sum = s.op("reduce", [x], { op: "sum", axes: shapeOf(x).map((_, k) => k), keepdims: false });
  const cond = known ? s.constant("bool", []) : s.op("gt", [sum, literal(s, x.type.dtype, 0)]);
  const c = s.constant(x.type.dtype, s.c.chance(0.5) ? [] : shapeOf(x));
  const region = (f: string) => {
    const b = new GraphBuilder(s.b.ops, s.b.weights);
    const params = [x, c].map((v, i) => b.param(`p${i}`, v.type.dtype, shapeOf(v)));
    const y = b.value(f, params);
    return { ops: b.ops, name: "region", params, outputs: [b.value("relu", [b.value("neg", [y])])], weights: b.weights };
  };
  return s.op("if", [cond, x, c], { then: region("add"), else: region("mul") });
};

/** A short loop that carries a value and captures a constant. */
const loop: Step = (s) => {
  const x = s.value(float);
  if (!x) return undefined;
  const c = s.constant(x.type.dtype, []);
  const b = new GraphBuilder(s.b.ops, s.b.weights);
  const [, again, state, captured] = [
    b.param("i", "i64", []),
    b.param("cond", "bool", []),
    b.param("x", x.type.dtype, shapeOf(x)),
    b.param("c", x.type.dtype, []),
  ];
  const params = [b.param("i", "i64", []), again!, state!, captured!];
  const next = b.value("add", [b.value("mul", [state!, captured!]), captured!]);
  const body = { ops: b.ops, name: "region", params, outputs: [again!, next, b.value("relu", [state!])], weights: b.weights };
  const trips = s.b.constant(tensorOf("i64", [], [2n]));
  const node = s.b.add("loop", [trips, s.b.constant(tensorOf("bool", [], [1])), x, c], { body, state: 1, max: 2 });
  return node.results[1 + s.c.below(2)];
};

const cast: Step = (s) => {
  const x = s.value();
  return x && s.op("cast", [x], { to: s.c.of(["f32", "f16", "f64", "i32", "i64", "u8", "bool"]) });
};

const expand: Step = (s) => {
  const x = s.value();
  if (!x) return undefined;
  const shape = shapeOf(x).map((d) => (d === 1 && s.c.chance(0.7) ? 3 : d));
  return s.op("expand", [x], { shape: s.c.chance(0.4) ? [1 + s.c.below(2), ...shape] : shape });
};

const tile: Step = (s) => {
  const x = s.value();
  return x && s.op("tile", [x], { repeats: shapeOf(x).map(() => 1 + s.c.below(2)) });
};

const transpose: Step = (s) => {
  const x = s.value(atLeast(1));
  return x && s.op("transpose", [x], { perm: permutation(s.c, rank(x.type)) });
};

const argReduce: Step = (s) => {
  const x = s.value(both(number, atLeast(1)));
  return x && s.op("arg_reduce", [x], { op: s.c.of(["argmin", "argmax"]), axis: s.c.below(rank(x.type)), keepdims: s.c.chance(0.5) });
};

/** The inverse of what made a value, or the same again. */
const again: Step = (s) => {
  // Not gather: the indices of one tensor may lie outside another.
  const x = s.value((v) => v.node.inputs.length > 0 && v.node.op !== "gather");
  if (!x) return undefined;
  const { op, attrs } = x.node;
  const back = s.c.chance(0.5);
  if (op === "cast") return s.op("cast", [x], { to: back ? x.node.inputs[0]!.type.dtype : attrs["to"]! });
  if (op === "transpose" && back) {
    const perm = attrs["perm"] as readonly number[];
    return s.op("transpose", [x], { perm: perm.map((_, axis) => perm.indexOf(axis)) });
  }
  if (x.node.inputs.length === 1) return s.op(op, [x], attrs);
  return s.op(op, [x, ...x.node.inputs.slice(1)], attrs);
};

/** By name, so that a backend can leave some out; the more often, the larger the number. */
export const STEPS: Readonly<Record<string, readonly [weight: number, step: Step]>> = {
  unaryFloat: [3, unary(["relu", "sigmoid", "tanh", "erf", "softsign", "silu", "hard_swish", "sqrt", "exp", "reciprocal"], float)],
  unaryNumber: [4, unary(["neg", "abs", "relu", "relu", "neg"], number)],
  step: [1, unary(["floor", "round", "sign", "ceil"], float)],
  unaryBool: [1, unary(["not"], (v) => v.type.dtype === "bool")],
  binaryNumber: [6, binary(["add", "sub", "mul", "div", "min", "max", "add", "mul"], number)],
  binaryFloat: [3, binary(["add", "sub", "mul", "min", "max", "pow"], float)],
  compare: [1, binary(["eq", "ne", "lt", "le", "gt", "ge"], number)],
  logic: [1, binary(["and", "or", "xor"], (v) => v.type.dtype === "bool")],
  again: [3, again],
  clip: [2, clip],
  where: [1, where],
  cast: [1, cast],
  reshape: [3, reshape],
  transpose: [2, transpose],
  expand: [1, expand],
  tile: [1, tile],
  slice: [1, slice],
  pad: [1, pad],
  spatialPad: [2, spatialPad],
  gather: [1, gather],
  concat: [1, concat],
  cut: [1, cut],
  conv: [2, conv],
  pool: [2, pool],
  matmul: [2, matmul],
  scaledProduct: [3, scaledProduct],
  reduce: [2, reduce],
  argReduce: [1, argReduce],
  norm: [2, norm],
  spelled: [3, spelled],
  quantized: [1, quantized],
  branch: [1, branch],
  loop: [1, loop],
};
