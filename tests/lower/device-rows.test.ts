// Teams of threads at rows: softmax, norms and reductions on a device, against the reference.

import { describe, expect, test } from "vitest";
import { webgpu } from "../../backends/webgpu/index.ts";
import { lowerGraph } from "../../compiler/lower/lower.ts";
import { passContext } from "../../compiler/pass.ts";
import { expand } from "../../compiler/passes/expand.ts";
import { fuse } from "../../compiler/passes/fuse.ts";
import type { DType } from "../../ir/dtype.ts";
import { type Graph, GraphBuilder, type Value } from "../../ir/graph.ts";
import { interpret } from "../../ir/interpret.ts";
import { standardOps } from "../../ir/ops/index.ts";
import { type Tensor, tensorOf } from "../../ir/tensor.ts";
import { weightStore } from "../../ir/weights.ts";
import type { Sketch } from "../conformance/sketch.ts";
import { runLowered } from "../support/run-lowered.ts";
import { checkDevice, deviceCase, testOnDriver } from "./device-cases.ts";

const { can } = webgpu.variants.at(-1)!;

const count = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);
const noise = (shape: readonly number[], seed: number, dtype: DType = "f32"): Tensor => {
  const at = (i: number): number => Math.sin(seed + 12.9898 * (i + 1)) * 2.5;
  const whole = (x: number): number => (dtype === "bool" ? Number(x > -2.4) : Math.round(4 * x));
  return tensorOf(
    dtype,
    shape,
    Array.from({ length: count(shape) }, (_, i) => (dtype === "f32" ? at(i) : whole(at(i)))),
  );
};

type Make = (b: GraphBuilder, x: Value) => Value;

/** A graph over x, expanded and fused. */
function fused(shape: readonly number[], make: Make, dtype: DType = "f32"): Graph {
  const b = new GraphBuilder(standardOps, weightStore());
  const x = b.param("x", dtype, shape);
  const graph = { ops: b.ops, name: "net", params: [x], outputs: [make(b, x)], weights: b.weights };
  return fuse.run(expand.run(graph, passContext()), passContext());
}

const reasons = (g: Graph): string[] => lowerGraph(g, can).steps.flatMap((s) => (s.kind === "kernel" ? [s.lowered.why] : []));

function check(g: Graph, x = noise(g.params[0]!.type.shape as readonly number[], 7, g.params[0]!.type.dtype)): void {
  const want = interpret(g, [x])[0]!.data;
  const got = runLowered(g, [x], can)[0]!.data;
  expect(got.length).toBe(want.length);
  const far = (a: number, b: number): number => (Object.is(a, b) ? 0 : Math.abs(a - b) / Math.max(1, Math.abs(b)));
  got.forEach((v, i) => expect(far(Number(v), Number(want[i])), `element ${i}`).toBeLessThan(1e-5));
}

const softmax =
  (axis: number, op = "softmax"): Make =>
  (b, x) =>
    b.value(op, [x], { axis });
const norm =
  (axis: number): Make =>
  (b, x) => {
    const shape = (x.type.shape as readonly number[]).slice(axis);
    return b.value("layer_norm", [x, b.constant(noise(shape, 3)), b.constant(noise(shape, 4))], { axis, epsilon: 1e-5 });
  };
const root =
  (axis: number): Make =>
  (b, x) =>
    b.value("rms_norm", [x, b.constant(noise((x.type.shape as readonly number[]).slice(axis), 3))], { axis, epsilon: 1e-5 });

const TEAM = /^\d+ threads at each row, \d+ rows a workgroup$/;

describe.each([[[3, 37]], [[2, 5, 16]], [[4, 18, 3]], [[2, 3]], [[23, 6]], [[2, 2300]], [[130, 40]], [[5, 1]]])("%j", (shape) => {
  const last = shape.length - 1;
  test.each<readonly [string, Make]>([
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
    if (shape[last] !== 1) expect(reasons(g)).toEqual([expect.stringMatching(TEAM)]);
  });
});

test("an instance norm, whose channels have one scale each", () => {
  const g = fused([2, 3, 5, 7], (b, x) =>
    b.value("instance_norm", [x, b.constant(noise([3], 1)), b.constant(noise([3], 2))], { epsilon: 1e-5 }),
  );
  check(g);
  expect(reasons(g)).toEqual([expect.stringMatching(TEAM)]);
});

const REDUCTIONS = ["sum", "min", "max"] as const;
const EXTREMES = ["argmin", "argmax", "argmin_last", "argmax_last"] as const;
/** Long rows, and few or many columns. */
const SHAPES = [
  [3, 100],
  [100, 3],
  [2, 70, 6],
  [5, 33, 34],
  [2500, 2],
];

describe.each(SHAPES.map((s) => [s]))("%j reduced", (shape) => {
  const axes = shape.flatMap((d, axis) => (d > 32 ? [axis] : []));
  test.each(REDUCTIONS)("%s", (op) => {
    for (const dtype of ["f32", "i32"] as const) {
      const g = fused(shape, (b, x) => b.value("reduce", [x], { op, axes, keepdims: false }), dtype);
      check(g);
      expect(reasons(g)).toEqual([expect.stringMatching(TEAM)]);
    }
  });
  test.each(["and", "or"])("%s", (op) => {
    const g = fused(shape, (b, x) => b.value("reduce", [x], { op, axes, keepdims: true }), "bool");
    check(g);
    expect(reasons(g)).toEqual([expect.stringMatching(TEAM)]);
  });
  test.each(EXTREMES)("%s", (op) => {
    for (const dtype of ["f32", "i32"] as const)
      check(fused(shape, (b, x) => b.value("arg_reduce", [x], { op, axis: axes[0]!, keepdims: false }), dtype));
  });
  test("with what comes before and after", () => {
    const make: Make = (b, x) => b.value("sqrt", [b.value("reduce", [b.value("mul", [x, x])], { op: "sum", axes, keepdims: true })]);
    check(fused(shape, make));
  });
});

test.each([[[1, 3, 7, 7]], [[2, 4, 12, 9]]])("a pool over all of %j", (shape) => {
  const [h, w] = shape.slice(2) as [number, number];
  for (const op of ["avg", "lp"]) {
    const attrs = {
      op,
      kernel: [h, w],
      strides: [1, 1],
      dilations: [1, 1],
      pads: [0, 0, 0, 0],
      shape: [1, 1],
      count_include_pad: false,
      p: 2,
    };
    const g = fused(shape, (b, x) => b.value("pool", [x], attrs));
    check(g);
    expect(reasons(g)).toEqual([expect.stringMatching(TEAM)]);
  }
});

describe("what is no number", () => {
  const given = (at: Readonly<Record<number, number>>): Tensor => {
    const x = noise([2, 100], 1);
    for (const [k, v] of Object.entries(at)) x.data[Number(k)] = v;
    return x;
  };
  const cases: readonly (readonly [string, Tensor])[] = [
    ["none here", given({ 30: Number.NaN, 150: Number.POSITIVE_INFINITY })],
    ["all of a row", given(Object.fromEntries(Array.from({ length: 100 }, (_, k) => [k, Number.NaN])))],
    ["a row of the least", given(Object.fromEntries(Array.from({ length: 100 }, (_, k) => [k, Number.NEGATIVE_INFINITY])))],
    ["equal ones", given({ 3: 9, 77: 9, 120: -9, 199: -9 })],
  ];
  test.each(cases)("%s", (_, x) => {
    check(fused([2, 100], softmax(1)), x);
    for (const op of REDUCTIONS)
      check(
        fused([2, 100], (b, v) => b.value("reduce", [v], { op, axes: [1], keepdims: true })),
        x,
      );
    for (const op of EXTREMES)
      check(
        fused([2, 100], (b, v) => b.value("arg_reduce", [v], { op, axis: 1, keepdims: true })),
        x,
      );
  });
});

const onDevice: readonly ((s: Sketch) => Value)[] = [
  (s) => s.op("softmax", [s.input("f32", [3, 37])], { axis: 1 }),
  (s) => s.op("softmax", [s.input("f32", [130, 40])], { axis: 0 }),
  (s) => s.op("log_softmax", [s.input("f32", [2, 2300])], { axis: 1 }),
  (s) => s.op("layer_norm", [s.input("f32", [2, 5, 16]), s.weight("f32", [16]), s.weight("f32", [16])], { axis: 2, epsilon: 1e-5 }),
  (s) => s.op("instance_norm", [s.input("f32", [2, 3, 5, 7]), s.weight("f32", [3]), s.weight("f32", [3])], { epsilon: 1e-5 }),
  (s) => s.op("reduce", [s.input("i32", [2, 70, 6])], { op: "max", axes: [1], keepdims: false }),
  (s) => s.op("reduce", [s.input("bool", [5, 100])], { op: "and", axes: [1], keepdims: false }),
  (s) => s.op("arg_reduce", [s.input("f32", [2500, 2])], { op: "argmin_last", axis: 0, keepdims: false }),
];
test.each(onDevice.map((build, k) => [k, build] as const))("WGSL of sample %i", (_, build) => checkDevice(deviceCase(build), []));
testOnDriver(onDevice);
