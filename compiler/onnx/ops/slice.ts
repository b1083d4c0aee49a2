// ONNX operators that take parts of tensors or add to their edges: Slice, Split, Pad.

import type { Value } from "../../../ir/graph.ts";
import { type Dim, typeToString } from "../../../ir/types.ts";
import { axisOf } from "../axis.ts";
import { defineOnnxOp, type ImportContext, type OnnxOp } from "../op.ts";
import { toScalar } from "../widen.ts";

interface Range {
  readonly start: number;
  readonly step: number;
  readonly count: number;
}

/** start:end:step on an axis of extent d, with NumPy's clamping. */
function rangeOf(start: number, end: number, step: number, d: number): Range {
  const clamp = (x: number, low: number, high: number): number => Math.min(high, Math.max(low, x < 0 ? x + d : x));
  const [from, to] = step > 0 ? [clamp(start, 0, d), clamp(end, 0, d)] : [clamp(start, 0, d - 1), clamp(end, -1, d - 1)];
  const count = Math.max(0, Math.ceil((to - from) / step));
  return count === 0 ? { start: 0, step: 1, count } : { start: from, step, count };
}

const slice = defineOnnxOp({
  name: "Slice",
  shapeOperands: [1, 2, 3, 4],
  import(c) {
    const x = c.input(0);
    const { shape } = x.type;
    const old = c.opset < 10;
    const starts = old ? c.ints("starts") : c.numbers(1);
    const ends = old ? c.ints("ends") : c.numbers(2);
    const every = starts.map((_, i) => i);
    const axes = (old ? c.ints("axes", every) : c.numbers(3, every)).map((a) => axisOf(c, a, shape.length));
    const steps = old ? [] : c.numbers(4, []);
    if (ends.length !== starts.length || axes.length !== starts.length || (steps.length > 0 && steps.length !== starts.length)) {
      c.bad(`${starts.length} starts, ${ends.length} ends, ${axes.length} axes and ${steps.length} steps`);
    }
    const parts = shape.map((d, axis): Range => {
      const k = axes.lastIndexOf(axis);
      if (typeof d !== "number") {
        const whole = k < 0 || (starts[k] === 0 && ends[k]! >= d.max && (steps[k] ?? 1) === 1);
        return whole
          ? { start: 0, step: 1, count: -1 }
          : c.unsupported(`a part of axis ${axis} of ${typeToString(x.type)}, whose extent hangs on data`);
      }
      if (k < 0) return { start: 0, step: 1, count: d };
      const step = steps[k] ?? 1;
      return step === 0 ? c.bad("a step of 0") : rangeOf(starts[k]!, ends[k]!, Math.max(-(2 ** 31), Math.min(2 ** 31, step)), d);
    });
    if (parts.every((p, axis) => p.step === 1 && p.start === 0 && (p.count === -1 || p.count === shape[axis]))) return x;
    return c.add("slice", [x], { starts: parts.map((p) => p.start), steps: parts.map((p) => p.step), shape: parts.map((p) => p.count) });
  },
});

/** `count` elements from `start` on along one axis. */
function piece(c: ImportContext, x: Value, axis: number, start: number, count: number): Value {
  const { shape } = x.type;
  return c.add("slice", [x], {
    starts: shape.map((_, k) => (k === axis && count > 0 ? start : 0)),
    steps: shape.map(() => 1),
    shape: shape.map((d: Dim, k) => (k === axis ? count : typeof d === "number" ? d : -1)),
  });
}

const split = defineOnnxOp({
  name: "Split",
  shapeOperands: [1],
  import(c) {
    const x = c.input(0);
    const axis = axisOf(c, c.int("axis", 0), x.type.shape.length);
    const extent = x.type.shape[axis]!;
    if (typeof extent !== "number") return c.unsupported("the extent of the axis to split hangs on data");
    const pieces = c.int("num_outputs", c.node.outputs.length);
    if (pieces < 1 || pieces > c.node.outputs.length) c.bad(`num_outputs ${pieces} for ${c.node.outputs.length} outputs`);
    const each = Math.ceil(extent / pieces);
    const equal = Array.from({ length: pieces }, (_, k) => Math.max(0, Math.min(each, extent - k * each)));
    const sizes = c.attribute("split") ? c.ints("split") : c.numbers(1, equal);
    const total = sizes.reduce((a, b) => a + b, 0);
    if (sizes.some((s) => s < 0) || total !== extent || sizes.length !== c.node.outputs.length)
      c.bad(`pieces of [${sizes}] of axis ${axis} of ${typeToString(x.type)}`);
    let start = 0;
    return sizes.map((count, k) => {
      start += count;
      return c.wants(k) ? piece(c, x, axis, start - count, count) : undefined;
    });
  },
});

const MODES: ReadonlySet<string> = new Set(["constant", "reflect", "edge", "wrap"]);

const pad = defineOnnxOp({
  name: "Pad",
  shapeOperands: [1, 3],
  import(c) {
    const x = c.input(0);
    const rank = x.type.shape.length;
    const mode = c.string("mode", "constant");
    if (!MODES.has(mode)) c.bad(`attribute 'mode' is ${JSON.stringify(mode)}`);
    const old = c.opset < 11;
    const pads = old ? c.ints("pads") : c.numbers(1);
    const axes = (old ? [] : c.numbers(3, [])).map((a) => axisOf(c, a, rank));
    const padded = axes.length > 0 || c.inputs[3] ? axes : Array.from({ length: rank }, (_, axis) => axis);
    if (pads.length !== 2 * padded.length) c.bad(`${pads.length} pads for ${padded.length} axes`);
    const at = (axis: number, offset: number): number => (padded.includes(axis) ? pads[padded.indexOf(axis) + offset]! : 0);
    const begins = x.type.shape.map((_, axis) => at(axis, 0));
    const ends = x.type.shape.map((_, axis) => at(axis, padded.length));
    const value = old ? c.scalar(x.type.dtype, c.float("value", 0)) : c.inputs[2] && toScalar(c, c.inputs[2]);
    return c.add("pad", value && mode === "constant" ? [x, value] : [x], { mode, begins, ends });
  },
});

export const sliceTable: readonly OnnxOp[] = [slice, split, pad];
