// What encodeModel writes is ONNX to others too: onnxruntime loads and runs it.

import * as ort from "onnxruntime-web";
import { describe, expect, it } from "vitest";
import { decodeTensorProto } from "../../compiler/onnx/proto/decode.ts";
import { encodeModel, encodeTensorProto } from "../../compiler/onnx/proto/encode.ts";
import { viewAs } from "../../ir/dtype.ts";

ort.env.logLevel = "error";
ort.env.wasm.numThreads = 1;

async function run(model: Uint8Array, x: readonly number[]): Promise<readonly number[]> {
  const session = await ort.InferenceSession.create(model);
  const { y } = await session.run({ x: new ort.Tensor("float32", Float32Array.from(x), [1, x.length]) });
  return Array.from(y!.data as Float32Array);
}

describe("encodeModel", () => {
  it("writes nodes, attributes, dense and sparse initializers", async () => {
    const model = encodeModel({
      opset: 13,
      inputs: [{ name: "x", dtype: "f32", shape: ["batch", 2] }],
      outputs: [{ name: "y", dtype: "f32", shape: ["batch", 2] }],
      initializers: [{ name: "w", dtype: "f32", shape: [2, 2], data: [1, 2, 3, 4] }],
      sparseInitializers: [{ name: "s", dtype: "f32", shape: [1, 2], values: [10], positions: [1] }],
      nodes: [
        { op: "Gemm", inputs: ["x", "w"], outputs: ["g"], attributes: { alpha: { float: 0.5 }, transB: { int: 1 } } },
        { op: "Add", inputs: ["g", "s"], outputs: ["y"] },
      ],
    });
    // 0.5 * [1 1] [1 3; 2 4] + [0 10]
    expect(await run(model, [1, 1])).toEqual([1.5, 13.5]);
  });

  it("writes subgraphs and local functions", async () => {
    const branch = (scale: number) =>
      ({
        graph: {
          nodes: [
            { op: "Constant", inputs: [], outputs: ["k"], attributes: { value: { tensor: { dtype: "f32", shape: [], data: [scale] } } } },
            { op: "Twice", domain: "local", inputs: ["x"], outputs: ["t"] },
            { op: "Mul", inputs: ["t", "k"], outputs: [`z${scale}`] },
          ],
          outputs: [{ name: `z${scale}`, dtype: "f32" }],
        },
      }) as const;
    const model = encodeModel({
      opset: { "": 15, local: 1 },
      inputs: [{ name: "x", dtype: "f32", shape: [1, 1] }],
      outputs: [{ name: "y", dtype: "f32", shape: [1, 1] }],
      initializers: [{ name: "yes", dtype: "bool", shape: [], data: [1] }],
      functions: [
        {
          name: "Twice",
          domain: "local",
          inputs: ["a"],
          outputs: ["b"],
          nodes: [{ op: "Add", inputs: ["a", "a"], outputs: ["b"] }],
          opsets: { "": 15 },
        },
      ],
      nodes: [{ op: "If", inputs: ["yes"], outputs: ["y"], attributes: { then_branch: branch(3), else_branch: branch(5) } }],
    });
    expect(await run(model, [7])).toEqual([42]);
  });

  it("gives the same bytes twice", () => {
    const build = () =>
      encodeModel({
        opset: 13,
        outputs: [{ name: "y", dtype: "f32" }],
        nodes: [{ op: "Relu", inputs: ["y"], outputs: ["y"] }],
        metadata: { a: "1", b: "2" },
      });
    expect(build()).toEqual(build());
  });

  it("writes tensors standing alone", () => {
    const t = decodeTensorProto(encodeTensorProto({ name: "t", dtype: "i64", shape: [2], data: [1, -1] }));
    expect([t.name, t.dims, [...viewAs("i64", t.bytes())]]).toEqual(["t", [2], [1n, -1n]]);
  });
});
