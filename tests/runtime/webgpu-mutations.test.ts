// Seeded mutations of manifests with schedules, and of weights, hashes recomputed: each ends in a coded error or a run on the device.

import { describe, expect, test } from "vitest";
import { load, SparsecError } from "../../runtime/index.ts";
import { mutateJson, random } from "../support/mutate-json.ts";
import { gpuDevice, webgpuSkipped } from "../support/webgpu.ts";
import { forged } from "./toy.ts";
import { toyWebGPU } from "./toy-webgpu.ts";

describe.skipIf(webgpuSkipped() !== undefined)("webgpu", () => {
  const spread = new Map<string, number>();
  const inputs = { x: Float32Array.of(1, 0, 2, 3), flag: Uint8Array.of(0) };

  test.each([1, 2, 3])("200 mutations, seed %i", { timeout: 120_000 }, async (seed) => {
    const next = random(seed);
    // One device for all, as it survives them; memory of 2^31 bytes is none of theirs.
    const gpu = await gpuDevice();
    let uncaptured: string | undefined;
    gpu.onuncapturederror = ({ error }) => void (uncaptured = error.message);
    for (let n = 0; n < 200; n++) {
      const artifact = toyWebGPU();
      const manifest = JSON.parse(artifact.json);
      const files = new Map([...artifact.files].map(([name, bytes]) => [name, bytes.slice()]));
      mutateJson(next(3) ? manifest.variants[0].schedule : manifest, next);
      // What would run for hours is no different but for that.
      const kernels: unknown = manifest.variants?.[0]?.schedule?.kernels;
      if (Array.isArray(kernels)) for (const kernel of kernels) if (kernel?.workgroups > 99) kernel.workgroups %= 99;
      if (!next(4)) files.get("weights.bin")![next(72)]! ^= 1 << next(8);
      let outcome = "run";
      try {
        using model = await load(forged(manifest, files) as never, { gpu, verify: next(2) > 0 });
        await model.run(inputs);
      } catch (thrown) {
        if (!(thrown instanceof SparsecError)) throw new Error(`seed ${seed}, mutation ${n}: ${thrown}`, { cause: thrown });
        outcome = thrown.code;
      }
      spread.set(outcome, (spread.get(outcome) ?? 0) + 1);
    }
    gpu.destroy();
    expect(uncaptured).toBeUndefined();
  });

  test("the mutations reached every stage", () => {
    console.log([...spread].map(([code, count]) => `${code} ${count}`).join(", "));
    expect([...spread.keys()]).toEqual(expect.arrayContaining(["run", "bad-manifest", "internal"]));
    expect(spread.get("run")).toBeGreaterThan(50);
  });
});
