// ONNX's convolutions, in floats and in quantized integers, and their transpose.

import type { Value } from "../../../ir/graph.ts";
import { shapeOf } from "../axis.ts";
import { defineOnnxOp, type ImportContext, type OnnxOp } from "../op.ts";
import { scaleOf } from "../steps.ts";
import { castTo } from "../widen.ts";
import { autoPadOf, halves, perAxis, windowAttrs, windowOf } from "../window.ts";
import { aligned, centred, requantized } from "./contract.ts";

/** Spatial extents: constant ones, whatever the batch is. */
function spatial(c: ImportContext, x: Value): readonly number[] {
  const dims = x.type.shape.slice(2);
  if (x.type.shape.length < 3) c.bad(`an operand with ${x.type.shape.length} axes, expected [n, channels, spatial..]`);
  return dims.map((d) => (typeof d === "number" ? d : c.unsupported("a spatial extent hangs on data")));
}

function convolution(c: ImportContext, x: Value, w: Value, bias: Value | undefined): Value {
  const kernel = shapeOf(c, w).slice(2);
  const declared = c.ints("kernel_shape", kernel);
  if (declared.length > 0 && String(declared) !== String(kernel))
    c.bad(`attribute 'kernel_shape' is [${declared}], and the weights have [${kernel}]`);
  const window = windowOf(c, spatial(c, x), kernel);
  return c.add("conv", bias ? [x, w, bias] : [x, w], { ...windowAttrs(window), group: c.int("group", 1) });
}

const conv = defineOnnxOp({ name: "Conv", import: (c) => convolution(c, c.input(0), c.input(1), c.inputs[2]) });

const convInteger = defineOnnxOp({
  name: "ConvInteger",
  import(c) {
    const [x, w] = [c.input(0), c.input(1)];
    // Zero points of weights lie along their first axis.
    return convolution(c, centred(c, 0, 2, x.type.shape.length), centred(c, 1, 3, w.type.shape.length), undefined);
  },
});

const qLinearConv = defineOnnxOp({
  name: "QLinearConv",
  import(c) {
    const rank = c.input(0).type.shape.length;
    const sum = convolution(c, centred(c, 0, 2, rank), centred(c, 3, 5, rank), c.inputs[8]);
    const scale = c.add("mul", [aligned(c, castTo(c, scaleOf(c, 1), "f32"), rank), aligned(c, castTo(c, scaleOf(c, 4), "f32"), rank - 1)]);
    return requantized(c, sum, scale, 6);
  },
});

const convTranspose = defineOnnxOp({
  name: "ConvTranspose",
  import(c) {
    const [x, w] = [c.input(0), c.input(1)];
    const extents = spatial(c, x);
    const n = extents.length;
    const kernel = shapeOf(c, w).slice(2);
    if (kernel.length !== n) c.bad(`weights with ${kernel.length} spatial axes for an input with ${n}`);
    const strides = perAxis(c, "strides", n, 1);
    const dilations = perAxis(c, "dilations", n, 1);
    const extra = perAxis(c, "output_padding", n, 0, 0);
    const full = extents.map((d, axis) => strides[axis]! * (d - 1) + extra[axis]! + (kernel[axis]! - 1) * dilations[axis]! + 1);
    const mode = autoPadOf(c);
    const same = mode === "SAME_UPPER" || mode === "SAME_LOWER";
    const wanted = c.attribute("output_shape")
      ? c.ints("output_shape").slice(-n)
      : same
        ? extents.map((d, axis) => d * strides[axis]!)
        : undefined;
    const given = mode === "VALID" ? [] : c.ints("pads", []);
    const none = Array.from({ length: 2 * n }, () => 0);
    const attrs = { strides, dilations, group: c.int("group", 1) };
    const operands = c.inputs[2] ? [x, w, c.inputs[2]] : [x, w];
    if (!wanted) {
      const pads = given.length === 0 ? none : given;
      if (pads.length !== 2 * n) c.bad(`attribute 'pads' is [${pads}], expected ${2 * n} integers`);
      return c.add("conv_transpose", operands, { ...attrs, pads, output_padding: extra });
    }
    if (wanted.length !== n) c.bad(`attribute 'output_shape' is [${wanted}], expected ${n} extents`);
    const total = full.map((d, axis) => d - wanted[axis]!);
    // What a wanted extent has beyond the full one is padding after the end.
    const pads = halves(
      total.map((t) => Math.max(0, t)),
      mode !== "SAME_UPPER",
    );
    const beyond = total.map((t, axis) => extra[axis]! + Math.max(0, -t));
    return c.add("conv_transpose", operands, { ...attrs, pads, output_padding: beyond });
  },
});

export const convolutionTable: readonly OnnxOp[] = [conv, convInteger, qLinearConv, convTranspose];
