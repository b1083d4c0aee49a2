// Every real model in floats on WebGPU: outputs within 1e-4 of the references' norm, 1e-2 in f16 (docs/rounding.md).

import { describe, expect, it } from "vitest";
import { compile } from "../../compiler/index.ts";
import { load } from "../../runtime/index.ts";
import { compareModel } from "../support/compare.ts";
import { feedsOf, optionsOf } from "../support/model-options.ts";
import { sharedModels } from "../support/models.ts";
import { webgpuSkipped } from "../support/webgpu.ts";

const models = webgpuSkipped() === undefined ? sharedModels()?.filter((m) => !m.quantized && m.reference()) : undefined;
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
