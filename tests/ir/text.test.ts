// The text form: what is printed reads back as the same graph, and what cannot be read says where and why.

import { describe, expect, test } from "vitest";
import { type Graph, GraphBuilder, type Value } from "../../ir/graph.ts";
import { standardOps } from "../../ir/ops/index.ts";
import { parse } from "../../ir/parse.ts";
import { print } from "../../ir/print.ts";
import { type Tensor, tensorOf } from "../../ir/tensor.ts";
import { weightStore } from "../../ir/weights.ts";

function build(make: (b: GraphBuilder) => { readonly params: readonly Value[]; readonly outputs: readonly Value[] }, name = "g"): Graph {
  const b = new GraphBuilder(standardOps, weightStore());
  return { ops: standardOps, name, ...make(b), weights: b.weights };
}

const roundTrip = (g: Graph): Graph => parse(print(g), standardOps, { weights: g.weights });

/** A graph that only holds a constant. */
const holding = (t: Tensor): Graph => build((b) => ({ params: [], outputs: [b.constant(t)] }));

describe("constants are spelled exactly", () => {
  test.each<[string, Tensor, string]>([
    [
      "f32",
      tensorOf("f32", [5], [0.1, -0, Number.NaN, Number.POSITIVE_INFINITY, 1e-40]),
      "[0.10000000149011612, -0, nan, inf, 9.99994610111476e-41]",
    ],
    ["f64", tensorOf("f64", [2], [0.1, 5e-324]), "[0.1, 5e-324]"],
    ["f16", tensorOf("f16", [3], [0x3c00, 0xc000, 0xfc00]), "[1, -2, -inf]"],
    ["i64", tensorOf("i64", [2], [-(2n ** 63n), 2n ** 63n - 1n]), "[-9223372036854775808n, 9223372036854775807n]"],
    ["u64", tensorOf("u64", [1], [2n ** 64n - 1n]), "[18446744073709551615n]"],
    ["small i64", tensorOf("i64", [2], [-7n, 7n]), "[-7, 7]"],
    ["i4", tensorOf("i4", [2], [-8, 7]), "[-8, 7]"],
    ["bool", tensorOf("bool", [2], [1, 0]), "[1, 0]"],
    ["nothing", tensorOf("f32", [0, 3], []), "[]"],
  ])("%s", (_, t, text) => {
    const g = holding(t);
    expect(print(g)).toContain(`data: ${text}`);
    const again = roundTrip(g);
    expect(again.weights.get(again.outputs[0]!.node.attrs["ref"] as string)).toEqual(t);
  });

  test("large ones are references", () => {
    const t = tensorOf(
      "f32",
      [32],
      Array.from({ length: 32 }, (_, i) => i),
    );
    expect(print(holding(t))).toMatch(/const\(\) \{ref: "f32_32_\w+"\} : f32\[32\]/);
    expect(print(roundTrip(holding(t)))).toBe(print(holding(t)));
  });

  test("a layout is part of the type", () => {
    const g = build((b) => ({ params: [], outputs: [b.constant(tensorOf("f32", [2], [0, 1]), { layout: "csr" })] }));
    expect(print(g)).toContain(": f32[2] as csr");
    expect(roundTrip(g).outputs[0]!.type.layout).toBe("csr");
  });
});

test("names of parameters that are no names are quoted, and never collide", () => {
  const names = ["x", "x:0", "x_0", "1", "", "__proto__", 'quote"d', "%x"];
  const g = build((b) => {
    const params = names.map((n) => b.param(n, "f32", [1]));
    return { params, outputs: [b.value("concat", params, { axis: 0 })] };
  });
  expect(roundTrip(g).params.map((p) => p.node.attrs["name"])).toEqual(names);
  expect(print(roundTrip(g))).toBe(print(g));
});

test("attributes of every kind", () => {
  const region = build((b) => {
    const p = b.param("p", "f32", [2]);
    return { params: [p], outputs: [b.value("gelu", [p], { approximate: "tanh" })] };
  });
  const g = build((b) => {
    const x = b.param("x", "f32", [2]);
    const y = b.value("fused", [x], { body: region });
    return { params: [x], outputs: [b.value("elu", [b.value("pad", [y], { mode: "edge", begins: [-1], ends: [2] })], { alpha: -0 })] };
  });
  const text = print(g);
  expect(text).toContain('{begins: [-1], ends: [2], mode: "edge"}');
  expect(text).toContain("{alpha: -0}");
  expect(print(roundTrip(g))).toBe(text);
});

test("extents that hang on data name their value", () => {
  const text = `graph @g(%x: f32[4], %n: i64[]) {
  %0 = bound(%x, %n) {axis: 0} : f32[%n<=4]
  %1 = relu(%0) : f32[%n<=4]
  return %1
}
`;
  expect(print(parse(text, standardOps))).toBe(text);
});

test("places are printed on request", () => {
  const g = build((b) => {
    const x = b.param("x", "f32", [2]);
    return {
      params: [x],
      outputs: [
        b.value("relu", [x], {}, [
          { file: "m.onnx", name: "Relu_1" },
          { file: "m.onnx", name: "Relu_2" },
        ]),
      ],
    };
  });
  expect(print(g, { locs: true })).toContain("relu(%x) : f32[2]  // Relu_1, Relu_2");
});

describe("what cannot be read", () => {
  const wrap = (line: string) => `graph @g(%x: f32[2]) {\n${line}\n  return %y\n}`;
  test.each([
    ["  %y = relu(%x) : f32[3]", "bad.ir:2 (%y): declared f32[3], inferred f32[2] [parse]"],
    ["  %y = relu(%z) : f32[2]", "bad.ir:2 (%z): '%z' is not defined [parse]"],
    ["  %y = rellu(%x) : f32[2]", "bad.ir:2 (%y): no operator named 'rellu' in this op set [unknown-op]"],
    ["  %y = matmul(%x, %x, %x) : f32[2]", "bad.ir:2 (%y): matmul: expects operands (a, b), got 3 [bad-operands]"],
    ["  %a, %y = relu(%x) : f32[2]", "2 names for 1 results [parse]"],
    ["  %y = relu(%x) : f33[2]", "'f33' is not an element type [parse]"],
    ["  %y = const() : f32[2]", "const needs `data` or `ref` [parse]"],
    ["  %y = const() {data: [1]} : f32[2]", "1 values for f32[2] [parse]"],
    ["  %y = relu(%x) {a: ?} : f32[2]", "bad.ir:2: unexpected '?' [parse]"],
    ["  %y = relu(%x : f32[2]", "expected ',', found ':' [parse]"],
    ["  %y = reshape(%x) {shape: [3]} : f32[3]", "bad.ir:2 (%y): reshape: f32[2] has 2 elements, shape [3] 3 [bad-operands]"],
  ])("%s", (line, message) => {
    expect(() => parse(wrap(line), standardOps, { file: "bad.ir" })).toThrow(message);
  });

  test("text after the graph", () => {
    expect(() => parse(`${wrap("  %y = relu(%x) : f32[2]")}\nmore`, standardOps)).toThrow(
      "<text>:5 (more): expected the end, found 'more' [parse]",
    );
  });

  test("a graph that ends early", () => {
    expect(() => parse("graph @g(%x: f32[2]) {", standardOps)).toThrow(/expected a value, found 'the end'/);
  });
});
