// Writes the trained layers as an ONNX model: image [N, 1, 28, 28] in, logits [N, 10] out; pruned weights are stored as plain zeros.
import { encodeModel, type NamedTensorInit, type NodeInit } from "../../compiler/onnx/proto/encode.ts";
import { side } from "./draw.ts";
import type { Layer } from "./layer.ts";

/** The bytes of the ONNX file (opset 13): Conv or Gemm per layer, then Relu and MaxPool where the layer has them. */
export function encodeDigits(layers: readonly Layer[]): Uint8Array {
  const nodes: NodeInit[] = [];
  const initializers: NamedTensorInit[] = [];
  let value = "image";
  const append = (op: string, name: string, inputs: readonly string[], attributes: NonNullable<NodeInit["attributes"]>): void => {
    const output = name === "digit" ? "logits" : `${name}_out`;
    nodes.push({ op, name, inputs: [value, ...inputs], outputs: [output], attributes });
    value = output;
  };
  layers.forEach(({ spec, weight, bias }, k) => {
    const { name, kind, inputs, outputs, relu, pool } = spec;
    const convolution = kind === "convolution";
    if (!convolution && layers[k - 1]?.spec.kind === "convolution") append("Flatten", "flatten", [], { axis: { int: 1 } });
    const shape = convolution ? [outputs, inputs, 3, 3] : [outputs, inputs];
    initializers.push({ name: `${name}.weight`, dtype: "f32", shape, data: Float32Array.from(weight) });
    initializers.push({ name: `${name}.bias`, dtype: "f32", shape: [outputs], data: Float32Array.from(bias) });
    const operands = [`${name}.weight`, `${name}.bias`];
    if (convolution) append("Conv", name, operands, { kernel_shape: { ints: [3, 3] }, pads: { ints: [1, 1, 1, 1] } });
    else append("Gemm", name, operands, { transB: { int: 1 } });
    if (relu) append("Relu", `${name}_relu`, [], {});
    if (pool) append("MaxPool", `${name}_pool`, [], { kernel_shape: { ints: [2, 2] }, strides: { ints: [2, 2] } });
  });
  return encodeModel({
    opset: 13,
    name: "digits",
    nodes,
    inputs: [{ name: "image", dtype: "f32", shape: ["N", 1, side, side] }],
    outputs: [{ name: "logits", dtype: "f32", shape: ["N", 10] }],
    initializers,
  });
}
