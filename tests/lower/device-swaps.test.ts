// Teams that bring their sums together by swaps come to what the reference says, however many threads run in step.

import { expect, test } from "vitest";
import { interpret } from "../../ir/interpret.ts";
import { visitStatements } from "../../ir/kernel/walk.ts";
import { difference } from "../support/equal.ts";
import { runLowered } from "../support/run-lowered.ts";
import { checkDevice, deviceCase, kernelsOf, most, testOnDriver } from "./device-cases.ts";

type Build = Parameters<typeof deviceCase>[0];
const rows =
  (op: string, shape: readonly number[], axis: number): Build =>
  (s) =>
    s.op(op, [s.input("f32", shape)], { axis });
const reduced =
  (op: string, shape: readonly number[]): Build =>
  (s) =>
    s.op("reduce", [s.input("f32", shape)], { op, axes: [1], keepdims: false });
const largest =
  (op: string): Build =>
  (s) =>
    s.op("arg_reduce", [s.input("f32", [3, 90])], { op, axis: 1, keepdims: false });
const product =
  (m: number, k: number, n: number, weight: "left" | "right" | "none"): Build =>
  (s) =>
    s.op("matmul", [
      weight === "left" ? s.weight("f32", [m, k]) : s.input("f32", [m, k]),
      weight === "right" ? s.weight("f32", [k, n]) : s.input("f32", [k, n]),
    ]);

const CASES: readonly (readonly [string, Build])[] = [
  ["softmax of a few", rows("softmax", [1, 5], 1)],
  ["softmax of rows", rows("softmax", [9, 70], 1)],
  ["softmax of long rows", rows("softmax", [3, 1500], 1)],
  ["softmax of columns", rows("softmax", [100, 30], 0)],
  ["log softmax of rows", rows("log_softmax", [5, 33], 1)],
  ["sums", reduced("sum", [7, 300])],
  ["whether any", (s) => s.op("reduce", [s.input("bool", [5, 300])], { op: "or", axes: [1], keepdims: false })],
  ["least ones", reduced("min", [3, 1000])],
  ["the first of the largest", largest("argmax")],
  ["the last of the least", largest("argmin_last")],
  ["a row by a matrix", product(1, 70, 10, "none")],
  ["a row by constants", product(1, 300, 24, "right")],
  ["constants by a column", product(10, 260, 1, "left")],
];

/** Statements of a kind in a graph's kernels. */
function swapsIn(build: Build): number {
  let found = 0;
  for (const { functions } of kernelsOf(deviceCase(build).graph, most))
    for (const f of functions) visitStatements(f.body, (s) => void (found += s.kind === "swap" ? 1 : 0));
  return found;
}

test.each(CASES)("%s", async (_, build) => {
  expect(swapsIn(build)).toBeGreaterThan(0);
  const c = deviceCase(build);
  const expected = interpret(c.graph, c.inputs);
  for (const lanes of [1, 4, 8, 32, 128])
    expect(difference(runLowered(c.graph, c.inputs, most, lanes), expected, "bounded")).toBeUndefined();
  await checkDevice(c, []);
});

testOnDriver(CASES.map(([, build]) => build));
