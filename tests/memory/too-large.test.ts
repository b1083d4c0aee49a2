// A model whose tensors do not fit into one memory is refused when it is compiled, not when it is loaded.

import { expect, test } from "vitest";
import { compile } from "../../compiler/index.ts";
import { encodeModel } from "../../compiler/onnx/proto/encode.ts";

test("two gigabytes of activations are too large, and the error says how much there is and may be", async () => {
  const shape = [40_000, 10_000];
  const model = encodeModel({
    opset: 13,
    inputs: [{ name: "x", dtype: "f32", shape }],
    outputs: [{ name: "y", dtype: "f32", shape }],
    nodes: [{ op: "Softmax", inputs: ["x"], outputs: ["y"] }],
  });
  await expect(compile(model, { backends: ["js"] })).rejects.toMatchObject({
    code: "too-large",
    message: expect.stringMatching(/take 3\d{9} bytes .* more than the 2147483392 of a memory/),
  });
});
