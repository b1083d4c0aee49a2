// ONNX's reductions: axes as an attribute in old versions, as an operand since.

import type { DType } from "../../../ir/dtype.ts";
import type { Value } from "../../../ir/graph.ts";
import { axisOf, shapeOf } from "../axis.ts";
import { defineOnnxOp, type ImportContext, type OnnxOp } from "../op.ts";
import { widened } from "../widen.ts";

/** The axes to reduce, ascending; none is all unless the node says that none is none. */
function axesOf(c: ImportContext, rank: number): readonly number[] {
  const given = c.attribute("axes") ? c.ints("axes") : c.numbers(1, []);
  const axes = [...new Set(given.map((a) => axisOf(c, a, rank)))].sort((a, b) => a - b);
  if (axes.length > 0 || c.int("noop_with_empty_axes", 0) !== 0) return axes;
  return Array.from({ length: rank }, (_, axis) => axis);
}

interface Reduction {
  readonly axes: readonly number[];
  readonly keepdims: boolean;
}

const reduced = (c: ImportContext, op: string, x: Value, r: Reduction): Value =>
  c.add("reduce", [x], { op, axes: r.axes, keepdims: r.keepdims });
const square = (c: ImportContext, x: Value): Value => c.add("mul", [x, x]);

/** `f` on the operand, in f32 for f16, and in f64 for integers if it leaves the integers. */
function reduction(name: string, f: (c: ImportContext, x: Value, r: Reduction) => Value, real = false): OnnxOp {
  const narrow: readonly DType[] = real ? ["i8", "u8", "i16", "u16", "i32", "u32", "i64", "u64"] : [];
  return defineOnnxOp({
    name,
    shapeOperands: [1],
    import(c) {
      const x = c.input(0);
      const r = { axes: axesOf(c, x.type.shape.length), keepdims: c.int("keepdims", 1) !== 0 };
      const wide = narrow.includes(x.type.dtype) ? "f64" : "f32";
      return widened(c, [x], ([v]) => f(c, v!, r), ["f16", ...narrow], wide);
    },
  });
}

function mean(c: ImportContext, x: Value, r: Reduction): Value {
  const count = r.axes.reduce((n, axis) => n * shapeOf(c, x)[axis]!, 1);
  return c.add("div", [reduced(c, "sum", x, r), c.scalar(x.type.dtype, count)]);
}

/** max + log(sum(e^(x - max))), with infinite maxima left out. */
function logSumExp(c: ImportContext, x: Value, r: Reduction): Value {
  const largest = reduced(c, "max", x, { ...r, keepdims: true });
  const finite = c.add("where", [c.add("is_inf", [largest], { positive: true, negative: true }), c.scalar(x.type.dtype, 0), largest]);
  const sum = reduced(c, "sum", c.add("exp", [c.add("sub", [x, finite])]), r);
  const shape = sum.type.shape;
  const offset = r.keepdims ? finite : reduced(c, "sum", finite, r);
  if (offset.type.shape.length !== shape.length) return c.bad("the shapes of the sum and its offset differ");
  return c.add("add", [c.add("log", [sum]), offset]);
}

/** The same on bools, where the smallest is `and` and the largest `or`. */
const extreme = (name: string, op: "min" | "max"): OnnxOp =>
  reduction(name, (c, x, r) => reduced(c, x.type.dtype === "bool" ? (op === "min" ? "and" : "or") : op, x, r));

function argReduction(name: string, op: "argmin" | "argmax"): OnnxOp {
  return defineOnnxOp({
    name,
    import(c) {
      const x = c.input(0);
      const axis = axisOf(c, c.int("axis", 0), x.type.shape.length);
      return c.add("arg_reduce", [x], {
        op: c.int("select_last_index", 0) !== 0 ? `${op}_last` : op,
        axis,
        keepdims: c.int("keepdims", 1) !== 0,
      });
    },
  });
}

export const reduceTable: readonly OnnxOp[] = [
  reduction("ReduceSum", (c, x, r) => reduced(c, "sum", x, r)),
  reduction("ReduceProd", (c, x, r) => reduced(c, "prod", x, r)),
  extreme("ReduceMin", "min"),
  extreme("ReduceMax", "max"),
  reduction("ReduceMean", mean),
  reduction("ReduceL1", (c, x, r) => reduced(c, "sum", c.add("abs", [x]), r)),
  reduction("ReduceL2", (c, x, r) => c.add("sqrt", [reduced(c, "sum", square(c, x), r)]), true),
  reduction("ReduceSumSquare", (c, x, r) => reduced(c, "sum", square(c, x), r)),
  reduction("ReduceLogSum", (c, x, r) => c.add("log", [reduced(c, "sum", x, r)]), true),
  reduction("ReduceLogSumExp", logSumExp, true),
  argReduction("ArgMin", "argmin"),
  argReduction("ArgMax", "argmax"),
];
