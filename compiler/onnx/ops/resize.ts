// ONNX's Resize and Upsample, as resampling by tables.

import { isFloat } from "../../../ir/dtype.ts";
import type { Value } from "../../../ir/graph.ts";
import { composer } from "../../../ir/ops/compose.ts";
import { tensorOf } from "../../../ir/tensor.ts";
import { axisOf, checkConstant, shapeOf } from "../axis.ts";
import { defineOnnxOp, type ImportContext } from "../op.ts";
import { type AxisTable, axisTable, type ResizedAxis, type ResizeModes, tapsOf } from "../resample-table.ts";

const isIdentity = ({ index, weight, outside }: AxisTable, { from, to }: ResizedAxis): boolean =>
  from === to && !outside.some((o) => o) && index.every((taps, o) => taps.every((p, t) => p === o || weight[o]![t] === 0));

/** How often each element repeats along each axis, where that is all there is to it. */
function wholeFactors(
  rank: number,
  used: readonly { readonly axis: number; readonly size: ResizedAxis; readonly table: AxisTable }[],
  modes: ResizeModes,
): number[] | undefined {
  const factors = Array.from({ length: rank }, () => 1);
  if (modes.mode !== "nearest") return undefined;
  for (const { axis, size, table } of used) {
    const factor = size.to / size.from;
    if (!Number.isInteger(factor) || table.outside.some((o) => o) || !table.index.every(([p], o) => p === Math.floor(o / factor)))
      return undefined;
    factors[axis] = factor;
  }
  return factors;
}

/** `x` resized; `resized[k]` belongs to axis `axes[k]`. */
function resize(
  c: ImportContext,
  x: Value,
  axes: readonly number[],
  resized: readonly ResizedAxis[],
  modes: ResizeModes,
  extrapolation: number,
): Value {
  const e = composer(c.b, c.loc);
  for (const { from, to, scale } of resized) {
    if (!(scale > 0 && Number.isFinite(scale)) || !Number.isSafeInteger(to)) c.bad(`an axis of ${from} elements to ${to}, scale ${scale}`);
    checkConstant(c, to * tapsOf(scale, modes));
  }
  const used = axes.flatMap((axis, k) => {
    const size = resized[k]!;
    const table = axisTable(size, modes);
    if (typeof table === "string") return c.unsupported(`mode '${table}'`);
    return isIdentity(table, size) ? [] : [{ axis, size, table }];
  });
  if (used.length === 0) return x;
  const factors = wholeFactors(x.type.shape.length, used, modes);
  if (factors) return e.op("repeat_elements", [x], { factors });
  const weighted = modes.mode !== "nearest";
  const { dtype } = x.type;
  const wide = dtype === "f64" ? "f64" : "f32";
  const constants = ({ table, size }: (typeof used)[number]): readonly Value[] => {
    const shape = [size.to, table.index[0]?.length ?? 1];
    const index = c.constant(tensorOf("i32", shape, table.index.flat()));
    return weighted ? [index, c.constant(tensorOf(wide, shape, table.weight.flat()))] : [index];
  };
  let y = weighted && !isFloat(dtype) ? e.cast(x, wide) : x;
  // Sums of products over several axes are sums over one after the other; what shrinks goes first, and then the innermost.
  const order = used.toSorted((p, q) => p.size.to / p.size.from - q.size.to / q.size.from || q.axis - p.axis);
  if (weighted) for (const axis of order) y = e.op("resample", [y, ...constants(axis)], { axes: [axis.axis], weighted });
  else y = e.op("resample", [y, ...used.flatMap(constants)], { axes: used.map((u) => u.axis), weighted });
  if (y.type.dtype !== dtype) y = e.cast(y, dtype);
  const rank = x.type.shape.length;
  for (const { axis, table } of used) {
    if (!table.outside.some((o) => o)) continue;
    const shape = Array.from({ length: rank }, (_, a) => (a === axis ? table.outside.length : 1));
    y = e.op("where", [c.constant(tensorOf("bool", shape, table.outside.map(Number))), e.scalar(dtype, extrapolation), y]);
  }
  return y;
}

/** As shape inference does it: in single precision. */
const scaled = (extent: number, scale: number): number => Math.floor(Math.fround(extent * Math.fround(scale)));

const axisWith = (from: number, to: number, scale: number, start = 0, end = 1): ResizedAxis => ({ from, to, scale, start, end });

/** Sizes as asked for, or the nearest that keep the aspect ratio. */
function targets(c: ImportContext, from: readonly number[], sizes: readonly number[]): readonly ResizedAxis[] {
  const policy = c.string("keep_aspect_ratio_policy", "stretch");
  const ratios = sizes.map((size, k) => size / from[k]!);
  if (policy === "stretch") return sizes.map((size, k) => axisWith(from[k]!, size, ratios[k]!));
  if (policy !== "not_larger" && policy !== "not_smaller") return c.bad(`keep_aspect_ratio_policy '${policy}'`);
  const ratio = policy === "not_larger" ? Math.min(...ratios) : Math.max(...ratios);
  return from.map((d) => axisWith(d, Math.floor(d * ratio + 0.5), ratio));
}

const resizeOp = defineOnnxOp({
  name: "Resize",
  shapeOperands: [1, 2, 3],
  import(c) {
    const x = c.input(0);
    const shape = shapeOf(c, x);
    const old = c.opset < 11;
    const named = c.attribute("axes") ? c.ints("axes") : shape.map((_, a) => a);
    const axes = named.map((a) => axisOf(c, a, shape.length));
    const from = axes.map((a) => shape[a]!);
    const present = (k: number): readonly number[] => (c.inputs[k] ? c.numbers(k) : []);
    const [scales, sizes] = old ? [present(1), []] : [present(2), present(3)];
    const given = scales.length > 0 ? scales : sizes;
    if (given.length !== axes.length || (scales.length > 0 && sizes.length > 0))
      return c.bad(`${scales.length} scales and ${sizes.length} sizes for ${axes.length} axes`);
    const modes: ResizeModes = {
      mode: modeOf(c),
      coordinates: old ? "asymmetric" : c.string("coordinate_transformation_mode", "half_pixel"),
      nearest: old ? "simple" : c.string("nearest_mode", "round_prefer_floor"),
      cubicA: c.float("cubic_coeff_a", -0.75),
      excludeOutside: c.int("exclude_outside", 0) !== 0,
      antialias: c.int("antialias", 0) !== 0,
    };
    const roi = modes.coordinates === "tf_crop_and_resize" ? present(1) : [];
    const plain = scales.length > 0 ? from.map((d, k) => axisWith(d, scaled(d, scales[k]!), scales[k]!)) : targets(c, from, sizes);
    const resized = plain.map((a, k) => (roi.length > 0 ? { ...a, start: roi[k]!, end: roi[k + axes.length]! } : a));
    return resize(c, x, axes, resized, modes, c.float("extrapolation_value", 0));
  },
});

function modeOf(c: ImportContext): ResizeModes["mode"] {
  const mode = c.string("mode", "nearest");
  if (mode === "bilinear") return "linear";
  return mode === "nearest" || mode === "linear" || mode === "cubic" ? mode : c.unsupported(`mode '${mode}'`);
}

const upsample = defineOnnxOp({
  name: "Upsample",
  shapeOperands: [1],
  import(c) {
    const x = c.input(0);
    const shape = shapeOf(c, x);
    const scales = c.opset >= 9 ? c.numbers(1) : c.floats("scales");
    if (scales.length !== shape.length) c.bad(`${scales.length} scales for ${shape.length} axes`);
    const modes: ResizeModes = {
      mode: modeOf(c),
      coordinates: "asymmetric",
      nearest: "simple",
      cubicA: -0.75,
      excludeOutside: false,
      antialias: false,
    };
    return resize(
      c,
      x,
      shape.map((_, a) => a),
      shape.map((d, a) => axisWith(d, scaled(d, scales[a]!), scales[a]!)),
      modes,
      0,
    );
  },
});

export const resizeTable = [resizeOp, upsample] as const;
