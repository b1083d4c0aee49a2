// Writes snake.onnx, a layer with our operator behind it: node make-model.mjs [FILE]

import { writeFileSync } from "node:fs";
import { encodeModel } from "sparsec/testing";

const model = encodeModel({
  opset: { "": 17, "com.example": 1 },
  name: "snake",
  inputs: [{ name: "x", dtype: "f32", shape: [1, 4] }],
  initializers: [{ name: "w", dtype: "f32", shape: [4, 3], data: [1, 0, 2, 0, -1, 0, 0.5, 0, 0, 1, 1, 1] }],
  nodes: [
    { op: "MatMul", name: "layer", inputs: ["x", "w"], outputs: ["h"] },
    { op: "Snake", domain: "com.example", name: "snake", inputs: ["h"], outputs: ["y"], attributes: { alpha: { float: 0.5 } } },
  ],
  outputs: [{ name: "y", dtype: "f32", shape: [1, 3] }],
});
writeFileSync(process.argv[2] ?? "snake.onnx", model);
