// What loops and branches give lies flat, whatever its readers would like.

import { expect, test } from "vitest";
import { interpret } from "../../ir/interpret.ts";
import { standardOps } from "../../ir/ops/index.ts";
import { parse } from "../../ir/parse.ts";
import { difference } from "../support/equal.ts";
import { choices, randomTensor } from "../support/random-graph.ts";
import { runLowered } from "../support/run-lowered.ts";

test("a convolution reads a loop's scanned values and its state", () => {
  const g = parse(
    `graph @g(%x: f32[2,1,4]) {
  %n = const() {data: [2]} : i64[]
  %c = const() {data: [1]} : bool[]
  %w = const() {data: [1, 2, 3, 4, 5, 6]} : f32[1,2,1,3]
  %t, %s, %ys = loop(%n, %c, %x) {body: graph (%i: i64[], %again: bool[], %p: f32[2,1,4]) {
    %0 = add(%p, %p) : f32[2,1,4]
    return %again, %0, %p
  }, max: 2, state: 1} : i64[], f32[2,1,4], f32[2,2,1,4]
  %a = reshape(%s) {shape: [1, 2, 1, 4]} : f32[1,2,1,4]
  %y = conv(%ys, %w) {dilations: [1, 1], group: 1, pads: [0, 1, 0, 1], strides: [1, 1]} : f32[2,1,1,4]
  %z = conv(%a, %w) {dilations: [1, 1], group: 1, pads: [0, 1, 0, 1], strides: [1, 1]} : f32[1,1,1,4]
  return %y, %z
}`,
    standardOps,
  );
  const inputs = [randomTensor(choices(1), "f32", [2, 1, 4])];
  expect(difference(runLowered(g, inputs), interpret(g, inputs), "bounded")).toBeUndefined();
});
