// Operators that move, gather, scatter, reduce, slide and quantize: edges, empty tensors, extents that hang on data, faults.

import { describe, expect, it } from "vitest";
import type { DType } from "../../ir/dtype.ts";
import { GraphBuilder, type Value } from "../../ir/graph.ts";
import { interpret } from "../../ir/interpret.ts";
import { standardOps } from "../../ir/ops/index.ts";
import { type Tensor, tensorOf } from "../../ir/tensor.ts";
import { weightStore } from "../../ir/weights.ts";
import { evaluate, valuesFrom, valuesOf } from "../support/evaluate.ts";
import { errorOf } from "../support/run-model.ts";

const f32 = (shape: readonly number[], ...data: number[]): Tensor => tensorOf("f32", shape, data);
const i64 = (shape: readonly number[], ...data: number[]): Tensor => tensorOf("i64", shape, data.map(BigInt));
const ramp = (...shape: number[]): Tensor =>
  tensorOf(
    "f32",
    shape,
    Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => i),
  );

describe("reductions", () => {
  it("over nothing give what changes nothing", () => {
    const empty = f32([2, 0]);
    for (const [op, value] of [
      ["sum", 0],
      ["prod", 1],
      ["min", Infinity],
      ["max", -Infinity],
    ] as const) {
      expect(valuesFrom("reduce", [empty], { op, axes: [1], keepdims: false })).toEqual([value, value]);
    }
    expect(valuesFrom("reduce", [tensorOf("bool", [0], [])], { op: "and", axes: [0], keepdims: true })).toEqual([1]);
    expect(valuesFrom("reduce", [tensorOf("i8", [0], [])], { op: "max", axes: [0], keepdims: true })).toEqual([-128]);
  });

  it("keep axes or not, in any order, and none", () => {
    expect(evaluate("reduce", [ramp(2, 3, 2)], { op: "sum", axes: [2, 0], keepdims: false })[0]).toEqual(f32([3], 14, 22, 30));
    expect(evaluate("reduce", [ramp(2, 3)], { op: "max", axes: [1], keepdims: true })[0]).toEqual(f32([2, 1], 2, 5));
    expect(evaluate("reduce", [ramp(2)], { op: "sum", axes: [], keepdims: false })[0]).toEqual(ramp(2));
  });

  it("of i8 and u8 wrap, of f32 accumulate widely", () => {
    expect(valuesFrom("reduce", [tensorOf("u8", [3], [200, 100, 5])], { op: "sum", axes: [0], keepdims: false })).toEqual([49]);
    expect(valuesFrom("reduce", [f32([3], 1e8, 1, -1e8)], { op: "sum", axes: [0], keepdims: false })).toEqual([1]);
  });

  it("find the first or last extreme", () => {
    const x = f32([4], 3, 7, 7, 3);
    const at = (op: string) => valuesFrom("arg_reduce", [x], { op, axis: 0, keepdims: false })[0];
    expect(["argmax", "argmax_last", "argmin", "argmin_last"].map(at)).toEqual([1n, 2n, 0n, 3n]);
  });
});

describe("moving elements", () => {
  it("slices forwards, backwards, and to nothing", () => {
    expect(valuesFrom("slice", [ramp(6)], { starts: [5], steps: [-2], shape: [3] })).toEqual([5, 3, 1]);
    expect(evaluate("slice", [ramp(2, 3)], { starts: [1, 0], steps: [1, 1], shape: [1, 0] })[0]!.shape).toEqual([1, 0]);
    expect(errorOf(() => evaluate("slice", [ramp(4)], { starts: [1], steps: [2], shape: [3] })).message).toContain(
      "3 elements from 1 in steps of 2 leave axis 0",
    );
  });

  it("pads in every mode, and crops", () => {
    const pad = (mode: string, begins: number, ends: number, x = ramp(3)) =>
      valuesFrom("pad", [x], { mode, begins: [begins], ends: [ends] });
    expect(pad("constant", 1, 2)).toEqual([0, 0, 1, 2, 0, 0]);
    expect(pad("edge", 2, 1)).toEqual([0, 0, 0, 1, 2, 2]);
    expect(pad("reflect", 2, 5)).toEqual([2, 1, 0, 1, 2, 1, 0, 1, 2, 1]);
    expect(pad("wrap", 4, 2)).toEqual([2, 0, 1, 2, 0, 1, 2, 0, 1]);
    expect(pad("constant", -1, 1)).toEqual([1, 2, 0]);
    expect(pad("reflect", -1, 1)).toEqual([1, 2, 1]);
    expect(pad("reflect", 1, 1, ramp(1))).toEqual([0, 0, 0]);
    expect(valuesFrom("pad", [ramp(1), f32([], 9)], { mode: "constant", begins: [1], ends: [0] })).toEqual([9, 0]);
    expect(errorOf(() => evaluate("pad", [ramp(2)], { mode: "constant", begins: [-2], ends: [-1] })).message).toContain(
      "cannot lose 3 elements",
    );
  });

  it("concatenates with empty pieces, tiles, transposes, expands", () => {
    expect(valuesFrom("concat", [ramp(2), f32([0]), f32([1], 9)], { axis: 0 })).toEqual([0, 1, 9]);
    expect(valuesFrom("tile", [ramp(2)], { repeats: [3] })).toEqual([0, 1, 0, 1, 0, 1]);
    expect(evaluate("tile", [ramp(2)], { repeats: [0] })[0]!.shape).toEqual([0]);
    expect(evaluate("transpose", [ramp(2, 3, 1)], { perm: [1, 2, 0] })[0]).toEqual(f32([3, 1, 2], 0, 3, 1, 4, 2, 5));
    expect(evaluate("expand", [f32([2, 1], 1, 2)], { shape: [1, 2, 2] })[0]).toEqual(f32([1, 2, 2], 1, 1, 2, 2));
    expect(evaluate("reshape", [f32([0, 3])], { shape: [3, 0, 2] })[0]!.shape).toEqual([3, 0, 2]);
    expect(evaluate("reshape", [ramp(1, 1)], { shape: [] })[0]).toEqual(f32([], 0));
    expect(errorOf(() => evaluate("reshape", [ramp(4)], { shape: [3] })).message).toContain("f32[4] has 4 elements, shape [3] 3");
    expect(errorOf(() => evaluate("concat", [ramp(2, 2), ramp(2, 3)], { axis: 0 })).message).toContain("differ in more than axis 0");
  });

  it("counts", () => {
    expect(valuesFrom("range", [tensorOf("i32", [], [5]), tensorOf("i32", [], [-2])], { count: 3 })).toEqual([5, 3, 1]);
  });
});

describe("positions that are data", () => {
  const x = ramp(3, 2);

  it("count from the end when negative, and fault outside", () => {
    expect(valuesFrom("gather", [x, i64([2], -1, 0)], { axis: 0 })).toEqual([4, 5, 0, 1]);
    expect(evaluate("gather", [x, i64([], 1)], { axis: 1 })[0]).toEqual(f32([3], 1, 3, 5));
    expect(valuesFrom("gather_elements", [x, i64([1, 2], -1, 1)], { axis: 0 })).toEqual([4, 3]);
    expect(valuesFrom("gather_nd", [x, i64([2, 2], -1, 0, 0, -1)], { batch_dims: 0 })).toEqual([4, 1]);
    for (const bad of [3, -4, 2 ** 32, -(2 ** 40)])
      expect(errorOf(() => evaluate("gather", [x, i64([1], bad)], { axis: 0 })).code).toBe("fault");
  });

  it("may be written to in order, combining", () => {
    const scatter = (reduction: string) =>
      valuesFrom("scatter_elements", [f32([3], 1, 2, 3), i64([3], 0, 0, -1), f32([3], 5, 6, 7)], { axis: 0, reduction });
    expect(scatter("none")).toEqual([6, 2, 7]);
    expect(scatter("add")).toEqual([12, 2, 10]);
    expect(scatter("mul")).toEqual([30, 2, 21]);
    expect(scatter("max")).toEqual([6, 2, 7]);
    expect(scatter("min")).toEqual([1, 2, 3]);
    expect(valuesFrom("scatter_nd", [x, i64([2, 1], 0, 0), f32([2, 2], 1, 1, 1, 1)], { reduction: "add" })).toEqual([2, 3, 2, 3, 4, 5]);
    expect(
      valuesFrom("scatter_elements", [tensorOf("u8", [1], [200]), i64([1], 0), tensorOf("u8", [1], [100])], { axis: 0, reduction: "add" }),
    ).toEqual([44]);
    const e = errorOf(() => evaluate("scatter_elements", [f32([3], 1, 2, 3), i64([1], 3), f32([1], 5)], { axis: 0, reduction: "none" }));
    expect(e.message).toContain("an index is outside the tensor that it writes to");
    expect(errorOf(() => evaluate("scatter_nd", [x, i64([1, 1], 2 ** 33), f32([1, 2], 1, 1)], { reduction: "none" })).code).toBe("fault");
  });

  it("become one-hot rows, empty where they lie outside", () => {
    expect(evaluate("one_hot", [f32([2], 0, 5), i64([3], 1, -1, 7)], { axis: 1, depth: 3 })[0]).toEqual(
      f32([3, 3], 0, 5, 0, 0, 0, 5, 0, 0, 0),
    );
    expect(evaluate("one_hot", [f32([2], 0, 5), i64([1], 1)], { axis: 0, depth: 2 })[0]).toEqual(f32([2, 1], 0, 5));
  });
});

describe("windows", () => {
  const window = { strides: [1], pads: [1, 1], dilations: [1] };

  it("convolve in groups, with padding, strides and dilation", () => {
    expect(valuesFrom("conv", [ramp(1, 2, 3), f32([2, 1, 2], 1, 10, 1, 100), f32([2], 0.5, 0)], { ...window, group: 2 })).toEqual([
      0.5, 10.5, 21.5, 2.5, 300, 403, 504, 5,
    ]);
    expect(valuesFrom("conv", [ramp(1, 1, 5), f32([1, 1, 2], 1, 1)], { strides: [2], pads: [0, 0], dilations: [2], group: 1 })).toEqual([
      2, 6,
    ]);
    expect(errorOf(() => evaluate("conv", [ramp(1, 3, 3), f32([2, 1, 1], 1, 1)], { ...window, group: 2 })).message).toContain(
      "do not fit 2 group(s)",
    );
  });

  it("spread back", () => {
    expect(
      valuesFrom("conv_transpose", [f32([1, 1, 2], 1, 2), f32([1, 1, 3], 1, 10, 100)], {
        strides: [2],
        pads: [0, 0],
        dilations: [1],
        group: 1,
        output_padding: [1],
      }),
    ).toEqual([1, 10, 102, 20, 200, 0]);
    expect(
      evaluate("conv_transpose", [ramp(1, 2, 2), ramp(2, 3, 1)], { ...window, pads: [0, 0], group: 2, output_padding: [0] })[0]!.shape,
    ).toEqual([1, 6, 2]);
  });

  it("average what is inside, or the padding too", () => {
    const avg = (count_include_pad: boolean) =>
      valuesFrom("pool", [f32([1, 1, 3], 3, 6, 9)], { ...window, op: "avg", kernel: [2], shape: [4], count_include_pad, p: 1 });
    expect(avg(false)).toEqual([3, 4.5, 7.5, 9]);
    expect(avg(true)).toEqual([1.5, 4.5, 7.5, 4.5]);
    // A window past the padding, as rounding up gives, counts what is padded only.
    const past = { strides: [2], pads: [0, 0], dilations: [1], op: "avg", kernel: [2], shape: [2], count_include_pad: true, p: 1 };
    expect(valuesFrom("pool", [f32([1, 1, 3], 3, 6, 9)], past)).toEqual([4.5, 9]);
  });

  it("take maxima of integers and of what is all below zero, and say where", () => {
    const max = { ...window, op: "max", kernel: [2], shape: [4], count_include_pad: false, p: 1 };
    expect(valuesFrom("pool", [f32([1, 1, 3], -3, -1, -2)], max)).toEqual([-3, -1, -1, -2]);
    expect(valuesFrom("pool", [tensorOf("i8", [1, 1, 3], [-3, -1, -128])], max)).toEqual([-3, -1, -1, -128]);
    const { op: _op, p: _p, count_include_pad: _c, ...where } = max;
    expect(valuesFrom("max_pool_indices", [f32([1, 2, 3], 0, 5, 5, 1, 0, 2)], { ...where, order: "row" })).toEqual([
      0n,
      1n,
      1n,
      2n,
      3n,
      3n,
      5n,
      5n,
    ]);
  });
});

describe("quantization", () => {
  it("rounds to even, saturates, per tensor, axis and block", () => {
    const scalar = (dtype: DType, x: number) => tensorOf(dtype, [], [x]);
    expect(
      valuesFrom("quantize", [f32([5], 0.5, 1.5, 1000, -1000, -0.6), scalar("f32", 1), scalar("i8", 3)], { axis: 0, block: 0, to: "i8" }),
    ).toEqual([3, 5, 127, -128, 2]);
    expect(valuesFrom("quantize", [f32([2, 2], 1, 2, 3, 4), f32([2], 1, 2)], { axis: 0, block: 0, to: "u4" })).toEqual([1, 2, 2, 2]);
    expect(
      valuesFrom("dequantize", [tensorOf("u8", [1, 4], [128, 129, 130, 0]), f32([1, 2], 1, 10), tensorOf("u8", [1, 2], [128, 0])], {
        axis: 1,
        block: 2,
      }),
    ).toEqual([0, 1, 1300, 0]);
    expect(errorOf(() => evaluate("quantize", [f32([2], 1, 2), f32([3], 1, 1, 1)], { axis: 0, block: 0, to: "i8" })).message).toContain(
      "does not fit axis 0",
    );
  });
});

describe("extents that hang on data", () => {
  /** `build` on x bounded to its first `n` rows. */
  function bounded(x: Tensor, n: number, build: (b: GraphBuilder, x: Value) => Value): Tensor {
    const b = new GraphBuilder(standardOps, weightStore());
    const [p, count] = [b.param("x", x.dtype, x.shape), b.param("n", "i64", [])];
    const out = build(b, b.value("bound", [p, count], { axis: 0 }));
    return interpret({ ops: standardOps, name: "test", params: [p, count], outputs: [out], weights: b.weights }, [x, i64([], n)])[0]!;
  }

  it("pass through elementwise operators, reductions, products, gathers and moves", () => {
    const x = ramp(3, 2);
    expect(bounded(x, 2, (b, v) => b.value("add", [v, v]))).toEqual(f32([2, 2], 0, 2, 4, 6));
    expect(bounded(x, 2, (b, v) => b.value("reduce", [v], { op: "sum", axes: [0], keepdims: false }))).toEqual(f32([2], 2, 4));
    expect(bounded(x, 2, (b, v) => b.value("reduce", [v], { op: "sum", axes: [1], keepdims: false }))).toEqual(f32([2], 1, 5));
    expect(bounded(x, 1, (b, v) => b.value("transpose", [v], { perm: [1, 0] }))).toEqual(f32([2, 1], 0, 1));
    expect(bounded(x, 2, (b, v) => b.value("matmul", [v, b.constant(f32([2, 1], 1, 10))]))).toEqual(f32([2, 1], 10, 32));
    expect(bounded(x, 2, (b, v) => b.value("reshape", [v], { shape: [1, -1, 1, 2] }))).toEqual(f32([1, 2, 1, 2], 0, 1, 2, 3));
    expect(bounded(x, 2, (b, v) => b.value("softmax", [b.value("mul", [v, b.constant(f32([], 0))])], { axis: 0 }))).toEqual(
      f32([2, 2], 0.5, 0.5, 0.5, 0.5),
    );
    const rows = bounded(i64([3], 2, 0, 1), 2, (b, v) => b.value("gather", [b.constant(x), v], { axis: 0 }));
    expect([rows.shape, valuesOf(rows)]).toEqual([
      [2, 2],
      [4, 5, 0, 1],
    ]);
    expect(bounded(x, 0, (b, v) => b.value("cast", [v], { to: "i32" })).shape).toEqual([0, 2]);
  });

  it("are refused where they cannot", () => {
    const refused = (op: string, attrs: Parameters<GraphBuilder["add"]>[2]) =>
      errorOf(() => bounded(ramp(3, 2), 2, (b, v) => b.value(op, [v], attrs))).message;
    expect(refused("reshape", { shape: [6] })).toContain("the extent that hangs on data must stay whole");
    expect(refused("tile", { repeats: [2, 1] })).toContain("hangs on data, and must be constant");
    expect(refused("slice", { starts: [0, 0], steps: [1, 1], shape: [1, 2] })).toContain("hangs on data");
  });
});
