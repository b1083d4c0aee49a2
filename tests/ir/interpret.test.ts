// The interpreter of graphs: control flow, extents that hang on data, f64 accumulation, what faults.

import { describe, expect, test } from "vitest";
import { interpret } from "../../ir/interpret.ts";
import { standardOps } from "../../ir/ops/index.ts";
import { parse } from "../../ir/parse.ts";
import { type Tensor, tensorOf } from "../../ir/tensor.ts";

const run = (text: string, ...inputs: Tensor[]): (readonly [readonly number[], readonly (number | bigint)[]])[] =>
  interpret(parse(text, standardOps), inputs).map((t) => [t.shape, Array.from(t.data as ArrayLike<number | bigint>)]);
const f32 = (shape: readonly number[], ...values: number[]) => tensorOf("f32", shape, values);
const bool = (x: boolean) => tensorOf("bool", [], [Number(x)]);
const i64 = (x: bigint) => tensorOf("i64", [], [x]);

test("sums accumulate in f64", () => {
  const text = `graph @g(%x: f32[3]) {
  %y = reduce(%x) {axes: [0], keepdims: false, op: "sum"} : f32[]
  return %y
}`;
  expect(run(text, f32([3], 2 ** 24, 1, 1))).toEqual([[[], [2 ** 24 + 2]]]);
});

test("f16 rounds after every operator", () => {
  const text = `graph @g(%x: f16[1]) {
  %y = mul(%x, %x) : f16[1]
  return %y
}`;
  // 1.0009765625 squared, 1.00195..., rounds to 1.001953125.
  expect(run(text, tensorOf("f16", [1], [0x3c01]))).toEqual([[[1], [0x3c02]]]);
});

test("if runs one branch only", () => {
  const text = `graph @g(%c: bool[], %x: f32[2], %i: i64[]) {
  %y = if(%c, %x, %i) {else: graph (%p: f32[2], %i: i64[]) {
    %0 = gather(%p, %i) {axis: 0} : f32[]
    return %0
  }, then: graph (%p: f32[2], %i: i64[]) {
    %0 = reduce(%p) {axes: [0], keepdims: false, op: "max"} : f32[]
    return %0
  }} : f32[]
  return %y
}`;
  expect(run(text, bool(true), f32([2], 3, 5), i64(9n))).toEqual([[[], [5]]]);
  expect(run(text, bool(false), f32([2], 3, 5), i64(-2n))).toEqual([[[], [3]]]);
  expect(() => run(text, bool(false), f32([2], 3, 5), i64(2n))).toThrow(/index 2 is outside axis 0 of extent 2 \[fault\]/);
});

describe("loop", () => {
  // Doubles while below a limit; each state is scanned.
  const text = `graph @g(%n: i64[], %c: bool[], %x: f32[], %limit: f32[]) {
  %t, %y, %ys = loop(%n, %c, %x, %limit) {body: graph (%i: i64[], %c: bool[], %s: f32[], %l: f32[]) {
    %0 = add(%s, %s) : f32[]
    %1 = lt(%0, %l) : bool[]
    return %1, %0, %s
  }, max: 4, state: 1} : i64[], f32[], f32[4]
  return %t, %y, %ys
}`;
  test.each([
    ["the trip count ends it", 2n, true, 1000, [2n], [12], [3, 6, 0, 0]],
    ["the condition ends it", 4n, true, 10, [2n], [12], [3, 6, 0, 0]],
    ["it never starts", 4n, false, 1000, [0n], [3], [0, 0, 0, 0]],
    ["no trips", 0n, true, 1000, [0n], [3], [0, 0, 0, 0]],
  ])("%s", (_, n, c, limit, count, state, scanned) => {
    expect(run(text, i64(n), bool(c), f32([], 3), f32([], limit))).toEqual([
      [[], count],
      [[], state],
      [[4], scanned],
    ]);
  });

  test("more scans than there is room for", () => {
    expect(() => run(text, i64(9n), bool(true), f32([], 3), f32([], 1e9))).toThrow(/more than 4 iterations \[fault\]/);
  });
});

describe("extents that hang on data", () => {
  const text = `graph @g(%x: f32[4], %n: i64[]) {
  %0 = bound(%x, %n) {axis: 0} : f32[%n<=4]
  %1 = relu(%0) : f32[%n<=4]
  %2 = reduce(%1) {axes: [0], keepdims: false, op: "sum"} : f32[]
  return %1, %2
}`;
  test("are true extents in the results", () => {
    expect(run(text, f32([4], 1, -2, 3, 4), i64(3n))).toEqual([
      [[3], [1, 0, 3]],
      [[], [4]],
    ]);
    expect(run(text, f32([4], 1, -2, 3, 4), i64(0n))).toEqual([
      [[0], []],
      [[], [0]],
    ]);
  });

  test("outside their bound are faults", () => {
    expect(() => run(text, f32([4], 1, 2, 3, 4), i64(5n))).toThrow(/\[fault\]/);
    expect(() => run(text, f32([4], 1, 2, 3, 4), i64(-1n))).toThrow(/\[fault\]/);
  });
});

test("watch sees every node's results", () => {
  const g = parse("graph @g(%x: f32[1]) {\n  %a = neg(%x) : f32[1]\n  %b = exp(%a) : f32[1]\n  return %b\n}", standardOps);
  const seen: string[] = [];
  interpret(g, [f32([1], 0)], (n, results) => seen.push(`${n.op} ${results[0]!.data[0]}`));
  expect(seen).toEqual(["neg 0", "exp 1"]);
});

test("an output may be a parameter, twice", () => {
  const g = parse("graph @g(%x: f32[1]) {\n  return %x, %x\n}", standardOps);
  expect(interpret(g, [f32([1], 7)]).map((t) => t.data[0])).toEqual([7, 7]);
});
