// The same model compiles to the same bytes: twice in one process, after other models, and in another process.

import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Artifact, compile } from "../../compiler/index.ts";
import { type Bundle, bundleSparsec } from "../support/bundle.ts";
import { optionsOf } from "../support/model-options.ts";
import { sharedModels } from "../support/models.ts";
import { projectRoot } from "../support/shared.ts";

const MODELS = [
  "resnet20-cifar10-unstructured90",
  "mlperftiny-kws-dscnn-int8-qdq",
  "sst2-encoder-dense",
  "dtln-stage1-lstm",
  "gcn-cora-edgelist",
];

const shared = sharedModels();
const digits = join(projectRoot, "examples/digits/digits.onnx");
const cases = [
  { path: digits, options: { types: true } },
  ...(shared ?? []).filter((m) => MODELS.includes(m.name)).map((m) => ({ path: m.path, options: optionsOf(m.name) })),
].map(({ path, options }) => ({ path, options: { ...options, backends: ["wasm", "js"] } }));

const sha256 = (bytes: string | Uint8Array): string => createHash("sha256").update(bytes).digest("hex");
const hashes = ({ json, files }: Artifact): readonly (readonly [string, string])[] => [
  ["manifest.json", sha256(json)],
  ...[...files].map(([name, bytes]) => [name, sha256(bytes)] as const),
];

describe("compiling", () => {
  let bundle: Bundle;
  beforeAll(async () => {
    bundle = await bundleSparsec();
  }, 60_000);
  afterAll(() => bundle.remove());

  it("gives the same bytes again, here and in another process", { timeout: 180_000 }, async () => {
    const first = [];
    for (const { path, options } of cases) first.push(hashes(await compile(path, options)));
    const again = [];
    for (const { path, options } of cases.toReversed()) again.unshift(hashes(await compile(path, options)));
    expect(again).toEqual(first);
    const script = join(projectRoot, "tests/engines/compile-hashes.mjs");
    const elsewhere: unknown = JSON.parse(
      execFileSync(process.execPath, [script, bundle.compiler, JSON.stringify(cases)], { encoding: "utf8", cwd: bundle.folder }),
    );
    expect(elsewhere).toEqual(first);
    expect(first.flat().length).toBeGreaterThan(4 * first.length);
  });
});
