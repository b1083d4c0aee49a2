// The steps of random graphs: each adds one operator, or one idiom of exporters, to the values made so far.

import type { DType } from "../../ir/dtype.ts";
import { DTYPES, isFloat, isInteger } from "../../ir/dtype.ts";
import { GraphBuilder, type Value } from "../../ir/graph.ts";
import { toF16 } from "../../ir/scalar/f16.ts";
import { tensorOf } from "../../ir/tensor.ts";
import { rank, sizeOf } from "../../ir/types.ts";
import { type Choices, type StepContext, shapeOf } from "./random-graph.ts";

type Step = (s: StepContext) => Value | undefined;

const float = (v: Value): boolean => isFloat(v.type.dtype);
const number = (v: Value): boolean => float(v) || isInteger(v.type.dtype);
const atLeast =
  (n: number) =>
  (v: Value): boolean =>
    rank(v.type) >= n;
const both =
  (...tests: readonly ((v: Value) => boolean)[]) =>
  (v: Value): boolean =>
    tests.every((t) => t(v));

/** A scalar constant; the numbers that rules look for come often. */
function literal(
  { b, c }: StepContext,
  dtype: DType,
  x = c.of([0, -0, 1, 2, 0.5, 4, 3, 6, -1, 1.5, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]),
): Value {
  const finite = Number.isFinite(x) ? x : Math.sign(x) * 100;
  const { kind } = DTYPES[dtype];
  const value =
    kind === "float" ? x : kind === "bool" ? Number(x > 0) : kind === "uint" ? Math.abs(Math.trunc(finite)) : Math.trunc(finite);
  const big = dtype === "i64" || dtype === "u64";
  return b.constant(tensorOf(dtype, [], [big ? BigInt(value) : dtype === "f16" ? toF16(value) : value]));
}

/** A shape that broadcasts with `shape`: itself, one value a channel, one axis, a scalar. */
function broadcastable(c: Choices, shape: readonly number[]): readonly number[] {
  const kind = c.below(4);
  if (kind === 0 || shape.length === 0) return shape;
  if (kind === 1) return [];
  if (kind === 2 && shape.length > 1) return [shape[1]!, ...shape.slice(2).map(() => 1)];
  return shape.slice(c.below(shape.length)).map((d) => (c.chance(0.5) ? d : 1));
}

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

const window = (c: Choices, n: number) => ({
  strides: Array.from({ length: n }, () => 1 + c.below(2)),
  dilations: Array.from({ length: n }, () => (c.chance(0.2) ? 2 : 1)),
  pads: Array.from({ length: 2 * n }, () => c.below(2)),
});

const conv: Step = (s) => {
  const x = s.value(both((v) => v.type.dtype === "f32", atLeast(3)));
  if (!x) return undefined;
  const [, channels, ...spatial] = shapeOf(x);
  const group = s.c.chance(0.3) ? channels! : 1;
  const m = group * (1 + s.c.below(3));
  const transpose = s.c.chance(0.2);
  const kernel = spatial.map((d) => 1 + s.c.below(Math.min(3, d)));
  const shape = transpose ? [channels!, m / group, ...kernel] : [m, channels! / group, ...kernel];
  const w = s.constant("f32", shape, s.c.of([0, 0.5, 0.9]));
  const bias = s.c.chance(0.5) ? [s.constant("f32", [m])] : [];
  const attrs = { ...window(s.c, spatial.length), group };
  return transpose
    ? s.op("conv_transpose", [x, w, ...bias], { ...attrs, output_padding: spatial.map(() => 0) })
    : s.op("conv", [x, w, ...bias], attrs);
};

const pool: Step = (s) => {
  const x = s.value(both(float, atLeast(3)));
  if (!x) return undefined;
  const spatial = shapeOf(x).slice(2);
  const { strides, dilations, pads } = window(s.c, spatial.length);
  const kernel = spatial.map((d) => 1 + s.c.below(Math.min(3, d)));
  const room = (axis: number) => spatial[axis]! + pads[axis]! + pads[axis + spatial.length]! - (kernel[axis]! - 1) * dilations[axis]! - 1;
  const shape = spatial.map((_, axis) => Math.floor(Math.max(0, room(axis)) / strides[axis]!) + 1);
  // A window over nothing but padding has no average.
  if (spatial.some((_, axis) => room(axis) < 0 || kernel[axis]! <= Math.max(pads[axis]!, pads[axis + spatial.length]!))) return undefined;
  return s.op("pool", [x], {
    op: s.c.of(["max", "avg"]),
    kernel,
    strides,
    dilations,
    pads,
    shape,
    count_include_pad: s.c.chance(0.5),
    p: 2,
  });
};

const matmul: Step = (s) => {
  const x = s.value(both(number, atLeast(1)));
  if (!x) return undefined;
  const k = shapeOf(x).at(-1)!;
  const n = 1 + s.c.below(5);
  const { dtype } = x.type;
  const kind = s.c.below(4);
  if (kind === 0 && rank(x.type) >= 2) return s.op("matmul", [s.constant(dtype, [n, shapeOf(x).at(-2)!], 0.7), x]);
  if (kind === 1) {
    const other = s.value((v) => v.type.dtype === dtype && rank(v.type) >= 2 && shapeOf(v).at(-2) === k);
    if (other) return s.op("matmul", [x, other]);
  }
  return s.op("matmul", [x, s.constant(dtype, s.c.of([[k, n], [k], [1, k, n]]), s.c.of([0, 0.5, 0.9]))]);
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

const norm: Step = (s) => {
  const x = s.value(both(float, atLeast(2)));
  if (!x) return undefined;
  const { dtype } = x.type;
  const n = shapeOf(x)[1]!;
  const last = shapeOf(x).at(-1)!;
  const axis = rank(x.type) - 1;
  const positive = s.op("abs", [s.constant(dtype, [n])]);
  switch (s.c.below(4)) {
    case 0:
      return s.op("softmax", [x], { axis });
    case 1:
      return s.op("layer_norm", [x, s.constant(dtype, [last]), s.constant(dtype, [last])], { axis, epsilon: 0.01 });
    case 2:
      return s.op("rms_norm", [x, s.constant(dtype, [last])], { axis, epsilon: 0.01 });
    default:
      return s.op("batch_norm", [x, s.constant(dtype, [n]), s.constant(dtype, [n]), s.constant(dtype, [n]), positive], { epsilon: 0.01 });
  }
};

const mean = (s: StepContext, x: Value, axes: readonly number[]): Value => {
  const count = axes.reduce((n, a) => n * shapeOf(x)[a]!, 1);
  const sum = s.op("reduce", [x], { op: "sum", axes, keepdims: true });
  return s.c.chance(0.5) ? s.op("div", [sum, literal(s, x.type.dtype, count)]) : s.op("mul", [sum, literal(s, x.type.dtype, 1 / count)]);
};

/** Functions as exporters spell them. */
const spelled: Step = (s) => {
  const x = s.value(both((v) => v.type.dtype === "f32", atLeast(1)));
  if (!x) return undefined;
  const lit = (value: number) => literal(s, "f32", value);
  const axes = [rank(x.type) - 1];
  switch (s.c.below(6)) {
    case 0: {
      const bell = s.op("add", [s.op("erf", [s.op("div", [x, lit(Math.SQRT2)])]), lit(1)]);
      return s.c.chance(0.5) ? s.op("mul", [s.op("mul", [x, lit(0.5)]), bell]) : s.op("mul", [s.op("mul", [x, bell]), lit(0.5)]);
    }
    case 1:
      return s.op("mul", s.c.chance(0.5) ? [x, s.op("sigmoid", [x])] : [s.op("sigmoid", [x]), x]);
    case 2: {
      const e = s.op("exp", [s.op("sub", [x, s.op("reduce", [x], { op: "max", axes, keepdims: true })])]);
      return s.op("div", [e, s.op("reduce", [e], { op: "sum", axes, keepdims: true })]);
    }
    case 3: {
      const d = s.op("sub", [x, mean(s, x, axes)]);
      const squares = s.c.chance(0.5) ? s.op("mul", [d, d]) : s.op("pow", [d, lit(2)]);
      const y = s.op("div", [d, s.op("sqrt", [s.op("add", [mean(s, squares, axes), lit(0.01)])])]);
      return s.op("add", [s.op("mul", [y, s.constant("f32", [shapeOf(x).at(-1)!])]), s.constant("f32", [shapeOf(x).at(-1)!])]);
    }
    case 4: {
      const root = s.op("sqrt", [s.op("add", [mean(s, s.op("mul", [x, x]), axes), lit(0.01)])]);
      return s.op("mul", [s.op("mul", [x, s.op("div", [lit(1), root])]), s.constant("f32", [shapeOf(x).at(-1)!])]);
    }
    default:
      return s.op("mul", [s.op("mul", [x, s.op("clip", [s.op("add", [x, lit(3)]), lit(0), lit(6)])]), lit(1 / 6)]);
  }
};

const quantized: Step = (s) => {
  const x = s.value((v) => v.type.dtype === "f32");
  if (!x) return undefined;
  const scale = literal(s, "f32", 0.25);
  const q = s.op("quantize", [x, scale, literal(s, "i8", 3)], { axis: 0, block: 0, to: "i8" });
  return s.op("dequantize", [q, scale, literal(s, "i8", 3)], { axis: 0, block: 0 });
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
  // biome-ignore lint/suspicious/noThenProperty: the operator's name for its first region
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

/** A product with constant scales and shifts after it, one value a channel. */
const scaledProduct: Step = (s) => {
  let y = s.c.chance(0.7) ? conv(s) : matmul(s);
  if (!y || !float(y)) return undefined;
  for (let k = 0; k <= s.c.below(3) && y; k++) {
    const n = shapeOf(y)[1] ?? 1;
    const c: Value = s.constant(
      y.type.dtype,
      y.node.op === "matmul"
        ? shapeOf(y).slice(-1)
        : s.c.chance(0.2)
          ? []
          : [
              n,
              ...shapeOf(y)
                .slice(2)
                .map(() => 1),
            ],
      0,
    );
    const positive = s.op("abs", [s.constant(y.type.dtype, [n])]);
    const kind: number = s.c.below(5);
    if (kind === 4 && rank(y.type) >= 2)
      y = s.op("batch_norm", [y, ...[0, 1, 2].map(() => s.constant(y!.type.dtype, [n])), positive], { epsilon: 0.01 });
    else
      y = s.op(
        ["mul", "add", "sub", "div"][kind % 4]!,
        kind === 3 ? [y, s.op("add", [s.op("abs", [c]), literal(s, y.type.dtype, 1)])] : [y, c],
      );
  }
  return y;
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
  unaryFloat: [
    3,
    unary(["relu", "sigmoid", "tanh", "floor", "round", "erf", "softsign", "silu", "hard_swish", "sqrt", "exp", "reciprocal"], float),
  ],
  unaryNumber: [4, unary(["neg", "abs", "relu", "sign", "relu", "neg"], number)],
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
