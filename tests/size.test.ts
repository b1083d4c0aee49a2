// Code stays small: each variant of every real model, with a manifest of it alone, gzipped.

import { gzipSync } from "node:zlib";
import { expect, it } from "vitest";
import { compile } from "../compiler/index.ts";
import { optionsOf } from "./support/model-options.ts";
import { sharedModels } from "./support/models.ts";

const LIMIT = 60 * 1024;
const models = sharedModels();
const gzipped = (bytes: string | Uint8Array): number => gzipSync(bytes, { level: 9 }).length;

it.skipIf(!models)("there are models to measure", () => {
  expect(models!.length).toBeGreaterThan(20);
});

it.each(models ?? [])("$name has at most 60 KB of code and manifest a variant", { timeout: 60_000 }, async (m) => {
  const { files, manifest } = await compile(m.path, { ...optionsOf(m.name), backends: ["wasm", "js"] });
  const sizes = manifest.variants.map((variant) => {
    const alone = JSON.stringify({ ...manifest, variants: [variant] });
    return { variant: `${variant.backend}:${variant.name}`, bytes: gzipped(alone) + gzipped(files.get(variant.code)!) };
  });
  expect(sizes.map(({ variant }) => variant)).toEqual(expect.arrayContaining(["wasm:baseline", "wasm:relaxed"]));
  expect(sizes.filter(({ bytes }) => bytes > LIMIT)).toEqual([]);
});
