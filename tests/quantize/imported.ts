// A graph as ONNX describes it, as the import makes it.

import { importOnnx } from "../../compiler/onnx/import.ts";
import { decodeModel } from "../../compiler/onnx/proto/decode.ts";
import { encodeModel, type GraphInit } from "../../compiler/onnx/proto/encode.ts";
import type { Graph } from "../../ir/graph.ts";

export const imported = (g: GraphInit, opset = 21): Graph =>
  importOnnx(decodeModel(encodeModel({ opset, ...g }), { file: "model.onnx" })).graph;
