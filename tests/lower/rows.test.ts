// Softmax and norms: one region each, and kernels with rows or elements of a row in the lanes, against the reference.

import { describe, expect, test } from "vitest";
import { lowerGraph } from "../../compiler/lower/lower.ts";
import { passContext } from "../../compiler/pass.ts";
import { expand } from "../../compiler/passes/expand.ts";
import { fuse } from "../../compiler/passes/fuse.ts";
import { type Graph, GraphBuilder, topological, type Value } from "../../ir/graph.ts";
import { interpret } from "../../ir/interpret.ts";
import { standardOps } from "../../ir/ops/index.ts";
import { type Tensor, tensorOf } from "../../ir/tensor.ts";
import { weightStore } from "../../ir/weights.ts";
import { runLowered, SCALAR_TARGET, VECTOR_TARGET } from "../support/run-lowered.ts";

const count = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);
const noise = (shape: readonly number[], seed: number): Tensor =>
  tensorOf(
    "f32",
    shape,
    Array.from({ length: count(shape) }, (_, i) => Math.sin(seed + 12.9898 * (i + 1)) * 2.5),
  );

/** A graph over x, expanded and fused. */
function fused(shape: readonly number[], make: (b: GraphBuilder, x: Value) => Value): Graph {
  const b = new GraphBuilder(standardOps, weightStore());
  const x = b.param("x", "f32", shape);
  const graph = { ops: b.ops, name: "net", params: [x], outputs: [make(b, x)], weights: b.weights };
  return fuse.run(expand.run(graph, passContext()), passContext());
}

const kernelsOf = (g: Graph, can = VECTOR_TARGET) => lowerGraph(g, can).steps.flatMap((s) => (s.kind === "kernel" ? [s.lowered] : []));

function check(g: Graph): void {
  const x = noise(g.params[0]!.type.shape as readonly number[], 7);
  const want = interpret(g, [x])[0]!.data as Float32Array;
  for (const can of [VECTOR_TARGET, SCALAR_TARGET]) {
    const got = runLowered(g, [x], can)[0]!.data as Float32Array;
    for (const threads of [2, 3]) expect(runLowered(g, [x], { ...can, threads })[0]!.data).toEqual(got);
    expect(got.reduce((m, v, i) => Math.max(m, Math.abs(v - want[i]!)), 0)).toBeLessThan(1e-5);
  }
}

const softmax =
  (axis: number, op = "softmax") =>
  (b: GraphBuilder, x: Value): Value =>
    b.value(op, [x], { axis });
const norm =
  (axis: number) =>
  (b: GraphBuilder, x: Value): Value => {
    const shape = (x.type.shape as readonly number[]).slice(axis);
    return b.value("layer_norm", [x, b.constant(noise(shape, 3)), b.constant(noise(shape, 4))], { axis, epsilon: 1e-5 });
  };
const root =
  (axis: number) =>
  (b: GraphBuilder, x: Value): Value =>
    b.value("rms_norm", [x, b.constant(noise((x.type.shape as readonly number[]).slice(axis), 3))], { axis, epsilon: 1e-5 });

describe.each([[[3, 37]], [[2, 5, 16]], [[4, 18, 3]], [[2, 3]], [[23, 6]]])("%j", (shape) => {
  const last = shape.length - 1;
  test.each<readonly [string, (b: GraphBuilder, x: Value) => Value]>([
    ["softmax of rows", softmax(last)],
    ["softmax of columns", softmax(0)],
    ["log softmax", softmax(last, "log_softmax")],
    ["layer norm", norm(last)],
    ["layer norm of all axes but the first", norm(1)],
    ["rms norm", root(last)],
    ["a norm and what follows", (b, x) => b.value("mul", [b.value("relu", [norm(last)(b, x)]), x])],
  ])("%s", (_, make) => {
    const g = fused(shape, make);
    check(g);
    expect(kernelsOf(g).map((k) => k.why)).toEqual([expect.stringMatching(/^row by row, [23] passes, /)]);
  });
});

const reduced =
  (op: string, axes: readonly number[]) =>
  (b: GraphBuilder, x: Value): Value =>
    b.value("reduce", [x], { op, axes, keepdims: true });

/** One over the elements of a row. */
const part = (b: GraphBuilder, shape: readonly number[], axes: readonly number[]): Value =>
  b.constant({ dtype: "f32", shape: [], data: Float32Array.of(1 / count(axes.map((axis) => shape[axis]!))) });

describe.each<readonly [readonly number[], readonly number[]]>([
  [[3, 37], [1]],
  [
    [4, 18, 3],
    [1, 2],
  ],
  [
    [2, 3, 5, 16],
    [1, 2, 3],
  ],
  [
    [5, 6],
    [0, 1],
  ],
  [
    [1, 3, 8, 8],
    [1, 2, 3],
  ],
])("numbers for each row of %j over %j", (shape, axes) => {
  test.each<readonly [string, (b: GraphBuilder, x: Value) => Value]>([
    ["the largest magnitude", (b, x) => reduced("max", axes)(b, b.value("abs", [x]))],
    ["the smallest", reduced("min", axes)],
    ["the smallest, without the axes", (b, x) => b.value("relu", [b.value("reduce", [x], { op: "min", axes, keepdims: false })])],
    ["its inverse", (b, x) => b.value("div", [part(b, shape, axes), b.value("relu", [reduced("max", axes)(b, x)])])],
    ["a mean and what follows", (b, x) => b.value("mul", [reduced("sum", axes)(b, b.value("mul", [x, x])), part(b, shape, axes)])],
  ])("%s", (_, make) => {
    const g = fused(shape, make);
    check(g);
    expect(kernelsOf(g).map((k) => k.why)).toEqual(["row by row, 1 passes, four elements of a row at once"]);
  });
});

test("rows are shared out among threads", () => {
  const loops = (make: (b: GraphBuilder, x: Value) => Value) =>
    JSON.stringify(kernelsOf(fused([32, 40], make))[0]!.functions).split('"parallel"').length - 1;
  expect([loops(softmax(1)), loops(reduced("max", [1]))]).toEqual([1, 1]);
});

test("lanes are rows where rows are neighbours, else elements of a row, else there are none", () => {
  const how = (make: (b: GraphBuilder, x: Value) => Value, can = VECTOR_TARGET) =>
    kernelsOf(fused([8, 12], make), can)[0]!.why.split(", ")[2];
  expect(how(softmax(1))).toBe("four elements of a row at once");
  expect(how(softmax(0))).toBe("four rows at once");
  expect(how(softmax(1), SCALAR_TARGET)).toBe("one element at a time");
});

test("what is reduced is computed once, and its row is overwritten where nothing needs it any more", () => {
  const exps = (g: Graph) => kernelsOf(g).map((k) => JSON.stringify(k.functions).split('"exp"').length - 1);
  expect(exps(fused([8, 32], softmax(1)))).toEqual([4]);
  expect(kernelsOf(fused([8, 32], softmax(1)))[0]!.overwrites).toEqual([0]);
  const again = fused([8, 32], (b, x) => b.value("mul", [softmax(1)(b, x), x]));
  check(again);
  expect(kernelsOf(again)[0]!.overwrites).toEqual([]);
});

test("the end of a product stays with the product", () => {
  const g = fused([6, 8], (b, x) => {
    const y = b.value("add", [b.value("matmul", [x, b.constant(noise([8, 8], 1))]), x]);
    return norm(1)(b, y);
  });
  expect(topological(g.outputs).filter((n) => n.op === "fused")).toHaveLength(2);
  expect(kernelsOf(g).map((k) => k.kernel.split("_")[0])).toEqual(["matmul", "reduce"]);
  check(g);
});
