// ONNX operators that sort, select and accumulate: TopK, Unique, NonZero, Compress, NonMaxSuppression, CumSum, CumProd, Hardmax, Det.

import type { Value } from "../../../ir/graph.ts";
import { composer } from "../../../ir/ops/compose.ts";
import { elementCount, zeros } from "../../../ir/tensor.ts";
import { axisOf, shapeOf } from "../axis.ts";
import { defineOnnxOp, type ImportContext, type OnnxOp } from "../op.ts";

const topK = defineOnnxOp({
  name: "TopK",
  shapeOperands: [1],
  import(c) {
    const shape = shapeOf(c, c.input(0));
    const k = c.opset >= 10 ? c.numbers(1)[0]! : c.int("k");
    const axis = axisOf(c, c.int("axis", -1), shape.length);
    if (k < 0 || k > shape[axis]!) c.bad(`k is ${k}, and axis ${axis} has ${shape[axis]} elements`);
    return c.b.add("topk", [c.input(0)], { axis, k, largest: c.int("largest", 1) !== 0 }, c.loc).results;
  },
});

/** x as one axis, unless it has an axis to work along. */
function flattened(c: ImportContext, x: Value): { readonly x: Value; readonly axis: number } {
  const shape = shapeOf(c, x);
  if (c.attribute("axis")) return { x, axis: axisOf(c, c.int("axis"), shape.length) };
  return { x: composer(c.b, c.loc).reshape(x, [elementCount(shape)]), axis: 0 };
}

const unique = defineOnnxOp({
  name: "Unique",
  import(c) {
    const { x, axis } = flattened(c, c.input(0));
    const [y, first, inverse, counts, n] = c.b.add("unique", [x], { axis, sorted: c.int("sorted", 1) !== 0 }, c.loc).results as [
      Value,
      Value,
      Value,
      Value,
      Value,
    ];
    const bound = (v: Value, along: number): Value => c.add("bound", [v, n], { axis: along });
    return [bound(y, axis), bound(first, 0), inverse, bound(counts, 0)];
  },
});

const nonZero = defineOnnxOp({
  name: "NonZero",
  import(c) {
    const [y, n] = c.b.add("nonzero", [c.input(0)], {}, c.loc).results as [Value, Value];
    return c.add("bound", [y, n], { axis: 1 });
  },
});

const compress = defineOnnxOp({
  name: "Compress",
  import(c) {
    const { x, axis } = flattened(c, c.input(0));
    const [y, n] = c.b.add("compress", [x, c.input(1)], { axis }, c.loc).results as [Value, Value];
    return c.add("bound", [y, n], { axis });
  },
});

const nonMaxSuppression = defineOnnxOp({
  name: "NonMaxSuppression",
  import(c) {
    const e = composer(c.b, c.loc);
    const boxes = shapeOf(c, c.input(0))[1] ?? c.bad("boxes must be [batch, n, 4]");
    const most = c.inputs[2];
    const known = c.constantOf(most);
    const limit = most ? Math.min(boxes, known ? Math.max(0, Number(known.data[0])) : boxes) : 0;
    if (limit === 0 || elementCount(shapeOf(c, c.input(1))) === 0) return c.constant(zeros("i64", [0, 3]));
    const scalar = (k: number, otherwise: number): Value => (c.inputs[k] ? e.reshape(c.inputs[k], []) : c.scalar("f32", otherwise));
    const operands = [c.input(0), c.input(1), e.reshape(most!, []), scalar(3, 0), scalar(4, Number.NEGATIVE_INFINITY)];
    const [y, n] = c.b.add("non_max_suppression", operands, { limit, centred: c.int("center_point_box", 0) === 1 }, c.loc).results as [
      Value,
      Value,
    ];
    return c.add("bound", [y, n], { axis: 0 });
  },
});

const cumulative = (name: string, op: "sum" | "prod"): OnnxOp =>
  defineOnnxOp({
    name,
    shapeOperands: [1],
    import: (c) =>
      c.add("cumulative", [c.input(0)], {
        op,
        axis: axisOf(c, c.numbers(1)[0]!, c.input(0).type.shape.length),
        exclusive: c.int("exclusive", 0) !== 0,
        reverse: c.int("reverse", 0) !== 0,
      }),
  });

const hardmax = defineOnnxOp({
  name: "Hardmax",
  import(c) {
    const e = composer(c.b, c.loc);
    const shape = shapeOf(c, c.input(0));
    // Before opset 13 all axes from `axis` on are one.
    const merged = c.opset < 13;
    const given = axisOf(c, c.int("axis", merged ? 1 : -1), shape.length);
    const x = merged ? e.reshape(c.input(0), [elementCount(shape.slice(0, given)), elementCount(shape.slice(given))]) : c.input(0);
    const axis = merged ? 1 : given;
    const extents = shapeOf(c, x);
    const at = e.op("arg_reduce", [x], { op: "argmax", axis, keepdims: true });
    const positions = e.cast(e.positions(extents[axis]!, axis, extents.length), "i64");
    return e.reshape(e.cast(e.op("eq", [positions, at]), x.type.dtype), shape);
  },
});

const det = defineOnnxOp({ name: "Det", import: (c) => c.add("det", [c.input(0)]) });

export const selectionTable = [
  topK,
  unique,
  nonZero,
  compress,
  nonMaxSuppression,
  cumulative("CumSum", "sum"),
  cumulative("CumProd", "prod"),
  hardmax,
  det,
] as const;
