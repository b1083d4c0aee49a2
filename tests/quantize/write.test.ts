// Quantized graphs as ONNX files: onnxruntime and our own import read them, and compute what the graph says.

import { describe, expect, test } from "vitest";
import { importOnnx } from "../../compiler/onnx/import.ts";
import { decodeModel } from "../../compiler/onnx/proto/decode.ts";
import { writeOnnx } from "../../compiler/onnx/write/write.ts";
import { quantize } from "../../compiler/quantize/quantize.ts";
import { applyRecipe } from "../../compiler/quantize/recipe.ts";
import type { SchemeOptions } from "../../compiler/quantize/scheme.ts";
import { bytesOf } from "../../ir/dtype.ts";
import type { Graph, Value } from "../../ir/graph.ts";
import { interpret } from "../../ir/interpret.ts";
import type { Tensor } from "../../ir/tensor.ts";
import { noise } from "../support/noise.ts";
import { openOracle } from "../support/onnxruntime.ts";
import { errorOf } from "../support/run-model.ts";
import { testTensor } from "../support/tensors.ts";
import { network, open, residual, samplesFor } from "./networks.ts";

const written = (g: Graph) => {
  const bytes = writeOnnx(g, ["y"]);
  const model = decodeModel(bytes, { file: "written.onnx" });
  return { bytes, opset: model.opsets.get(""), again: importOnnx(model) };
};

const error = (a: Tensor, e: Tensor): number => {
  expect([a.dtype, a.shape]).toEqual([e.dtype, e.shape]);
  let [difference, size] = [0, 0];
  e.data.forEach((x: number | bigint, i: number) => {
    difference += (Number(a.data[i]) - Number(x)) ** 2;
    size += Number(x) ** 2;
  });
  return Math.sqrt(difference / size);
};

async function holds(g: Graph, x: Tensor, version: number): Promise<void> {
  const { bytes, opset, again } = written(g);
  expect(opset).toBe(version);
  const [expected] = interpret(g, [x]);
  expect(error(interpret(again.graph, [x])[0]!, expected!)).toBeLessThan(1e-6);
  const oracle = await openOracle(bytes);
  try {
    const outputs = await oracle.run([testTensor("x", "f32", x.shape, bytesOf(x.data))]);
    // A last bit of a sum may be a whole step of what is rounded after.
    expect(error(outputs.get("y")!, expected!)).toBeLessThan(0.01);
  } finally {
    await oracle.release();
  }
}

describe("quantized networks", () => {
  test.each<[SchemeOptions, number]>([
    [{ scheme: "int8" }, 13],
    [{ scheme: "int8", symmetric: false }, 13],
    [{ scheme: "int8-weights", correct: true }, 13],
    [{ scheme: "int8", activations: "dynamic" }, 13],
    [{ scheme: "int8-weights", block: 32 }, 21],
    [{ scheme: "int4" }, 21],
    [{ scheme: "int4-weights", symmetric: false, block: "channel" }, 21],
  ])("%o", { timeout: 60_000 }, async (options, version) => {
    const g = residual();
    const { recipe } = await quantize(g, options, { calibration: samplesFor(g, 4) }, open);
    await holds(applyRecipe(recipe).graph, noise([1, 4, 8, 8], 5), version);
  });
});

describe("operators", () => {
  const x = noise([2, 6, 8], 3);
  test.each<[string, number, (x: Value, add: (op: string, inputs: readonly Value[], attrs?: object) => Value) => Value]>([
    ["slices that go back", 13, (v, add) => add("slice", [v], { starts: [1, 5, 0], steps: [-1, -2, 3], shape: [2, 3, 3] })],
    ["padding", 13, (v, add) => add("pad", [v], { mode: "reflect", begins: [0, 1, 2], ends: [0, 0, 1] })],
    ["largest elements", 13, (v, add) => add("reduce", [v], { op: "max", axes: [1, 2], keepdims: true })],
    ["sums", 13, (v, add) => add("reduce", [v], { op: "sum", axes: [1], keepdims: false })],
    ["softmax and a view", 13, (v, add) => add("reshape", [add("softmax", [v], { axis: 1 })], { shape: [12, 8] })],
    ["silu, leaky relu", 13, (v, add) => add("leaky_relu", [add("silu", [v])], { alpha: 0.2 })],
    ["gelu", 20, (v, add) => add("gelu", [v], { approximate: "tanh" })],
    ["hard swish", 14, (v, add) => add("hard_swish", [add("transpose", [v], { perm: [2, 0, 1] })])],
    [
      "pools that end beyond the edge",
      13,
      (v, add) =>
        add("pool", [v], {
          op: "max",
          kernel: [3],
          strides: [2],
          dilations: [1],
          pads: [0, 0],
          shape: [4],
          count_include_pad: false,
          p: 1,
        }),
    ],
    [
      "an average over padding",
      13,
      (v, add) =>
        add("pool", [v], { op: "avg", kernel: [3], strides: [2], dilations: [1], pads: [1, 1], shape: [4], count_include_pad: true, p: 1 }),
    ],
  ])("%s", async (_, version, build) => {
    await holds(
      network(x.shape, (v, { b }) => build(v, (op, inputs, attrs = {}) => b.value(op, inputs, attrs as never))),
      x,
      version,
    );
  });

  test("that ONNX lacks are written as what they are composed of", async () => {
    const g = network(x.shape, (v, { b }) => b.value("rms_norm", [v, b.constant(noise([8], 4))], { axis: 2, epsilon: 1e-5 }));
    await holds(g, x, 13);
    const scale = network(x.shape, (v, { b }) => b.value("layer_norm", [v, b.constant(noise([1], 4))], { axis: 2, epsilon: 1e-5 }));
    await holds(scale, x, 13);
    const plain = network(x.shape, (v, { b }) => b.value("layer_norm", [v, b.constant(noise([8], 4))], { axis: 2, epsilon: 1e-5 }));
    await holds(plain, x, 17);
  });

  test("that have no form are refused", () => {
    const g = network(x.shape, (v, { b }) =>
      b.value("pool", [v], {
        op: "lp",
        kernel: [2],
        strides: [2],
        dilations: [1],
        pads: [0, 0],
        shape: [4],
        count_include_pad: false,
        p: 3,
      }),
    );
    expect(errorOf(() => writeOnnx(g, ["y"])).code).toBe("unsupported");
  });
});

test("outputs that are inputs, or come twice, have names of their own", () => {
  const g = network([2, 2], (v, { b }) => b.value("relu", [v]));
  const { graph, outputs } = importOnnx(
    decodeModel(writeOnnx({ ...g, outputs: [g.params[0]!, g.outputs[0]!, g.outputs[0]!] }, ["a", "x_1", "c"]), { file: "w.onnx" }),
  );
  expect(outputs).toEqual(["a", "x_1", "c"]);
  const x = noise([2, 2], 1);
  const [a, b, c] = interpret(graph, [x]);
  expect(a!.data).toEqual(x.data);
  expect(b!.data).toEqual(c!.data);
});
