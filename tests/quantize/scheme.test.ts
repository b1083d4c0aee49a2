// What may be asked of quantization, and what samples must look like.

import { describe, expect, test } from "vitest";
import { quantize } from "../../compiler/quantize/quantize.ts";
import { samplesOf } from "../../compiler/quantize/samples.ts";
import { resolveScheme, type SchemeOptions } from "../../compiler/quantize/scheme.ts";
import { tensorOf } from "../../ir/tensor.ts";
import { errorOf } from "../support/run-model.ts";
import { network, nodesOf, open, residual, samplesFor } from "./networks.ts";

describe("schemes", () => {
  test("are completed by what there is", () => {
    expect(resolveScheme({ scheme: "int8" }, true)).toMatchObject({ bits: 8, block: "channel", activations: "static", compensate: false });
    expect(resolveScheme({ scheme: "int8" }, false)).toMatchObject({ activations: "dynamic" });
    expect(resolveScheme({ scheme: "int4" }, true)).toMatchObject({ bits: 4, block: 32, compensate: true, symmetric: true });
    expect(resolveScheme({ scheme: "int4-weights" }, false)).toMatchObject({ activations: "rows", compensate: false });
    expect(resolveScheme({ scheme: "int8-weights", activations: "float" }, false)).toMatchObject({ activations: "float" });
  });

  test.each<[string, SchemeOptions, string]>([
    ["an unknown scheme", { scheme: "int3" as "int4" }, "bad-option"],
    ["a block of 48", { scheme: "int4", block: 48 as 32 }, "bad-option"],
    ["an unknown range", { scheme: "int8", range: "entropy" as "mse" }, "bad-option"],
    ["a negative loss", { scheme: "int8", maxLoss: -1 }, "bad-option"],
    ["activations of weights only", { scheme: "int8-weights", activations: "static" }, "bad-option"],
    ["floats where activations become integers", { scheme: "int8", activations: "float" }, "bad-option"],
    ["static ranges without samples", { scheme: "int8", activations: "static" }, "no-samples"],
    ["correction without samples", { scheme: "int8-weights", correct: true }, "no-samples"],
    ["compensation without samples", { scheme: "int4-weights", compensate: true }, "no-samples"],
    ["a limit of the loss without samples", { scheme: "int8-weights", maxLoss: 1 }, "no-samples"],
  ])("%s is refused", (_, options, code) => {
    expect(errorOf(() => resolveScheme(options, false)).code).toBe(code);
  });
});

describe("samples", () => {
  const { params } = network([1, 4, 8, 8], (x, { conv }) => conv(x, [4, 4, 1, 1]));
  const stack = (shape: readonly number[], dtype: "f32" | "i32" = "f32") =>
    tensorOf(dtype, shape, new Array<number>(shape.reduce((a, d) => a * d, 1)).fill(1));

  test("are stacked along a first axis, with or without the input's leading 1", () => {
    for (const shape of [
      [3, 1, 4, 8, 8],
      [3, 4, 8, 8],
    ]) {
      const { samples, labels } = samplesOf(params, { x: stack(shape), labels: stack([3], "i32") }, "samples.npz");
      expect(samples.map((s) => s[0]!.shape)).toEqual([1, 2, 3].map(() => [1, 4, 8, 8]));
      expect(labels).toEqual([1, 1, 1]);
    }
  });

  test.each([
    ["no arrays at all", {}, "samples.npz: there are no samples of x"],
    ["an input that there is not", { x: stack([1, 4, 8, 8]), y: stack([1]) }, "samples.npz: there is no input y"],
    ["a wrong shape", { x: stack([3, 4, 8, 9]) }, "samples.npz (x): samples are f32[3,4,8,9], and the input's shape is [1,4,8,8]"],
    ["a wrong rank", { x: stack([3, 8]) }, "samples.npz (x): samples are f32[3,8]"],
    ["a wrong type", { x: stack([3, 4, 8, 8], "i32") }, "samples.npz (x): samples are i32[3,4,8,8], and the input's type is f32"],
    ["no samples at all", { x: stack([0, 4, 8, 8]) }, "samples.npz: there are no samples"],
    [
      "a sample that is no number",
      { x: tensorOf("f32", [3, 4, 8, 8], new Array<number>(768).fill(1).with(600, Number.NaN)) },
      "samples.npz (x): sample 2 holds NaN",
    ],
    ["labels that are floats", { x: stack([3, 4, 8, 8]), labels: stack([3]) }, "samples.npz (labels): labels are f32[3]"],
    ["too few labels", { x: stack([3, 4, 8, 8]), labels: stack([2], "i32") }, "samples.npz (labels): labels are i32[2]"],
  ])("%s is refused", (_, arrays, message) => {
    const error = errorOf(() => samplesOf(params, arrays, "samples.npz"));
    expect(error.code).toBe("bad-samples");
    expect(error.message).toContain(message);
    expect(error.hint).toBeTruthy();
  });
});

test("evaluation needs labels", async () => {
  const g = residual();
  await expect(quantize(g, { scheme: "int8-weights" }, { evaluation: samplesFor(g, 2) }, open)).rejects.toMatchObject({
    code: "no-labels",
    loc: { file: "samples.npz", name: "labels" },
  });
});

test("labels count the first output's elements", async () => {
  const g = residual();
  const labelled = { ...samplesFor(g, 2), labels: [0, 1e6] };
  const failed = quantize(g, { scheme: "int8-weights" }, { evaluation: labelled }, open);
  await expect(failed).rejects.toMatchObject({ code: "bad-samples", loc: { file: "samples.npz", name: "labels" } });
});

test("a model is quantized once", async () => {
  const g = network([1, 4, 8, 8], (x, { b, conv }) => {
    const scale = b.constant(tensorOf("f32", [], [0.1]));
    const q = b.value("quantize", [x, scale], { axis: 0, block: 0, to: "i8" });
    return conv(b.value("dequantize", [q, scale], { axis: 0, block: 0, to: "f32" }), [4, 4, 1, 1]);
  });
  expect(nodesOf(g, "quantize")).toHaveLength(1);
  await expect(quantize(g, { scheme: "int8-weights" }, {}, open)).rejects.toMatchObject({ code: "already-quantized" });
});
