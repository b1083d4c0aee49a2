// Normalisations and softmax, as compositions of simpler operators; f16 is computed in f32 within.

import type { Loc } from "../diagnostics.ts";
import type { GraphBuilder, Value } from "../graph.ts";
import { type Attrs, type ComposeOp, defineOp, type InferContext } from "../op.ts";
import { tensorOf } from "../tensor.ts";
import { broadcast, type Dim, maxOf, sameShape, type TensorType, typeToString } from "../types.ts";
import { axisAttr, FLOAT, numberAttr, operandOf, sharedDType } from "./rules.ts";

/** The building blocks of the compositions below, all at one location. */
interface Terms {
  op(name: string, inputs: readonly Value[], attrs?: Attrs): Value;
  /** A scalar of the type of `like`. */
  lit(like: Value, value: number): Value;
  sum(x: Value, axes: readonly number[]): Value;
  /** Over constant extents. */
  mean(x: Value, axes: readonly number[]): Value;
}

function terms(b: GraphBuilder, loc: Loc | undefined): Terms {
  const op = (name: string, inputs: readonly Value[], attrs: Attrs = {}): Value => b.value(name, inputs, attrs, loc);
  const lit = (like: Value, value: number): Value => b.constant(tensorOf(like.type.dtype, [], [value]), { loc });
  const sum = (x: Value, axes: readonly number[]): Value => op("reduce", [x], { op: "sum", axes, keepdims: true });
  return {
    op,
    lit,
    sum,
    mean: (x, axes) =>
      op("div", [
        sum(x, axes),
        lit(
          x,
          axes.reduce((n, a) => n * maxOf(x.type.shape[a]!), 1),
        ),
      ]),
  };
}

/** A composition over operands widened from f16 to f32, its result narrowed again. */
function composition(
  head: Pick<ComposeOp, "name" | "doc" | "operands" | "infer">,
  body: (t: Terms, inputs: readonly Value[], attrs: Attrs) => Value,
): ComposeOp {
  return defineOp({
    ...head,
    compose(b: GraphBuilder, inputs: readonly Value[], attrs: Attrs, loc: Loc | undefined) {
      const t = terms(b, loc);
      if (inputs[0]!.type.dtype !== "f16") return [body(t, inputs, attrs)];
      const wide = body(
        t,
        inputs.map((v) => t.op("cast", [v], { to: "f32" })),
        attrs,
      );
      return [t.op("cast", [wide], { to: "f16" })];
    },
  });
}

/** x itself: floats of the shape of operand 0. */
function same(c: InferContext): TensorType {
  const x = operandOf(c, 0, FLOAT);
  sharedDType(c);
  return { dtype: x.dtype, shape: x.shape };
}

function alongAxis(c: InferContext): TensorType {
  const x = same(c);
  axisAttr(c, x.shape.length);
  return x;
}

/** Exponentials of the distances to the largest element, which cannot overflow. */
function shifted(t: Terms, x: Value, axes: readonly number[]): Value {
  return t.op("sub", [x, t.op("reduce", [x], { op: "max", axes, keepdims: true })]);
}

const softmax = composition(
  { name: "softmax", doc: "e^x over its sum along `axis`.", operands: ["x"], infer: alongAxis },
  (t, [x], attrs) => {
    const axes = [attrs["axis"] as number];
    const e = t.op("exp", [shifted(t, x!, axes)]);
    return t.op("div", [e, t.sum(e, axes)]);
  },
);

const logSoftmax = composition(
  { name: "log_softmax", doc: "The logarithm of softmax along `axis`.", operands: ["x"], infer: alongAxis },
  (t, [x], attrs) => {
    const axes = [attrs["axis"] as number];
    const d = shifted(t, x!, axes);
    return t.op("sub", [d, t.op("log", [t.sum(t.op("exp", [d]), axes)])]);
  },
);

/** `scale` and `bias` must broadcast to x; normalised over `axis` and all after it. */
function overLastAxes(c: InferContext): TensorType {
  const x = alongAxis(c);
  numberAttr(c, "epsilon");
  c.types.slice(1).forEach((t, k) => {
    const out = broadcast(x.shape, t.shape);
    if (!out || !sameShape(out, x.shape))
      c.fail(`${k === 0 ? "scale" : "bias"} ${typeToString(t)} does not broadcast to ${typeToString(x)}`);
  });
  for (let axis = c.attrs["axis"] as number; axis < x.shape.length; axis++)
    if (typeof x.shape[axis] !== "number") c.fail(`axis ${axis} of ${typeToString(x)} hangs on data`);
  return x;
}

const from = (axis: number, rank: number): readonly number[] => Array.from({ length: rank - axis }, (_, i) => axis + i);

/** (x - mean) / sqrt(var + epsilon) over `axes`. */
function standardized(t: Terms, x: Value, axes: readonly number[], epsilon: number): Value {
  const d = t.op("sub", [x, t.mean(x, axes)]);
  const variance = t.mean(t.op("mul", [d, d]), axes);
  return t.op("div", [d, t.op("sqrt", [t.op("add", [variance, t.lit(x, epsilon)])])]);
}

const affine = (t: Terms, x: Value, scale: Value, bias: Value | undefined): Value => {
  const scaled = t.op("mul", [x, scale]);
  return bias ? t.op("add", [scaled, bias]) : scaled;
};

const layerNorm = composition(
  {
    name: "layer_norm",
    doc: "(x - mean) / sqrt(variance + epsilon) * scale + bias, mean and variance over `axis` and all axes after it.",
    operands: ["x", "scale", "bias?"],
    infer: overLastAxes,
  },
  (t, [x, scale, bias], attrs) =>
    affine(t, standardized(t, x!, from(attrs["axis"] as number, x!.type.shape.length), attrs["epsilon"] as number), scale!, bias),
);

const rmsNorm = composition(
  {
    name: "rms_norm",
    doc: "x / sqrt(mean of squares + epsilon) * scale, the mean over `axis` and all axes after it.",
    operands: ["x", "scale"],
    infer: overLastAxes,
  },
  (t, [x, scale], attrs) => {
    const axes = from(attrs["axis"] as number, x!.type.shape.length);
    const squares = t.mean(t.op("mul", [x!, x!]), axes);
    const root = t.op("sqrt", [t.op("add", [squares, t.lit(x!, attrs["epsilon"] as number)])]);
    return t.op("mul", [t.op("div", [x!, root]), scale!]);
  },
);

/** Operands after the first are vectors, one element a channel (axis 1). */
function perChannel(c: InferContext): TensorType {
  const x = same(c);
  numberAttr(c, "epsilon");
  if (x.shape.length < 2) c.fail(`expects [n, channels, ..], got ${typeToString(x)}`);
  for (const t of c.types.slice(1))
    if (!sameShape(t.shape, [x.shape[1]!])) c.fail(`expects one value a channel of ${typeToString(x)}, got ${typeToString(t)}`);
  return x;
}

/** A vector along axis 1 of a tensor of `rank` axes. */
const onChannels = (t: Terms, v: Value, rank: number): Value =>
  t.op("reshape", [v], { shape: [maxOf(v.type.shape[0] as Dim), ...Array.from({ length: rank - 2 }, () => 1)] });

const instanceNorm = composition(
  {
    name: "instance_norm",
    doc: "(x - mean) / sqrt(variance + epsilon) * scale + bias, mean and variance over the axes after the channels (axis 1), scale and bias per channel.",
    operands: ["x", "scale", "bias"],
    infer: perChannel,
  },
  (t, [x, scale, bias], attrs) => {
    const rank = x!.type.shape.length;
    return affine(
      t,
      standardized(t, x!, from(2, rank), attrs["epsilon"] as number),
      onChannels(t, scale!, rank),
      onChannels(t, bias!, rank),
    );
  },
);

const batchNorm = composition(
  {
    name: "batch_norm",
    doc: "(x - mean) / sqrt(variance + epsilon) * scale + bias, all of them per channel (axis 1).",
    operands: ["x", "scale", "bias", "mean", "variance"],
    infer: perChannel,
  },
  (t, [x, scale, bias, mean, variance], attrs) => {
    const rank = x!.type.shape.length;
    const root = t.op("sqrt", [t.op("add", [variance!, t.lit(variance!, attrs["epsilon"] as number)])]);
    const factor = onChannels(t, t.op("div", [scale!, root]), rank);
    return t.op("add", [t.op("mul", [t.op("sub", [x!, onChannels(t, mean!, rank)]), factor]), onChannels(t, bias!, rank)]);
  },
);

export const normalizeOps: readonly ComposeOp[] = [softmax, logSoftmax, layerNorm, rmsNorm, instanceNorm, batchNorm];
