// bench/gpu, packed for a machine that has nothing but Node and a driver, on this one's driver: a folder in which no other package is found.

import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { projectRoot } from "../support/shared.ts";
import { webgpuSkipped } from "../support/webgpu.ts";
import { workFolder } from "./sparsec.ts";

const path = workFolder();
const node = (...args: readonly string[]) => promisify(execFile)(process.execPath, args, { cwd: path("."), timeout: 100_000 });

test.skipIf(webgpuSkipped() !== undefined)("bench/gpu runs where it is packed to", { timeout: 120_000 }, async () => {
  const folder = path("gpu");
  await node(join(projectRoot, "bench/gpu/pack.mjs"), folder);
  const results = path("results.json");
  const script = join(folder, "bench-gpu.mjs");
  const { stdout } = await node(script, "--small", "--seconds", "0.01", "--sections", "peak,sparse", "--json", results);
  const { peak, sparse } = JSON.parse(readFileSync(results, "utf8"));
  expect(stdout).toContain(`Peak, by probe: ${peak.gflops.toFixed(1)} GFLOP/s`);
  for (const { dense, sparse: ms, kernel } of sparse)
    expect([dense > 0, ms > 0, kernel]).toEqual([true, true, expect.stringMatching(/sparse/)]);
});
