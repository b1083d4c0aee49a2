// Baseline wasm promises the same bits everywhere: five models on this Node, on Node 24 and on bun.

import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { rolldown } from "rolldown";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { compile } from "../../compiler/index.ts";
import { bytesOf } from "../../ir/dtype.ts";
import { engines } from "../support/engines.ts";
import { feedsOf, optionsOf } from "../support/model-options.ts";
import { sharedModels } from "../support/models.ts";
import { projectRoot } from "../support/shared.ts";

/** Convolutions dense and sparse, a transformer, an LSTM, a graph network: exp, tanh, erf, sqrt and division among them. */
const MODELS = [
  "resnet20-cifar10-unstructured90",
  "mlperftiny-vww-mbv1-fp32",
  "sst2-encoder-dense",
  "dtln-stage1-lstm",
  "gcn-cora-edgelist",
];

const models = sharedModels();
const all = engines();

describe.skipIf(!models)("baseline wasm", () => {
  const folder = mkdtempSync(join(tmpdir(), "sparsec-engines-"));
  const bundle = join(folder, "runtime.mjs");
  const list = join(folder, "artifacts.json");
  afterAll(() => rmSync(folder, { recursive: true }));

  beforeAll(async () => {
    const build = await rolldown({ input: join(projectRoot, "runtime/index.ts"), platform: "neutral" });
    await build.write({ file: bundle, format: "esm", codeSplitting: false });
    const entries = [];
    for (const name of MODELS) {
      const m = models!.find((candidate) => candidate.name === name)!;
      const artifact = await compile(m.path, { ...optionsOf(name), backends: ["wasm"] });
      const target = join(folder, name);
      await artifact.write(target);
      const given = Object.keys(feedsOf(name, m.reference()!.inputs));
      const inputs = m.reference()!.inputs.filter((t) => given.includes(t.name));
      for (const [k, t] of inputs.entries()) writeFileSync(join(folder, `${name}.${k}.bin`), bytesOf(t.data));
      entries.push({
        name,
        folder: target,
        inputs: inputs.map((t, k) => ({ name: t.name, file: join(folder, `${name}.${k}.bin`), dtype: t.dtype, shape: t.shape })),
      });
    }
    writeFileSync(list, JSON.stringify(entries));
  }, 120_000);

  const hashesOn = (path: string): unknown =>
    JSON.parse(execFileSync(path, [join(projectRoot, "tests/engines/run-artifact.mjs"), bundle, list], { encoding: "utf8" }));

  for (const { name, path } of all.slice(1))
    it.skipIf(path === undefined)(`gives the same bits on ${name} as here`, () => {
      const here = hashesOn(process.execPath);
      expect(Object.keys(here as object)).toEqual(MODELS);
      expect(hashesOn(path!)).toEqual(here);
    });
});
