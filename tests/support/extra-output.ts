// Makes an inner tensor of an ONNX model one of its outputs, and finds the tensor before a final softmax.

import { encodeMessage } from "../../compiler/onnx/proto/encode.ts";
import type { OnnxGraph, OnnxNode } from "../../compiler/onnx/proto/model.ts";

/** The model with one more output. Protobuf merges a message field that comes twice: the graph's outputs are joined. */
export function withOutput(model: Uint8Array, name: string): Uint8Array {
  return Buffer.concat([model, encodeMessage("ModelProto", { graph: { output: [{ name }] } })]);
}

const SAME_ELEMENTS: ReadonlySet<string> = new Set(["Identity", "Reshape", "Flatten", "Squeeze", "Unsqueeze"]);
const QUANTIZERS: ReadonlySet<string> = new Set(["QuantizeLinear", "DequantizeLinear"]);

/** The node that computes a tensor, seen through those whose type is in `through`. */
export function producerOf(graph: OnnxGraph, tensor: string, through: ReadonlySet<string>): OnnxNode | undefined {
  const node = graph.nodes.find((n) => n.outputs.includes(tensor));
  return node && through.has(node.opType) ? producerOf(graph, node.inputs[0]!, through) : node;
}

/** The operands of the softmaxes that outputs of the graph come from. */
export function beforeFinalSoftmax(graph: OnnxGraph): readonly string[] {
  const through = new Set([...SAME_ELEMENTS, ...QUANTIZERS]);
  return graph.outputs.flatMap((o) => {
    const node = producerOf(graph, o.name, through);
    return node?.opType === "Softmax" ? [node.inputs[0]!] : [];
  });
}

/** The scale with which a tensor was quantized last, or undefined where it was not. */
export function quantizationStep(graph: OnnxGraph, tensor: string): number | undefined {
  const node = producerOf(graph, tensor, SAME_ELEMENTS);
  if (node?.opType !== "DequantizeLinear") return undefined;
  const scale = graph.initializers.get(node.inputs[1]!);
  if (scale?.dtype !== "f32" || scale.elements !== 1) return undefined;
  const bytes = scale.bytes();
  return new DataView(bytes.buffer, bytes.byteOffset).getFloat32(0, true);
}
