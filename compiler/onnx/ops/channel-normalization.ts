// ONNX normalizations across channels, groups and vectors: LRN, GroupNormalization, MeanVarianceNormalization, LpNormalization.

import type { Value } from "../../../ir/graph.ts";
import { composer } from "../../../ir/ops/compose.ts";
import { elementCount } from "../../../ir/tensor.ts";
import { axisOf, shapeOf } from "../axis.ts";
import { defineOnnxOp } from "../op.ts";

const lrn = defineOnnxOp({
  name: "LRN",
  import: (c) =>
    c.add("lrn", [c.input(0)], {
      size: c.int("size"),
      alpha: c.float("alpha", 1e-4),
      beta: c.float("beta", 0.75),
      bias: c.float("bias", 1),
    }),
});

const groupNormalization = defineOnnxOp({
  name: "GroupNormalization",
  import(c) {
    const e = composer(c.b, c.loc);
    const shape = shapeOf(c, c.input(0));
    const groups = c.int("num_groups");
    const [batch, channels, ...space] = shape as [number, number, ...number[]];
    if (groups < 1 || channels % groups !== 0) c.bad(`${channels} channels in ${groups} groups`);
    const { dtype } = c.input(0).type;
    const wide = dtype === "f16" ? "f32" : dtype;
    const grouped = e.reshape(e.cast(c.input(0), wide), [batch, groups, (channels / groups) * elementCount(space)]);
    const centred = e.op("sub", [grouped, e.mean(grouped, [2])]);
    const deviation = e.op("sqrt", [e.op("add", [e.mean(e.op("mul", [centred, centred]), [2]), c.float("epsilon", 1e-5)])]);
    const normal = e.op("div", [centred, deviation]);
    // Scale and bias are per group in opset 18, per channel since 21.
    const per = c.opset < 21 ? groups : channels;
    const parts = e.reshape(normal, [batch, per, elementCount(shape) / Math.max(1, batch * per)]);
    const along = (v: Value): Value => e.reshape(e.cast(v, wide), [per, 1]);
    return e.cast(e.reshape(e.op("add", [e.op("mul", [parts, along(c.input(1))]), along(c.input(2))]), shape), dtype);
  },
});

const meanVarianceNormalization = defineOnnxOp({
  name: "MeanVarianceNormalization",
  import(c) {
    const e = composer(c.b, c.loc);
    const x = c.input(0);
    const axes = c.ints("axes", [0, 2, 3]).map((a) => axisOf(c, a, shapeOf(c, x).length));
    const centred = e.op("sub", [x, e.mean(x, axes)]);
    const deviation = e.op("sqrt", [e.mean(e.op("mul", [centred, centred]), axes)]);
    return e.op("div", [centred, e.op("add", [deviation, 1e-9])]);
  },
});

const lpNormalization = defineOnnxOp({
  name: "LpNormalization",
  import(c) {
    const e = composer(c.b, c.loc);
    const x = c.input(0);
    const axis = axisOf(c, c.int("axis", -1), shapeOf(c, x).length);
    const p = c.int("p", 2);
    if (p !== 1 && p !== 2) c.bad(`p is ${p}, and only 1 and 2 are norms here`);
    const sum = e.reduce(p === 1 ? e.op("abs", [x]) : e.op("mul", [x, x]), "sum", [axis]);
    const norm = p === 1 ? sum : e.op("sqrt", [sum]);
    // A vector of zeros stays as it is.
    return e.op("div", [x, e.op("where", [e.op("eq", [norm, 0]), e.scalar(x.type.dtype, 1), norm])]);
  },
});

export const channelNormalizationTable = [lrn, groupNormalization, meanVarianceNormalization, lpNormalization] as const;
