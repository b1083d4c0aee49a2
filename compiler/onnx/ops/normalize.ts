// ONNX's normalisations and softmax.

import type { Value } from "../../../ir/graph.ts";
import { maxOf } from "../../../ir/types.ts";
import { axisOf, shapeOf } from "../axis.ts";
import { defineOnnxOp, type ImportContext, type OnnxOp } from "../op.ts";
import { castTo } from "../widen.ts";

/** Before version 13 the axes from `axis` on count as one. */
function softmax(name: string, op: string): OnnxOp {
  return defineOnnxOp({
    name,
    import(c) {
      const x = c.input(0);
      const rank = x.type.shape.length;
      if (c.opset >= 13) return c.add(op, [x], { axis: axisOf(c, c.int("axis", -1), rank) });
      const axis = axisOf(c, c.int("axis", 1), rank);
      const after = x.type.shape.slice(axis + 1);
      if (after.every((d) => d === 1)) return c.add(op, [x], { axis });
      const shape = shapeOf(c, x);
      const inner = shape.slice(axis).reduce((a, d) => a * d, 1);
      const flat = c.add("reshape", [x], { shape: [...shape.slice(0, axis), inner] });
      return c.add("reshape", [c.add(op, [flat], { axis })], { shape });
    },
  });
}

interface Moments {
  readonly mean: Value;
  readonly variance: Value;
}

/** Mean and (population) variance over `axes`, which keep extent 1. */
function moments(c: ImportContext, x: Value, axes: readonly number[]): Moments {
  const count = c.scalar(
    x.type.dtype,
    axes.reduce((n, axis) => n * maxOf(x.type.shape[axis]!), 1),
  );
  const mean = (v: Value): Value => c.add("div", [c.add("reduce", [v], { op: "sum", axes, keepdims: true }), count]);
  const centre = mean(x);
  const d = c.add("sub", [x, centre]);
  return { mean: centre, variance: mean(c.add("mul", [d, d])) };
}

/** The type that ONNX computes in: `stash_type` 1 is f32. */
function stash(c: ImportContext, x: Value): Value {
  const type = c.int("stash_type", 1);
  if (type !== 1) return c.unsupported(`stash_type ${type}`);
  return x.type.dtype === "f16" ? castTo(c, x, "f32") : x;
}

const layerNormalization = defineOnnxOp({
  name: "LayerNormalization",
  import(c) {
    const [x, scale, bias] = [c.input(0), c.input(1), c.inputs[2]];
    const axis = axisOf(c, c.int("axis", -1), x.type.shape.length);
    const epsilon = c.float("epsilon", 1e-5);
    const y = c.add("layer_norm", bias ? [x, scale, bias] : [x, scale], { axis, epsilon });
    if (!c.wants(1) && !c.wants(2)) return y;
    const wide = stash(c, x);
    const { mean, variance } = moments(
      c,
      wide,
      Array.from({ length: x.type.shape.length - axis }, (_, k) => axis + k),
    );
    const deviation = c.add("sqrt", [c.add("add", [variance, c.scalar(wide.type.dtype, epsilon)])]);
    return [y, mean, c.add("reciprocal", [deviation])];
  },
});

const rmsNormalization = defineOnnxOp({
  name: "RMSNormalization",
  import(c) {
    const [x, scale] = [c.input(0), c.input(1)];
    return c.add("rms_norm", [x, castTo(c, scale, x.type.dtype)], {
      axis: axisOf(c, c.int("axis", -1), x.type.shape.length),
      epsilon: c.float("epsilon", 1e-5),
    });
  },
});

const instanceNormalization = defineOnnxOp({
  name: "InstanceNormalization",
  import: (c) => c.add("instance_norm", [c.input(0), c.input(1), c.input(2)], { epsilon: c.float("epsilon", 1e-5) }),
});

/** In training, the batch's own moments, and running ones that follow them. */
function trained(c: ImportContext, operands: readonly Value[], epsilon: number): readonly Value[] {
  const [x, scale, bias, mean, variance] = operands as [Value, Value, Value, Value, Value];
  const momentum = c.float("momentum", 0.9);
  const channels = shapeOf(c, x)[1]!;
  const axes = x.type.shape.flatMap((_, axis) => (axis === 1 ? [] : [axis]));
  const own = moments(c, x, axes);
  const [m, v] = [own.mean, own.variance].map((t) => c.add("reshape", [t], { shape: [channels] })) as [Value, Value];
  const running = (before: Value, now: Value): Value =>
    c.add("add", [
      c.add("mul", [before, c.scalar(before.type.dtype, momentum)]),
      c.add("mul", [now, c.scalar(now.type.dtype, 1 - momentum)]),
    ]);
  return [c.add("batch_norm", [x, scale, bias, m, v], { epsilon }), running(mean, m), running(variance, v)];
}

const batchNormalization = defineOnnxOp({
  name: "BatchNormalization",
  import(c) {
    const x = c.input(0);
    const epsilon = c.float("epsilon", 1e-5);
    const operands = [x, ...[1, 2, 3, 4].map((k) => castTo(c, c.input(k), x.type.dtype))];
    if (c.opset < 9 && c.int("spatial", 1) === 0) c.unsupported("statistics for each position (spatial = 0)");
    if (c.int("training_mode", 0) !== 0) return trained(c, operands, epsilon);
    return c.add("batch_norm", operands, { epsilon });
  },
});

export const normalizeTable: readonly OnnxOp[] = [
  softmax("Softmax", "softmax"),
  softmax("LogSoftmax", "log_softmax"),
  layerNormalization,
  rmsNormalization,
  instanceNormalization,
  batchNormalization,
];
