// Ten thousand runs of one model leave no trace: neither the wasm memory nor the JavaScript heap grows.

import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { compile } from "../../compiler/index.ts";
import { type Bundle, bundleSparsec } from "../support/bundle.ts";
import { projectRoot } from "../support/shared.ts";

const RUNS = 10_000;
/** Bytes a run that are noise: less than the smallest object that could leak. */
const NOISE = 8;

interface Report {
  readonly first: readonly number[];
  readonly last: readonly number[];
  readonly instances: number;
  /** In bytes, after each fifth of the runs. */
  readonly samples: readonly { readonly heap: number; readonly memory: number }[];
}

let bundle: Bundle;
beforeAll(async () => {
  bundle = await bundleSparsec();
  const artifact = await compile(join(projectRoot, "examples/digits/digits.onnx"), { backends: ["wasm", "js"], dims: { N: 1 } });
  await artifact.write(join(bundle.folder, "digits.sparsec"));
  const pixels = readFileSync(join(projectRoot, "examples/digits/test-images.bin")).subarray(0, 28 * 28);
  writeFileSync(join(bundle.folder, "image.bin"), new Uint8Array(Float32Array.from(pixels, (v) => v / 255).buffer));
}, 60_000);
afterAll(() => bundle.remove());

it.each(["wasm", "js"])("10,000 runs on %s", { timeout: 300_000 }, (device) => {
  const script = join(projectRoot, "tests/memory/run-many.mjs");
  const { runtime, folder } = bundle;
  const args = ["--expose-gc", script, runtime, join(folder, "digits.sparsec"), device, String(RUNS), join(folder, "image.bin")];
  const report = JSON.parse(execFileSync(process.execPath, args, { encoding: "utf8" })) as Report;
  expect(report.instances).toBe(1);
  expect(report.first.length).toBe(10);
  expect(report.last).toEqual(report.first);
  const { samples } = report;
  expect(samples[0]!.memory).toBeGreaterThan(0);
  expect(new Set(samples.map(({ memory }) => memory)).size).toBe(1);
  // The engine compiles functions, and drops what it compiled before, during the first fifth.
  const growth = (samples.at(-1)!.heap - samples[0]!.heap) / (0.8 * RUNS);
  console.log(`${device}: ${growth.toFixed(2)} bytes a run`);
  expect(growth).toBeLessThan(NOISE);
});
