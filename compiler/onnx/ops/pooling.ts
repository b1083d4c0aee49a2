// ONNX's pooling operators, over windows and over everything.

import type { Value } from "../../../ir/graph.ts";
import { shapeOf } from "../axis.ts";
import { defineOnnxOp, type ImportContext, type OnnxOp } from "../op.ts";
import { widened } from "../widen.ts";
import { type Window, windowAttrs, windowOf } from "../window.ts";

function window(c: ImportContext, x: Value): Window {
  const dims = x.type.shape.slice(2);
  const extents = dims.map((d) => (typeof d === "number" ? d : c.unsupported("a spatial extent hangs on data")));
  return windowOf(c, extents, c.ints("kernel_shape"), c.int("ceil_mode", 0) !== 0);
}

const attrsOf = (w: Window) => ({ ...windowAttrs(w), kernel: w.kernel, shape: w.shape });

const maxPool = defineOnnxOp({
  name: "MaxPool",
  import(c) {
    const x = c.input(0);
    const attrs = attrsOf(window(c, x));
    const largest = c.add("pool", [x], { ...attrs, op: "max", count_include_pad: false, p: 1 });
    const order = c.int("storage_order", 0) !== 0 ? "column" : "row";
    return [largest, c.wants(1) ? c.add("max_pool_indices", [x], { ...attrs, order }) : undefined];
  },
});

const averagePool = defineOnnxOp({
  name: "AveragePool",
  import(c) {
    const x = c.input(0);
    return c.add("pool", [x], { ...attrsOf(window(c, x)), op: "avg", count_include_pad: c.int("count_include_pad", 0) !== 0, p: 1 });
  },
});

const lpPool = defineOnnxOp({
  name: "LpPool",
  import(c) {
    const x = c.input(0);
    return c.add("pool", [x], { ...attrsOf(window(c, x)), op: "lp", count_include_pad: false, p: c.int("p", 2) });
  },
});

/** All axes after the channels. */
const overSpace = (x: Value): { readonly axes: readonly number[]; readonly keepdims: boolean } => ({
  axes: Array.from({ length: Math.max(0, x.type.shape.length - 2) }, (_, axis) => axis + 2),
  keepdims: true,
});

const globalMaxPool = defineOnnxOp({
  name: "GlobalMaxPool",
  import: (c) => c.add("reduce", [c.input(0)], { op: "max", ...overSpace(c.input(0)) }),
});

const globalAveragePool = defineOnnxOp({
  name: "GlobalAveragePool",
  import: (c) =>
    widened(c, [c.input(0)], ([x]) => {
      const count = shapeOf(c, x!)
        .slice(2)
        .reduce((a, d) => a * d, 1);
      return c.add("div", [c.add("reduce", [x!], { op: "sum", ...overSpace(x!) }), c.scalar(x!.type.dtype, count)]);
    }),
});

const globalLpPool = defineOnnxOp({
  name: "GlobalLpPool",
  import: (c) =>
    widened(c, [c.input(0)], ([x]) => {
      const p = c.int("p", 2);
      if (p < 1) c.bad(`attribute 'p' is ${p}`);
      const lit = (value: number): Value => c.scalar(x!.type.dtype, value);
      const powers = c.add("pow", [c.add("abs", [x!]), lit(p)]);
      return c.add("pow", [c.add("reduce", [powers], { op: "sum", ...overSpace(x!) }), lit(1 / p)]);
    }),
});

export const poolingTable: readonly OnnxOp[] = [maxPool, averagePool, lpPool, globalMaxPool, globalAveragePool, globalLpPool];
