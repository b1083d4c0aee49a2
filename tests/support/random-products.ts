// Steps of random graphs that multiply and reduce: windows, products, normalisations, and functions as exporters spell them.

import type { Value } from "../../ir/graph.ts";
import { rank } from "../../ir/types.ts";
import { type Choices, type StepContext, shapeOf } from "./random-graph.ts";
import { atLeast, both, float, literal, number, type Step } from "./random-step.ts";

const window = (c: Choices, n: number) => ({
  strides: Array.from({ length: n }, () => 1 + c.below(2)),
  dilations: Array.from({ length: n }, () => (c.chance(0.2) ? 2 : 1)),
  pads: Array.from({ length: 2 * n }, () => c.below(2)),
});

export const conv: Step = (s) => {
  const x = s.value(both((v) => v.type.dtype === "f32", atLeast(3)));
  if (!x) return undefined;
  const [, channels, ...spatial] = shapeOf(x);
  const group = s.c.chance(0.3) ? channels! : 1;
  const m = group * (s.c.chance(0.3) && group === 1 ? 8 + s.c.below(5) : 1 + s.c.below(3));
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

export const pool: Step = (s) => {
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

export const matmul: Step = (s) => {
  const x = s.value(both(number, atLeast(1)));
  if (!x) return undefined;
  const k = shapeOf(x).at(-1)!;
  const n = s.c.chance(0.3) ? 8 + s.c.below(5) : 1 + s.c.below(5);
  const { dtype } = x.type;
  const kind = s.c.below(4);
  if (kind === 0 && rank(x.type) >= 2) return s.op("matmul", [s.constant(dtype, [n, shapeOf(x).at(-2)!], 0.7), x]);
  if (kind === 1) {
    const other = s.value((v) => v.type.dtype === dtype && rank(v.type) >= 2 && shapeOf(v).at(-2) === k);
    if (other) return s.op("matmul", [x, other]);
  }
  return s.op("matmul", [x, s.constant(dtype, s.c.of([[k, n], [k], [1, k, n]]), s.c.of([0, 0.5, 0.9]))]);
};

export const norm: Step = (s) => {
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
export const spelled: Step = (s) => {
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

export const quantized: Step = (s) => {
  const x = s.value((v) => v.type.dtype === "f32");
  if (!x) return undefined;
  const scale = literal(s, "f32", 0.25);
  const q = s.op("quantize", [x, scale, literal(s, "i8", 3)], { axis: 0, block: 0, to: "i8" });
  return s.op("dequantize", [q, scale, literal(s, "i8", 3)], { axis: 0, block: 0 });
};

/** A product with constant scales and shifts after it, one value a channel. */
export const scaledProduct: Step = (s) => {
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
