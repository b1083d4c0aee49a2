// What a model's own quantization is found to be: type of the weights, levels, what shares a scale, in every form that ONNX has.

import { expect, test } from "vitest";
import { compileModel } from "../../compiler/index.ts";
import { encodeModel, type GraphInit, type NamedTensorInit, type NodeInit } from "../../compiler/onnx/proto/encode.ts";
import { foundQuantization } from "../../compiler/quantize/found.ts";
import { importModel } from "../support/run-model.ts";

const f32 = (name: string, shape: readonly number[], value = 0.5): NamedTensorInit => ({
  name,
  dtype: "f32",
  shape,
  data: Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => value),
});
const integers = (name: string, dtype: "i8" | "u8" | "i4" | "u4", shape: readonly number[], value?: number): NamedTensorInit => ({
  name,
  dtype,
  shape,
  data: Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => value ?? i % 8),
});

const graph = (
  x: { readonly dtype: "f32" | "u8"; readonly shape: readonly number[] },
  nodes: readonly NodeInit[],
  initializers: readonly NamedTensorInit[],
  y: { readonly dtype: "f32" | "u8" | "i32"; readonly shape: readonly number[] },
): GraphInit => ({ inputs: [{ name: "x", ...x }], nodes, initializers, outputs: [{ name: "y", ...y }] });

const dequantized = (attributes: NodeInit["attributes"], inputs: readonly string[]): readonly NodeInit[] => [
  { op: "DequantizeLinear", inputs, outputs: ["d"], ...(attributes ? { attributes } : {}) },
  { op: "MatMul", name: "product", inputs: ["x", "d"], outputs: ["y"] },
];
const matrix = (initializers: readonly NamedTensorInit[], attributes?: NodeInit["attributes"]): GraphInit =>
  graph(
    { dtype: "f32", shape: [2, 8] },
    dequantized(
      attributes,
      initializers.map((i) => i.name),
    ),
    initializers,
    { dtype: "f32", shape: [2, 3] },
  );
const image = { dtype: "u8", shape: [1, 2, 4, 4] } as const;

test.each<[string, GraphInit, object]>([
  ["one scale", matrix([integers("w", "i8", [8, 3]), f32("s", [])]), { dtype: "i8", block: "tensor", symmetric: true }],
  [
    "a scale and a zero point that is not the middle",
    matrix([integers("w", "u8", [8, 3]), f32("s", []), integers("z", "u8", [], 7)]),
    { dtype: "u8", block: "tensor", symmetric: false },
  ],
  [
    "unsigned integers around the middle",
    matrix([integers("w", "u8", [8, 3]), f32("s", []), integers("z", "u8", [], 128)]),
    { dtype: "u8", block: "tensor", symmetric: true },
  ],
  [
    "a scale for each output",
    matrix([integers("w", "i8", [8, 3]), f32("s", [3]), integers("z", "i8", [3], 0)], { axis: { int: 1 } }),
    { dtype: "i8", block: "channel", symmetric: true },
  ],
  [
    "blocks of four bits",
    matrix([integers("w", "u4", [8, 3]), f32("s", [2, 3]), integers("z", "u4", [2, 3], 3)], { axis: { int: 0 }, block_size: { int: 4 } }),
    { dtype: "u4", block: "4", symmetric: false },
  ],
  [
    "MatMulInteger",
    graph(
      { dtype: "u8", shape: [2, 8] },
      [{ op: "MatMulInteger", name: "product", inputs: ["x", "w", "", "z"], outputs: ["y"] }],
      [integers("w", "i8", [8, 3]), integers("z", "i8", [3], 1)],
      { dtype: "i32", shape: [2, 3] },
    ),
    { dtype: "i8", block: "channel", symmetric: false },
  ],
  [
    "QLinearMatMul",
    graph(
      { dtype: "u8", shape: [2, 8] },
      [{ op: "QLinearMatMul", name: "product", inputs: ["x", "s", "zx", "w", "sw", "zw", "s", "zx"], outputs: ["y"] }],
      [f32("s", []), integers("zx", "u8", [], 9), integers("w", "i8", [8, 3]), f32("sw", [3]), integers("zw", "i8", [3], 0)],
      { dtype: "u8", shape: [2, 3] },
    ),
    { dtype: "i8", block: "channel", symmetric: true },
  ],
  [
    "QLinearConv with one scale, and a bias",
    graph(
      image,
      [{ op: "QLinearConv", name: "product", inputs: ["x", "s", "zx", "w", "s", "zw", "s", "zx", "b"], outputs: ["y"] }],
      [
        f32("s", []),
        integers("zx", "u8", [], 9),
        integers("w", "u8", [3, 2, 1, 1]),
        integers("zw", "u8", [], 5),
        { name: "b", dtype: "i32", shape: [3], data: [1, 2, 3] },
      ],
      { dtype: "u8", shape: [1, 3, 4, 4] },
    ),
    { dtype: "u8", block: "tensor", symmetric: false },
  ],
])("%s", (_, g, expected) => {
  const { layers } = foundQuantization(importModel(g).graph)!;
  expect(layers).toMatchObject([{ node: "product", ...expected }]);
  expect(layers[0]).not.toHaveProperty("rounding");
});

test("the report has it, with the part of f32's bytes that the weights take", async () => {
  const model = encodeModel({
    opset: 21,
    ...matrix([integers("w", "i4", [8, 3]), f32("s", [2, 3])], { axis: { int: 0 }, block_size: { int: 4 } }),
  });
  const { report } = await compileModel(model);
  expect(report.quantization).toEqual({
    layers: [{ node: "product", op: "matmul", shape: [8, 3], dtype: "i4", block: "4", symmetric: true }],
    activations: 0,
    size: (12 + 24) / 96,
  });
  const plain = encodeModel({
    opset: 21,
    ...graph({ dtype: "f32", shape: [2, 8] }, [{ op: "MatMul", inputs: ["x", "w"], outputs: ["y"] }], [f32("w", [8, 3])], {
      dtype: "f32",
      shape: [2, 3],
    }),
  });
  expect((await compileModel(plain)).report.quantization).toBeUndefined();
});
