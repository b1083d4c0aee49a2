// ONNX operators that read or write images at computed places: GridSample, AffineGrid, RoiAlign, DeformConv, Col2Im, MaxUnpool.

import { composer } from "../../../ir/ops/compose.ts";
import { elementCount } from "../../../ir/tensor.ts";
import { shapeOf } from "../axis.ts";
import { defineOnnxOp } from "../op.ts";

const GRID_MODES: ReadonlyMap<string, string> = new Map([
  ["nearest", "nearest"],
  ["linear", "linear"],
  ["bilinear", "linear"],
  ["cubic", "cubic"],
  ["bicubic", "cubic"],
]);

const gridSample = defineOnnxOp({
  name: "GridSample",
  import(c) {
    const mode = c.string("mode", "linear");
    const padding = c.string("padding_mode", "zeros");
    if (!["zeros", "border", "reflection"].includes(padding)) c.bad(`padding_mode '${padding}'`);
    const known = GRID_MODES.get(mode) ?? c.bad(`mode '${mode}'`);
    return c.add("grid_sample", [c.input(0), c.input(1)], { mode: known, padding, align_corners: c.int("align_corners", 0) !== 0 });
  },
});

const affineGrid = defineOnnxOp({
  name: "AffineGrid",
  shapeOperands: [1],
  import(c) {
    const [, , ...shape] = c.numbers(1);
    return c.add("affine_grid", [c.input(0)], { shape, align_corners: c.int("align_corners", 0) !== 0 });
  },
});

const roiAlign = defineOnnxOp({
  name: "RoiAlign",
  import(c) {
    const mode = c.string("mode", "avg");
    if (mode !== "avg" && mode !== "max") c.bad(`mode '${mode}'`);
    const half = c.opset >= 16 && c.string("coordinate_transformation_mode", "half_pixel") === "half_pixel";
    return c.add("roi_align", [c.input(0), c.input(1), c.input(2)], {
      mode,
      half_pixel: half,
      height: c.int("output_height", 1),
      width: c.int("output_width", 1),
      ratio: c.int("sampling_ratio", 0),
      scale: c.float("spatial_scale", 1),
    });
  },
});

const deformConv = defineOnnxOp({
  name: "DeformConv",
  import(c) {
    const e = composer(c.b, c.loc);
    const x = c.input(0);
    const w = shapeOf(c, c.input(1));
    const rank = w.length - 2;
    const ones = Array.from({ length: rank }, () => 1);
    const mask = c.inputs[4];
    const bias = c.inputs[3] ?? (mask ? e.fill(x.type.dtype, [w[0]!], 0) : undefined);
    return c.add("deform_conv", [x, c.input(1), c.input(2), ...(bias ? [bias] : []), ...(mask ? [mask] : [])], {
      group: c.int("group", 1),
      offset_group: c.int("offset_group", 1),
      strides: c.ints("strides", ones),
      dilations: c.ints("dilations", ones),
      pads: c.ints(
        "pads",
        [...ones, ...ones].map(() => 0),
      ),
    });
  },
});

const col2im = defineOnnxOp({
  name: "Col2Im",
  shapeOperands: [1, 2],
  import(c) {
    const [shape, kernel] = [c.numbers(1), c.numbers(2)];
    const ones = shape.map(() => 1);
    return c.add("col2im", [c.input(0)], {
      shape,
      kernel,
      strides: c.ints("strides", ones),
      dilations: c.ints("dilations", ones),
      pads: c.ints(
        "pads",
        [...ones, ...ones].map(() => 0),
      ),
    });
  },
});

const maxUnpool = defineOnnxOp({
  name: "MaxUnpool",
  shapeOperands: [2],
  import(c) {
    const e = composer(c.b, c.loc);
    const x = c.input(0);
    const shape = shapeOf(c, x);
    const kernel = c.ints("kernel_shape");
    const strides = c.ints(
      "strides",
      kernel.map(() => 1),
    );
    const pads = c.ints(
      "pads",
      [...kernel, ...kernel].map(() => 0),
    );
    const pooled = kernel.map((k, a) => (shape[a + 2]! - 1) * strides[a]! + k - pads[a]! - pads[a + kernel.length]!);
    const natural = [...shape.slice(0, 2), ...pooled];
    // The indices count elements of the tensor that was pooled; a larger output is padded at its ends.
    const size = elementCount(natural);
    const flat = e.op(
      "scatter_elements",
      [e.fill(x.type.dtype, [size], 0), e.reshape(c.input(1), [elementCount(shape)]), e.reshape(x, [elementCount(shape)])],
      { axis: 0, reduction: "none" },
    );
    const y = e.reshape(flat, natural);
    const wanted = c.inputs[2] ? c.numbers(2) : natural;
    const ends = wanted.map((d, a) => d - natural[a]!);
    return ends.every((d) => d === 0) ? y : e.op("pad", [y], { mode: "constant", begins: ends.map(() => 0), ends });
  },
});

export const samplingTable = [gridSample, affineGrid, roiAlign, deformConv, col2im, maxUnpool] as const;
