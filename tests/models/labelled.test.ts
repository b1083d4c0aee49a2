// Top-1 on labelled data: the same classes as onnxruntime on at least 99.5 % of the samples, and as many right as the models can.

import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Artifact, compile } from "../../compiler/index.ts";
import type { Tensor } from "../../ir/tensor.ts";
import { load } from "../../runtime/index.ts";
import { cifar10, imagenetCaffe, imagenetTensorflow, mnist, type Sample, SST2_TOKENS, sst2 } from "../support/labelled.ts";
import { feeds } from "../support/model-options.ts";
import { type Oracle, openOracle } from "../support/onnxruntime.ts";
import { sharedPath } from "../support/shared.ts";

interface Case {
  readonly model: string;
  samples(): readonly Sample[];
  readonly dims?: Readonly<Record<string, number>>;
  /** How many samples each backend reads: js is slow. */
  readonly wasm: number;
  readonly js: number;
  /** The share of right answers that shows the samples to be prepared as they should. */
  readonly accuracy: number;
}

const CASES: readonly Case[] = [
  { model: "mnist-cnn-opset8", samples: () => mnist("Input3"), wasm: 2000, js: 500, accuracy: 0.98 },
  { model: "resnet20-cifar10", samples: () => cifar10("input"), wasm: 400, js: 100, accuracy: 0.78 },
  { model: "resnet20-cifar10-unstructured90", samples: () => cifar10("input"), wasm: 400, js: 100, accuracy: 0.76 },
  { model: "squeezenet1.0-deepcompression-sparse", samples: () => imagenetCaffe("data"), wasm: 70, js: 10, accuracy: 0.5 },
  { model: "mobilenetv2-1.0-224-fp32-dequantised", samples: () => imagenetTensorflow("input"), wasm: 70, js: 10, accuracy: 0.8 },
  { model: "sst2-encoder-dense", samples: () => sst2(), dims: { B: 1, T: SST2_TOKENS }, wasm: 872, js: 200, accuracy: 0.75 },
  { model: "sst2-encoder-unstructured90", samples: () => sst2(), dims: { B: 1, T: SST2_TOKENS }, wasm: 872, js: 200, accuracy: 0.75 },
];

/** The class of the one output. */
const top1 = ({ data }: Tensor): number => {
  const scores = Array.from(data as Float32Array);
  return scores.indexOf(Math.max(...scores));
};

describe.skipIf(sharedPath("data") === undefined).each(CASES)("$model", ({ model: name, dims, accuracy, ...c }) => {
  let artifact: Artifact;
  let oracle: Oracle;
  let samples: readonly Sample[];
  const expected: number[] = [];
  beforeAll(async () => {
    const path = sharedPath("models", `${name}.onnx`)!;
    samples = c.samples();
    artifact = await compile(path, { backends: ["wasm", "js"], ...(dims ? { dims } : {}) });
    oracle = await openOracle(new Uint8Array(readFileSync(path)), true);
    for (const { inputs } of samples.slice(0, c.wasm)) expected.push(top1([...(await oracle.run(inputs)).values()][0]!));
  }, 120_000);
  afterAll(() => oracle?.release());

  it.each(["wasm", "js"] as const)("on %s", { timeout: 120_000 }, async (device) => {
    const count = c[device];
    expect(samples.length).toBeGreaterThanOrEqual(count);
    using model = await load(artifact, { device });
    let same = 0;
    let right = 0;
    for (const [k, { inputs, label }] of samples.slice(0, count).entries()) {
      const found = top1(Object.values(await model.run(feeds(inputs)))[0]!);
      if (found === expected[k]) same++;
      if (found === label) right++;
    }
    console.log(`${name} on ${device}: ${same} of ${count} as onnxruntime, ${right} right`);
    expect(same / count).toBeGreaterThanOrEqual(0.995);
    if (device === "wasm") expect(right / count).toBeGreaterThanOrEqual(accuracy);
  });
});
