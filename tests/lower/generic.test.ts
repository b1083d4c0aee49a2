// The generic lowering against the reference: graphs in text, run both ways.

import { expect, test } from "vitest";
import type { Graph } from "../../ir/graph.ts";
import { interpret } from "../../ir/interpret.ts";
import { standardOps } from "../../ir/ops/index.ts";
import { parse } from "../../ir/parse.ts";
import { type Tensor, tensorOf } from "../../ir/tensor.ts";
import { maxShape } from "../../ir/types.ts";
import { runLowered, SCALAR_TARGET, VECTOR_TARGET } from "../support/run-lowered.ts";

function inputsFor(g: Graph): Tensor[] {
  return g.params.map((p, k) => {
    const shape = maxShape(p.type);
    const n = shape.reduce((a, b) => a * b, 1);
    const values = Array.from({ length: n }, (_, i) => {
      const x = Math.sin((i + 1) * 12.9898 + k * 78.233) * 4;
      return p.type.dtype === "bool" ? (x > 0 ? 1 : 0) : p.type.dtype.startsWith("f") ? x : Math.round(x);
    });
    return tensorOf(p.type.dtype, shape, p.type.dtype.startsWith("i") || p.type.dtype.startsWith("u") ? values.map(Math.abs) : values);
  });
}

function check(text: string, inputs?: Tensor[]): void {
  const g = parse(text, standardOps);
  const given = inputs ?? inputsFor(g);
  const want = interpret(g, given);
  for (const can of [VECTOR_TARGET, SCALAR_TARGET]) {
    const got = runLowered(g, given, can);
    for (const threads of [2, 3]) expect(runLowered(g, given, { ...can, threads })).toEqual(got);
    got.forEach((t, k) => {
      expect(t.shape).toEqual(want[k]!.shape);
      const [a, b] = [
        Array.from(t.data as ArrayLike<number | bigint>, Number),
        Array.from(want[k]!.data as ArrayLike<number | bigint>, Number),
      ];
      a.forEach((x, i) => expect(x).toBeCloseTo(b[i]!, 4));
    });
  }
}

test("rounding of any floats to bytes, sixteen at once, four, and one", () => {
  const odd = [Number.NaN, -Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 3e38, -3e38, 2 ** 31, -(2 ** 31), 1e-40, -0];
  const near = [0.5, 1.5, 2.5, 126.5, 127.5, 128.5, 254.5, 255.5, 256.5, 0.49999997].flatMap((x) => [x, -x]);
  const far = [2 ** 21 + 0.5, 2 ** 22, 2 ** 22 + 0.5, 2 ** 23 - 0.5, 1.5 * 2 ** 23, 2 ** 24].flatMap((x) => [x, -x]);
  const x = tensorOf("f32", [55], [...odd, ...near, ...far, ...Array.from({ length: 13 }, (_, i) => 37.3 * (i - 6))]);
  for (const [to, zero] of [
    ["u8", 0],
    ["u8", 128],
    ["i8", -7],
  ] as const) {
    const given = [x, tensorOf(to, [], [zero])];
    const rounded = (z: string): string => `%q = quantize(%x, %s, ${z}) {axis: 0, block: 0, to: "${to}"} : ${to}[55]\n return %q\n }`;
    const one = `%s = const() {data: [1]} : f32[]`;
    check(`graph @known(%x: f32[55]) {\n ${one}\n %z = const() {data: [${zero}]} : ${to}[]\n ${rounded("%z")}`, given.slice(0, 1));
    check(`graph @given(%x: f32[55], %z: ${to}[]) {\n ${one}\n ${rounded("%z")}`, given);
  }
});

test("elementwise chains with broadcasting, a vector body and a scalar tail", () => {
  check(`graph @g(%x: f32[2,3,7], %y: f32[3,1], %z: f32[7]) {
    %0 = add(%x, %y) : f32[2,3,7]
    %1 = mul(%0, %z) : f32[2,3,7]
    %2 = relu(%1) : f32[2,3,7]
    return %2
  }`);
});

test("a fused region is one kernel, its inner values no memory", () => {
  check(`graph @g(%x: f32[5,9], %b: f32[9]) {
    %0 = fused(%x, %b) {body: graph (%a: f32[5,9], %b: f32[9]) {
      %1 = add(%a, %b) : f32[5,9]
      %2 = sigmoid(%1) : f32[5,9]
      %3 = mul(%1, %2) : f32[5,9]
      return %3
    }} : f32[5,9]
    return %0
  }`);
});

test("softmax written out, reductions outside of the element loop", () => {
  check(`graph @g(%x: f32[3,10]) {
    %0 = fused(%x) {body: graph (%a: f32[3,10]) {
      %1 = reduce(%a) {axes: [1], keepdims: true, op: "max"} : f32[3,1]
      %2 = sub(%a, %1) : f32[3,10]
      %3 = exp(%2) : f32[3,10]
      %4 = reduce(%3) {axes: [1], keepdims: true, op: "sum"} : f32[3,1]
      %5 = div(%3, %4) : f32[3,10]
      return %5
    }} : f32[3,10]
    return %0
  }`);
});

test("matmul with an epilogue", () => {
  check(`graph @g(%x: f32[2,5,6], %w: f32[6,7], %b: f32[7]) {
    %0 = fused(%x, %w, %b) {body: graph (%x: f32[2,5,6], %w: f32[6,7], %b: f32[7]) {
      %1 = matmul(%x, %w) : f32[2,5,7]
      %2 = add(%1, %b) : f32[2,5,7]
      %3 = relu(%2) : f32[2,5,7]
      return %3
    }} : f32[2,5,7]
    return %0
  }`);
});

test("convolution with padding, strides and groups", () => {
  check(`graph @g(%x: f32[2,4,7,6], %w: f32[6,2,3,3], %b: f32[6]) {
    %0 = conv(%x, %w, %b) {dilations: [1,1], group: 2, pads: [1,1,1,1], strides: [2,1]} : f32[2,6,4,6]
    return %0
  }`);
});

test("concatenation without copies, transposes, slices, padding", () => {
  check(`graph @g(%x: f32[2,3,5], %y: f32[2,2,5]) {
    %0 = relu(%x) : f32[2,3,5]
    %1 = neg(%y) : f32[2,2,5]
    %2 = concat(%0, %1, %0, %x) {axis: 1} : f32[2,11,5]
    %3 = transpose(%2) {perm: [2,0,1]} : f32[5,2,11]
    %4 = slice(%3) {shape: [3,2,5], starts: [4,0,1], steps: [-2,1,2]} : f32[3,2,5]
    %5 = reshape(%4) {shape: [30]} : f32[30]
    return %5, %2
  }`);
});

test("integers wrap, i64 is exact, bool is bool", () => {
  check(`graph @g(%a: i8[9], %b: i8[9], %c: i64[5], %d: bool[5]) {
    %0 = mul(%a, %b) : i8[9]
    %1 = add(%c, %c) : i64[5]
    %2 = not(%d) : bool[5]
    %3 = where(%2, %1, %c) : i64[5]
    return %0, %3, %2
  }`);
});

test("gather checks its indices", () => {
  const text = `graph @g(%x: f32[4,3], %i: i64[2]) {
    %0 = gather(%x, %i) {axis: 0} : f32[2,3]
    return %0
  }`;
  const g = parse(text, standardOps);
  const x = tensorOf(
    "f32",
    [4, 3],
    Array.from({ length: 12 }, (_, i) => i),
  );
  check(text, [x, tensorOf("i64", [2], [3, -1])]);
  expect(() => runLowered(g, [x, tensorOf("i64", [2], [0, 4])])).toThrow(/outside axis 0/);
});

test("branches and loops run as regions", () => {
  check(
    `graph @g(%c: bool[], %n: i64[], %x: f32[3]) {
    %0 = if(%c, %x) {then: graph (%x: f32[3]) {
      %1 = neg(%x) : f32[3]
      return %1
    }, else: graph (%x: f32[3]) {
      return %x
    }} : f32[3]
    %t = const() {data: [1]} : bool[]
    %k, %s, %all = loop(%n, %t, %0, %x) {body: graph (%i: i64[], %c: bool[], %s: f32[3], %x: f32[3]) {
      %4 = add(%s, %x) : f32[3]
      return %c, %4, %s
    }, max: 5, state: 1} : i64[], f32[3], f32[5,3]
    return %k, %s, %all
  }`,
    [tensorOf("bool", [], [1]), tensorOf("i64", [], [5]), tensorOf("f32", [3], [1, -2, 3])],
  );
});
