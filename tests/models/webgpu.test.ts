// Every real model on WebGPU. In floats: outputs within 1e-4 of the references' norm, 1e-2 in f16 (docs/rounding.md). Quantized: those of
// wasm and js, bit for bit, with and without dot products of packed bytes.

import { describe, expect, it } from "vitest";
import { compile } from "../../compiler/index.ts";
import { load } from "../../runtime/index.ts";
import { compareModel } from "../support/compare.ts";
import { feedsOf, optionsOf } from "../support/model-options.ts";
import { sharedModels } from "../support/models.ts";
import { webgpuSkipped } from "../support/webgpu.ts";

const all = webgpuSkipped() === undefined ? sharedModels()?.filter((m) => m.reference()) : undefined;
const models = all?.filter((m) => !m.quantized);
const quantized = all?.filter((m) => m.quantized);
it.skipIf(!models)("there are models in floats", () => {
  expect(models!.length).toBeGreaterThan(18);
});

describe.each(models ?? [])("$name", (m) => {
  it("on webgpu", { timeout: 300_000 }, async () => {
    const { inputs, outputs } = m.reference()!;
    const artifact = await compile(m.path, { backends: ["webgpu"], ...optionsOf(m.name) });
    using model = await load(artifact, { device: "webgpu" });
    const found = await model.run(feedsOf(m.name, inputs));
    expect(new Set(Object.keys(found))).toEqual(new Set(outputs.map((t) => t.name)));
    for (const expected of outputs) expect(compareModel(found[expected.name]!, expected), expected.name).toBeUndefined();
  });
});

it.skipIf(!quantized)("there are quantized models", () => {
  expect(quantized!.length).toBeGreaterThan(4);
});

describe.each(quantized ?? [])("$name", (m) => {
  it("on webgpu and js as on wasm", { timeout: 300_000 }, async () => {
    const artifact = await compile(m.path, { backends: ["wasm", "js", "webgpu"], ...optionsOf(m.name) });
    const run = async (device: string) => {
      using model = await load(artifact, { device });
      return model.run(feedsOf(m.name, m.reference()!.inputs));
    };
    const expected = await run("wasm:baseline");
    for (const device of ["js", "webgpu:full", "webgpu:base"]) expect(await run(device), device).toEqual(expected);
  });
});
