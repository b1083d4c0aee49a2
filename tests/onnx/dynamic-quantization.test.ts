// Dynamically quantized models, as onnxruntime's quantizer writes them: products of integers, whose zero point a run gives, exact in every
// variant, and what onnxruntime computes.

import { expect, test } from "vitest";
import { compileModel } from "../../compiler/index.ts";
import { encodeModel, type GraphInit, type NamedTensorInit, type NodeInit } from "../../compiler/onnx/proto/encode.ts";
import { bytesOf } from "../../ir/dtype.ts";
import { interpret } from "../../ir/interpret.ts";
import { load } from "../../runtime/index.ts";
import { noise } from "../support/noise.ts";
import { openOracle } from "../support/onnxruntime.ts";
import { importModel } from "../support/run-model.ts";
import { testTensor } from "../support/tensors.ts";

const count = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);
const weights = (dtype: "i8" | "u8", shape: readonly number[]): NamedTensorInit => ({
  name: "w",
  dtype,
  shape,
  data: Array.from({ length: count(shape) }, (_, i) => ((i * 37) % 255) - (dtype === "i8" ? 127 : 0)),
});

/** x -> DynamicQuantizeLinear -> `op` -> Cast -> Mul by the scales of both, as `MatMul` or `Conv` becomes. */
const graph = (
  op: "MatMulInteger" | "ConvInteger",
  shape: readonly number[],
  w: NamedTensorInit,
  result: readonly number[],
  attributes: NodeInit["attributes"] = {},
): GraphInit => ({
  inputs: [{ name: "x", dtype: "f32", shape }],
  nodes: [
    { op: "DynamicQuantizeLinear", inputs: ["x"], outputs: ["q", "sx", "zx"] },
    { op, inputs: ["q", "w", "zx", "zw"], outputs: ["sums"], ...(attributes ? { attributes } : {}) },
    { op: "Cast", inputs: ["sums"], outputs: ["real"], attributes: { to: { int: 1 } } },
    { op: "Mul", inputs: ["sx", "sw"], outputs: ["s"] },
    { op: "Mul", inputs: ["real", "s"], outputs: ["y"] },
  ],
  initializers: [
    w,
    { name: "zw", dtype: w.dtype, shape: [], data: [w.dtype === "u8" ? 120 : 0] },
    { name: "sw", dtype: "f32", shape: [], data: [0.01] },
  ],
  outputs: [{ name: "y", dtype: "f32", shape: result }],
});

const ints = (...values: readonly number[]) => ({ ints: values });

test.each<[string, GraphInit, RegExp]>([
  ["rows", graph("MatMulInteger", [9, 24], weights("i8", [24, 20]), [9, 20]), /^matmul_u8_dense/],
  ["rows of a batch, unsigned weights", graph("MatMulInteger", [2, 5, 24], weights("u8", [24, 20]), [2, 5, 20]), /^matmul_u8_dense/],
  [
    "images, padded by what counts as zero",
    graph("ConvInteger", [2, 3, 9, 8], weights("i8", [8, 3, 3, 3]), [2, 8, 9, 8], { pads: ints(1, 1, 1, 1) }),
    /^conv_u8_dense/,
  ],
  [
    "images, padded on one side, and unsigned weights",
    graph("ConvInteger", [1, 4, 9, 8], weights("u8", [8, 4, 2, 2]), [1, 8, 5, 4], { pads: ints(0, 1, 1, 0), strides: ints(2, 2) }),
    /^conv_u8_dense/,
  ],
  ["images, not padded", graph("ConvInteger", [1, 4, 6, 6], weights("i8", [8, 4, 1, 1]), [1, 8, 6, 6]), /^conv_u8_dense/],
  ["rows of samples", graph("ConvInteger", [1, 4, 19], weights("i8", [8, 4, 3]), [1, 8, 19], { pads: ints(1, 1) }), /^conv_u8_dense/],
])("%s", { timeout: 60_000 }, async (_, g, kernel) => {
  const bytes = encodeModel({ opset: 13, ...g });
  const { shape } = g.inputs![0]!;
  const x = noise(shape as readonly number[], 4);
  const meant = interpret(importModel(g).graph, [x])[0]!.data as Float32Array;
  const oracle = await openOracle(bytes);
  try {
    const [y] = [...(await oracle.run([testTensor("x", "f32", x.shape, bytesOf(x.data))])).values()];
    const far = meant.map((v, i) => Math.abs(v - Number(y!.data[i])));
    expect(Math.max(...far)).toBeLessThan(1e-5 * Math.max(...meant.map(Math.abs)));
  } finally {
    await oracle.release();
  }
  const { artifact, report } = await compileModel(bytes, { backends: ["wasm", "js"] });
  const baseline = report.variants.find((v) => v.variant === "baseline")!;
  expect(baseline.nodes.map((n) => n.kernel)).toContainEqual(expect.stringMatching(kernel));
  let ran = 0;
  for (const variant of artifact.manifest.variants) {
    const alone = { ...artifact, manifest: { ...artifact.manifest, variants: [variant] } };
    const model = await load({ manifest: alone.manifest, files: artifact.files }, { device: variant.backend }).catch(() => undefined);
    // Not every engine has relaxed SIMD.
    if (!model) continue;
    ran++;
    expect((await model.run({ x: x.data as Float32Array }))["y"]!.data).toEqual(meant);
  }
  expect(ran).toBeGreaterThanOrEqual(2);
});
