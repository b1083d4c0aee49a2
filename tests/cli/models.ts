// Small ONNX models for tests of the command line.

import { writeFile } from "node:fs/promises";
import { encodeModel, type ModelInit } from "../../compiler/onnx/proto/encode.ts";

const SIZE = 16;
/** A tenth of them not zero. */
const pruned = Float32Array.from({ length: SIZE * SIZE * 9 }, (_, i) => (i % 10 === 3 ? ((i % 7) - 3) / 4 : 0));

/** image [batch, 16, 8, 8] -> convolution of pruned weights, relu, pool, average over pixels -> scores [batch, 16]. */
export const small: ModelInit = {
  opset: 17,
  name: "small",
  inputs: [{ name: "image", dtype: "f32", shape: ["batch", SIZE, 8, 8] }],
  initializers: [{ name: "w", dtype: "f32", shape: [SIZE, SIZE, 3, 3], data: pruned }],
  nodes: [
    { op: "Conv", name: "conv", inputs: ["image", "w"], outputs: ["c"], attributes: { pads: { ints: [1, 1, 1, 1] } } },
    { op: "Relu", name: "relu", inputs: ["c"], outputs: ["r"] },
    {
      op: "MaxPool",
      name: "pool",
      inputs: ["r"],
      outputs: ["p"],
      attributes: { kernel_shape: { ints: [2, 2] }, strides: { ints: [2, 2] } },
    },
    { op: "GlobalAveragePool", name: "average", inputs: ["p"], outputs: ["a"] },
    { op: "Flatten", name: "flatten", inputs: ["a"], outputs: ["scores"] },
  ],
  outputs: [{ name: "scores", dtype: "f32", shape: ["batch", SIZE] }],
};

/** x f32[2, 3], ids i64[4] -> y = 2 x, found = where ids are not 0: an extent that hangs on data. */
export const mixed: ModelInit = {
  opset: 17,
  name: "mixed",
  inputs: [
    { name: "x", dtype: "f32", shape: [2, 3] },
    { name: "ids", dtype: "i64", shape: [4] },
  ],
  initializers: [{ name: "two", dtype: "f32", shape: [], data: [2] }],
  nodes: [
    { op: "Mul", name: "double", inputs: ["x", "two"], outputs: ["y"] },
    { op: "NonZero", name: "nonzero", inputs: ["ids"], outputs: ["found"] },
  ],
  outputs: [
    { name: "y", dtype: "f32", shape: [2, 3] },
    { name: "found", dtype: "i64", shape: [1, "n"] },
  ],
};

/** Its output's shape is the value of an input, and so is how often that is repeated. */
export const reshaped: ModelInit = {
  opset: 17,
  name: "reshaped",
  inputs: [
    { name: "x", dtype: "f32", shape: [6] },
    { name: "shape", dtype: "i64", shape: [2] },
    { name: "repeats", dtype: "i64", shape: [2] },
  ],
  nodes: [
    { op: "Reshape", name: "reshape", inputs: ["x", "shape"], outputs: ["s"] },
    { op: "Tile", name: "tile", inputs: ["s", "repeats"], outputs: ["y"] },
  ],
  outputs: [{ name: "y", dtype: "f32" }],
};

export const writeModel = (path: string, model: ModelInit): Promise<void> => writeFile(path, encodeModel(model));
