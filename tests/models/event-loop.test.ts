// While MobileNetV2 runs on WebGPU, the event loop is not blocked: measured in a process that only runs the model.

import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";
import { compile } from "../../compiler/index.ts";
import { type Bundle, bundleSparsec } from "../support/bundle.ts";
import { projectRoot, sharedPath } from "../support/shared.ts";
import { webgpuSkipped } from "../support/webgpu.ts";

const path = sharedPath("models", "mobilenetv2-1.0-224-fp32-dequantised.onnx");
const skipped = path === undefined || webgpuSkipped() !== undefined;
let bundle: Bundle | undefined;
beforeAll(async () => {
  if (skipped) return;
  bundle = await bundleSparsec();
  await (await compile(path, { backends: ["webgpu"] })).write(join(bundle.folder, "model.sparsec"));
});
afterAll(() => bundle?.remove());

interface Run {
  readonly stretch: number;
  readonly gap: number;
  readonly ticks: number;
}

test.skipIf(skipped)("never for more than 50 ms", { timeout: 300_000 }, async () => {
  const { runtime, folder } = bundle!;
  const script = join(projectRoot, "tests/models/event-loop.mjs");
  // Dawn polls in Node, and leaves garbage: collected a little at a time, on this thread, it hides nothing.
  const flags = ["--single-threaded-gc", "--min-semi-space-size=1", "--max-semi-space-size=1"];
  const { stdout } = await promisify(execFile)(process.execPath, [...flags, script, runtime, join(folder, "model.sparsec"), "4", "12"]);
  const { backend, blocked, runs } = JSON.parse(stdout) as {
    readonly backend: string;
    readonly blocked: Run;
    readonly runs: readonly Run[];
  };
  const told = (of: keyof Run): string => runs.map((run) => run[of].toFixed(1)).join(", ");
  console.log(`longest stretches: ${told("stretch")} ms; longest gaps: ${told("gap")} ms`);
  expect(backend).toBe("webgpu");
  expect(blocked.stretch).toBeGreaterThan(70);
  for (const { stretch, ticks } of runs) {
    expect(ticks).toBeGreaterThan(3);
    // What the executor and Dawn do at a stretch, in each run, the first too.
    expect(stretch).toBeLessThanOrEqual(50);
  }
  // What else blocks does so in each run; a machine that is shared is late now and then.
  const late = runs.filter(({ gap }) => gap > 50);
  expect(late.length).toBeLessThan(runs.length / 2);
});
