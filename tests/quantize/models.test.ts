// What quantization loses on labelled data, with calibration samples that are none of those: parts of the data; bench/accuracy.mjs takes all.

import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { compileModel, quantizeModel } from "../../compiler/index.ts";
import type { SchemeOptions } from "../../compiler/quantize/scheme.ts";
import { load } from "../../runtime/index.ts";
import { cifar10, imagenetCaffe, imagenetTensorflow, mnist, type Sample, SST2_TOKENS, sst2, stacked } from "../support/labelled.ts";
import { feeds } from "../support/model-options.ts";
import { openOracle } from "../support/onnxruntime.ts";
import { sharedPath } from "../support/shared.ts";

interface Case {
  readonly model: string;
  readonly scheme: SchemeOptions;
  samples(): readonly [calibration: readonly Sample[], evaluation: readonly Sample[]];
  /** Points that may be lost. */
  readonly loss: number;
}

const split = (samples: readonly Sample[], calibration: number, evaluation: number) =>
  [samples.slice(0, calibration), samples.slice(calibration, calibration + evaluation)] as const;
const words = () => [sst2("train").slice(0, 100), sst2()] as const;

const DYNAMIC: SchemeOptions = { scheme: "int8", activations: "dynamic" };

const CASES: readonly Case[] = [
  { model: "mnist-cnn-opset8", scheme: { scheme: "int8" }, samples: () => split(mnist("Input3"), 100, 2000), loss: 0.5 },
  { model: "resnet20-cifar10", scheme: { scheme: "int8" }, samples: () => split(cifar10("input"), 100, 600), loss: 0.5 },
  { model: "resnet20-cifar10", scheme: { scheme: "int4-weights" }, samples: () => split(cifar10("input"), 100, 1000), loss: 1 },
  { model: "sst2-encoder-dense", scheme: { scheme: "int8" }, samples: words, loss: 0.5 },
  // Limits found anew in every run, as without samples.
  { model: "mnist-cnn-opset8", scheme: DYNAMIC, samples: () => split(mnist("Input3"), 10, 2000), loss: 0.5 },
  { model: "resnet20-cifar10", scheme: DYNAMIC, samples: () => split(cifar10("input"), 10, 600), loss: 0.5 },
  { model: "sst2-encoder-dense", scheme: DYNAMIC, samples: words, loss: 0.5 },
  { model: "sst2-encoder-dense", scheme: { scheme: "int4-weights" }, samples: words, loss: 1 },
  // One image of forty is 2.5 points.
  {
    model: "squeezenet1.0-deepcompression-sparse",
    scheme: { scheme: "int8" },
    samples: () => split(imagenetCaffe("data"), 30, 40),
    loss: 2.5,
  },
  {
    model: "mobilenetv2-1.0-224-fp32-dequantised",
    scheme: { scheme: "int8" },
    samples: () => split(imagenetTensorflow("input"), 30, 40),
    loss: 2.5,
  },
];

const optionsFor = (model: string) => (model.startsWith("sst2") ? { dims: { B: 1, T: SST2_TOKENS } } : {});
const without = <T extends { readonly labels?: unknown }>({ labels: _, ...rest }: T) => rest;

describe.skipIf(sharedPath("data") === undefined)("labelled data", () => {
  it.each(CASES)("$model, $scheme", { timeout: 240_000 }, async ({ model, scheme, samples, loss }) => {
    const [calibration, evaluation] = samples();
    const quantize = { ...scheme, calibrate: without(stacked(calibration)), evaluate: stacked(evaluation) };
    const { report } = await compileModel(sharedPath("models", `${model}.onnx`)!, { ...optionsFor(model), quantize });
    const { quantization } = report;
    const { before, after, samples: count } = quantization!.accuracy!;
    console.log(
      `${model} ${scheme.scheme}: ${before.toFixed(2)} -> ${after.toFixed(2)} of ${count}, ${quantization!.output!.toFixed(1)} dB`,
    );
    expect(count).toBe(evaluation.length);
    expect(before - after).toBeLessThanOrEqual(loss + 1e-9);
    expect(quantization!.size).toBeLessThan(scheme.scheme === "int8" ? 0.27 : 0.16);
  });

  it("4 bits are too few for MobileNetV2, which is said with what to do", { timeout: 240_000 }, async () => {
    const quantize = { scheme: "int4-weights", calibrate: without(stacked(imagenetTensorflow("input").slice(0, 16))) } as const;
    const { report } = await compileModel(sharedPath("models", "mobilenetv2-1.0-224-fp32-dequantised.onnx")!, { quantize });
    expect(report.notes.find((n) => n.pass === "quantize-blocks")?.message).toMatch(/large loss: .*--correct.*--max-loss.*int8/);
  });

  it("what is written as ONNX gives the same classes, here and in onnxruntime", { timeout: 240_000 }, async () => {
    const [calibration, evaluation] = split(cifar10("input"), 50, 100);
    const path = sharedPath("models", "resnet20-cifar10.onnx")!;
    const quantize = { scheme: "int8", calibrate: without(stacked(calibration)) } as const;
    const { onnx } = await quantizeModel(path, quantize);
    expect(onnx.length).toBeLessThan(0.3 * readFileSync(path).length);
    const largest = (data: ArrayLike<number | bigint>): number =>
      Array.from(data, Number).reduce((b, x, i, all) => (x > all[b]! ? i : b), 0);
    using direct = await load((await compileModel(path, { quantize })).artifact);
    using again = await load((await compileModel(onnx)).artifact);
    const oracle = await openOracle(onnx);
    let [same, right] = [0, 0];
    for (const { inputs, label } of evaluation) {
      const [a, b, c] = [
        Object.values(await direct.run(feeds(inputs)))[0]!.data,
        Object.values(await again.run(feeds(inputs)))[0]!.data,
        [...(await oracle.run(inputs)).values()][0]!.data,
      ];
      expect(b).toEqual(a);
      if (largest(a) === largest(c)) same++;
      if (largest(a) === label) right++;
    }
    await oracle.release();
    expect(same).toBeGreaterThanOrEqual(99);
    expect(right).toBeGreaterThan(70);
  });
});
