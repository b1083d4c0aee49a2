// Quantized models with scales, zero points, axes or blocks that cannot be: coded errors that name file, node and tensor.

import { describe, expect, test } from "vitest";
import type { GraphInit, NamedTensorInit, NodeInit } from "../../compiler/onnx/proto/encode.ts";
import type { DType } from "../../ir/dtype.ts";
import { errorOf, importModel } from "../support/run-model.ts";

const tensor = (name: string, dtype: DType, shape: readonly number[], data?: readonly number[]): NamedTensorInit => ({
  name,
  dtype,
  shape,
  data: data ?? Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => 1),
});

/** y from x through one node; its further operands are constants. */
const node = (
  op: string,
  x: readonly [DType, ...number[]],
  initializers: readonly NamedTensorInit[],
  y: DType,
  attributes: NodeInit["attributes"] = {},
  { inputs, domain = "" }: { readonly inputs?: readonly string[]; readonly domain?: string } = {},
): GraphInit & { readonly opset: Readonly<Record<string, number>> } => ({
  opset: domain === "" ? { "": 21 } : { "": 21, [domain]: 1 },
  inputs: [{ name: "x", dtype: x[0], shape: x.slice(1) as number[] }],
  outputs: [{ name: "y", dtype: y }],
  initializers,
  nodes: [{ op, domain, name: "the_node", inputs: inputs ?? ["x", ...initializers.map((i) => i.name)], outputs: ["y"], attributes }],
});

/** Operands of QLinearMatMul, of which one may be another. */
const products = (changed: NamedTensorInit): GraphInit => {
  const operands = [
    tensor("x_scale", "f32", []),
    tensor("x_zero", "u8", []),
    tensor("w", "i8", [4, 3]),
    tensor("w_scale", "f32", [3]),
    tensor("w_zero", "i8", [3]),
    tensor("y_scale", "f32", []),
    tensor("y_zero", "u8", []),
  ].map((t) => (t.name === changed.name ? changed : t));
  return node("QLinearMatMul", ["u8", 2, 4], operands, "u8");
};

const w = tensor("w", "i8", [4, 6]);
const dequantized = (steps: readonly NamedTensorInit[], attributes: NodeInit["attributes"] = {}): GraphInit =>
  node("DequantizeLinear", ["f32", 1], [w, ...steps], "f32", attributes, { inputs: ["w", ...steps.map((s) => s.name)] });
const quantized = (steps: readonly NamedTensorInit[], attributes: NodeInit["attributes"] = {}): GraphInit =>
  node("QuantizeLinear", ["f32", 4, 6], steps, "u8", attributes);

describe("scales", () => {
  test.each([
    ["zero", 0],
    ["not a number", Number.NaN],
    ["infinite", Number.POSITIVE_INFINITY],
    ["negative", -0.5],
  ])("that are %s", (_, value) => {
    const scale = tensor("a_scale", "f32", [], [value]);
    const several = tensor("a_scale", "f32", [6], [1, 1, 1, value, 1, 1]);
    const blocks = tensor("a_scale", "f32", [2, 6], [1, 1, 1, value, 1, 1, 1, 1, 1, 1, 1, 1]);
    for (const graph of [
      dequantized([scale]),
      quantized([scale]),
      dequantized([several]),
      quantized([several]),
      dequantized([blocks], { axis: { int: 0 }, block_size: { int: 2 } }),
      products({ ...scale, name: "x_scale" }),
      products({ ...several, name: "w_scale", shape: [3], data: [1, value, 1] }),
      products({ ...scale, name: "y_scale" }),
      node(
        "QLinearAdd",
        ["u8", 4],
        [scale, tensor("z", "u8", []), tensor("b", "u8", [4])],
        "u8",
        {},
        { domain: "com.microsoft", inputs: ["x", "a_scale", "z", "b", "a_scale", "z", "a_scale", "z"] },
      ),
    ]) {
      const error = errorOf(() => importModel(graph));
      expect(error.code).toBe("bad-model");
      expect(error.message).toContain("test.onnx (the_node): ");
      expect(error.message).toMatch(/element \d of scale "\w_scale" is \S+, and scales are positive and finite/);
      expect(error.hint).toContain("quantize the model again");
    }
  });
});

test.each<[string, GraphInit, RegExp]>([
  ["integers as scales", dequantized([tensor("a_scale", "i32", [])]), /scale "a_scale" is i32\[\], and floats are expected/],
  [
    "too few scales for the axis",
    dequantized([tensor("a_scale", "f32", [4])], { axis: { int: 1 } }),
    /scale "a_scale" is f32\[4\], and axis 1 of i8\[4,6\] need \[6\]/,
  ],
  ["a scale of too many axes", quantized([tensor("a_scale", "f32", [4, 6])], { axis: { int: 1 } }), /scale "a_scale" is f32\[4,6\]/],
  [
    "a scale of too few axes for blocks",
    dequantized([tensor("a_scale", "f32", [6])], { axis: { int: 0 }, block_size: { int: 2 } }),
    /scale "a_scale" is f32\[6\], and blocks of 2 along axis 0 of i8\[4,6\] need \[2,6\]/,
  ],
  [
    "a block size that gives another number of blocks",
    dequantized([tensor("a_scale", "f32", [4, 4])], { axis: { int: 1 }, block_size: { int: 5 } }),
    /scale "a_scale" is f32\[4,4\], and blocks of 5 along axis 1 of i8\[4,6\] need \[4,2\]/,
  ],
  [
    "a negative block size",
    dequantized([tensor("a_scale", "f32", [2, 6])], { axis: { int: 0 }, block_size: { int: -2 } }),
    /'block_size' is -2/,
  ],
  ["an axis out of range", dequantized([tensor("a_scale", "f32", [6])], { axis: { int: 2 } }), /axis 2 of a tensor with 2 axes/],
  [
    "an axis out of range, from the end",
    quantized([tensor("a_scale", "f32", [6])], { axis: { int: -3 } }),
    /axis -3 of a tensor with 2 axes/,
  ],
  [
    "a zero point of another type",
    dequantized([tensor("a_scale", "f32", []), tensor("a_zero", "u8", [])]),
    /zero point "a_zero" is u8\[\], and the integers are i8/,
  ],
  [
    "a zero point that is a float",
    quantized([tensor("a_scale", "f32", []), tensor("a_zero", "f32", [])]),
    /zero point "a_zero" is f32\[\], and the integers are to be integers/,
  ],
  [
    "zero points of another shape",
    dequantized([tensor("a_scale", "f32", []), tensor("a_zero", "i8", [6])]),
    /zero point "a_zero" is i8\[6\], and its scale is f32\[\]/,
  ],
  [
    "a zero point of a product of another type",
    products(tensor("w_zero", "u8", [3])),
    /zero point "w_zero" is u8\[3\], and the integers are i8/,
  ],
  ["a zero point of a result that is a float", products(tensor("y_zero", "f32", [])), /zero point "y_zero" is f32\[\]/],
  [
    "a zero point of ConvInteger of another type",
    node("ConvInteger", ["u8", 1, 1, 4, 4], [tensor("w", "i8", [2, 1, 1, 1]), tensor("x_zero", "i8", [])], "i32"),
    /zero point "x_zero" is i8\[\], and the integers are u8/,
  ],
])("%s", (_, graph, message) => {
  const error = errorOf(() => importModel(graph));
  expect(error.code).toBe("bad-model");
  expect(error.message).toContain("test.onnx (the_node): ");
  expect(error.message).toMatch(message);
});

test("the last block may be shorter, and single scales may be vectors", () => {
  importModel(dequantized([tensor("a_scale", "f32", [4, 2])], { axis: { int: 1 }, block_size: { int: 4 } }));
  importModel(dequantized([tensor("a_scale", "f32", [1]), tensor("a_zero", "i8", [])]));
  importModel(products(tensor("x_zero", "u8", [1])));
});
