// `sparsec diff` of quantized models, as processes.

import { mkdir, writeFile } from "node:fs/promises";
import { beforeAll, expect, test } from "vitest";
import { writeNpy } from "../../compiler/npy.ts";
import type { ModelInit } from "../../compiler/onnx/proto/encode.ts";
import { noise } from "../support/noise.ts";
import { mixed, small, writeModel } from "./models.ts";
import { document, type Failed, sparsec, workFolder } from "./sparsec.ts";

interface Noise {
  readonly samples: number;
  readonly outputs: readonly { readonly output: string; readonly noise: number }[];
  readonly nodes: readonly { readonly node: string; readonly op: string; readonly noise: number }[];
}

const X = noise([4, 4], 7);
const STEP = 1 / 16;

/** y = 2 relu(x). With `rounded`, x is rounded to steps first; nodes have names of their own, and values theirs. */
const doubled = (rounded: boolean): ModelInit => ({
  opset: 17,
  name: "doubled",
  inputs: [{ name: "x", dtype: "f32", shape: [4, 4] }],
  initializers: [
    { name: "two", dtype: "f32", shape: [], data: [2] },
    { name: "step", dtype: "f32", shape: [], data: [STEP] },
    { name: "zero", dtype: "i8", shape: [], data: [0] },
  ],
  nodes: [
    ...(rounded
      ? [
          { op: "QuantizeLinear", inputs: ["x", "step", "zero"], outputs: ["q"] },
          { op: "DequantizeLinear", inputs: ["q", "step", "zero"], outputs: ["d"] },
        ]
      : []),
    { op: "Relu", name: rounded ? "other" : "relu", inputs: [rounded ? "d" : "x"], outputs: ["r"] },
    { op: "Mul", name: "double", inputs: ["r", "two"], outputs: [rounded ? "unlike" : "m"] },
    { op: "Identity", inputs: [rounded ? "unlike" : "m"], outputs: ["y"] },
  ],
  outputs: [{ name: "y", dtype: "f32", shape: [4, 4] }],
});

const at = workFolder();
beforeAll(async () => {
  await writeModel(at("small.onnx"), small);
  await writeModel(at("mixed.onnx"), mixed);
  await writeModel(at("float.onnx"), doubled(false));
  await writeModel(at("rounded.onnx"), doubled(true));
  await writeModel(at("alien.onnx"), {
    ...doubled(false),
    nodes: [{ op: "Neg", name: "alien", inputs: ["x"], outputs: ["z"] }],
    outputs: [{ name: "z", dtype: "f32", shape: [4, 4] }],
  });
  await writeFile(at("x.npy"), writeNpy(X));
  await mkdir(at("samples"));
  await writeFile(at("samples/image.npy"), writeNpy(noise([6, 16, 8, 8], 1)));
});

test("--quantize tells the noise of every node, worst first, on the samples that it is calibrated with", async () => {
  const args = ["diff", at("small.onnx"), "--quantize", "int8", "--calibrate", at("samples")];
  const { nodes, outputs, samples } = await document<Noise>(args);
  expect(samples).toBe(6);
  expect([...new Set(nodes.map((n) => n.node))].sort()).toEqual(["average", "conv", "flatten", "pool", "relu"]);
  expect(nodes.map((n) => n.noise)).toEqual(nodes.map((n) => n.noise).toSorted((a, b) => a - b));
  for (const n of nodes) expect(n.noise).toSatisfy((dB: number) => dB > 25 && dB < 70);
  expect(outputs).toMatchObject([{ output: "scores" }]);
  const { stdout } = await sparsec([...args, "--top", "2"]);
  expect(stdout).toContain("signal to noise in dB, of 6 samples on wasm");
  expect(stdout).toMatch(/worst of 6 values\nnode .*\n.*\n.*\n$/);
});

test("four bits are noisier than eight, weights alone less than both; inputs may be random", async () => {
  const worst = async (scheme: string): Promise<number> =>
    (await document<Noise>(["diff", at("small.onnx"), "--quantize", scheme, "--random", "1", "--devices", "reference"])).nodes[0]!.noise;
  const [both, weights] = [await worst("int8"), await worst("int8-weights")];
  expect(weights).toBeGreaterThan(both);
});

test("a quantized model is compared with the float one where values have one name, or nodes", async () => {
  const args = ["diff", at("float.onnx"), at("rounded.onnx"), "--input", `x=${at("x.npy")}`];
  const { nodes, outputs } = await document<Noise>(args);
  let [signal, missed] = [0, 0];
  for (const v of X.data as Float32Array) {
    const [x, q] = [Math.max(v, 0), Math.max(Math.round(v / STEP) * STEP, 0)];
    signal += x * x;
    missed += (x - q) ** 2;
  }
  const expected = 10 * Math.log10(signal / missed);
  expect(nodes.map((n) => [n.node, n.op]).sort()).toEqual([
    ["double", "mul"],
    ["relu", "relu"],
  ]);
  for (const n of [...nodes, ...outputs]) expect(n.noise).toBeCloseTo(expected, 4);
  expect((await sparsec(args)).stdout).toContain("worst of 2 values that both models name");
});

test("files that sparsec quantize writes keep the names of nodes", async () => {
  const file = at("small.int8.onnx");
  await document(["quantize", at("small.onnx"), "--calibrate", at("samples"), "-o", file]);
  const args = ["diff", at("small.onnx"), file, "--dim", "batch=1", "--random", "1"];
  const written = await document<Noise>(args);
  expect(written.nodes.map((n) => n.node).sort()).toEqual(["conv", "flatten", "pool", "relu"]);
  const here = await document<Noise>(["diff", at("small.onnx"), "--quantize", "int8", "--calibrate", at("samples"), "--random", "1"]);
  for (const { node, noise: dB } of written.nodes) expect(dB).toBeCloseTo(here.nodes.find((n) => n.node === node)!.noise, 3);
});

test.each([
  [["float.onnx", "rounded.onnx", "small.onnx"], 2, "usage"],
  [["float.onnx", "rounded.onnx", "--quantize", "int8"], 2, "usage"],
  [["float.onnx", "rounded.onnx", "--devices", "wasm,js"], 2, "usage"],
  [["float.onnx", "rounded.onnx", "--tolerance", "1"], 2, "usage"],
  [["float.onnx", "rounded.onnx", "--block", "32"], 2, "usage"],
  [["float.onnx", "small.onnx", "--random", "1"], 1, "other-inputs"],
  [["float.onnx", "alien.onnx", "--random", "1"], 1, "nothing-in-common"],
  [["float.onnx", "rounded.onnx"], 1, "bad-input"],
])("%j is an error", async (args, code, name) => {
  const failed = await sparsec(["diff", ...args.map((a) => (a.endsWith(".onnx") ? at(a) : a)), "--json"]);
  expect(failed.code).toBe(code);
  expect((JSON.parse(failed.stdout) as Failed).error.code).toBe(name);
});
