// Real models in headless Chromium: one artifact runs there on WebGPU and as wasm, and gives the references' numbers on both.

import type { Browser } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { compile } from "../../compiler/index.ts";
import { compareModel } from "../support/compare.ts";
import { optionsOf } from "../support/model-options.ts";
import { type SharedModel, sharedModels } from "../support/models.ts";
import { type TestTensor, testTensor } from "../support/tensors.ts";
import { chromiumPath, launchChromium } from "./chromium.ts";
import { type Answer, artifactFiles, pageFiles, type Question, type SiteFiles, STRICT_POLICY, serve } from "./site.ts";

/** Products, convolutions (grouped, sparse, f16), gathers and scatters; such as a software driver runs in seconds. */
const NAMES = [
  "gcn-cora-edgelist",
  "mlperftiny-kws-dscnn-fp32",
  "mlperftiny-resnet8-cifar10-fp32",
  "resnet20-cifar10-unstructured90",
  "sst2-encoder-dense",
];

const asked = ({ name, dtype, data }: TestTensor): Question["inputs"][number] => ({
  name,
  array: data.constructor.name,
  elements: dtype === "i64" ? Array.from(data as BigInt64Array, String) : Array.from(data as Float32Array),
});

const models = chromiumPath() === undefined ? undefined : sharedModels();

describe.skipIf(!models)("models in chromium", () => {
  let browser: Browser;
  let page: SiteFiles;
  beforeAll(async () => {
    page = await pageFiles();
    browser = await launchChromium();
  }, 120_000);
  afterAll(() => browser?.close());

  const ask = async (m: SharedModel, inputs: readonly TestTensor[], devices: readonly string[]): Promise<readonly Answer[]> => {
    const artifact = await compile(m.path, { backends: ["wasm", "webgpu"], ...optionsOf(m.name) });
    const site = await serve(new Map([...page, ...artifactFiles("model.sparsec", artifact)]), { "content-security-policy": STRICT_POLICY });
    const tab = await browser.newPage();
    try {
      await tab.goto(site.origin, { waitUntil: "networkidle" });
      const questions = devices.map((device): Question => ({ source: "model.sparsec", device, inputs: inputs.map(asked) }));
      return await tab.evaluate(async (all) => {
        const answers: Answer[] = [];
        const { inPage } = globalThis as unknown as { inPage(q: Question): Promise<Answer> };
        for (const question of all) answers.push(await inPage(question));
        return answers;
      }, questions);
    } finally {
      await tab.close();
      await site.close();
    }
  };

  it.each(NAMES)("%s", { timeout: 180_000 }, async (name) => {
    const m = models!.find((found) => found.name === name)!;
    const { inputs, outputs } = m.reference()!;
    const devices = ["webgpu", "wasm"];
    for (const [i, answer] of (await ask(m, inputs, devices)).entries()) {
      expect(answer.error).toBeUndefined();
      expect(answer.info).toMatchObject({ backend: devices[i], skipped: [] });
      for (const expected of outputs) {
        const found = answer.outputs!.find((output) => output.name === expected.name)!;
        const tensor = testTensor(found.name, expected.dtype, found.shape, Uint8Array.from(found.bytes));
        expect(compareModel(tensor, expected), `${expected.name} on ${devices[i]}`).toBeUndefined();
      }
    }
  });
});
