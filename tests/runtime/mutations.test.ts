// Seeded mutations of manifests and weights, hashes recomputed: each ends in a coded error or a run within its memory.

import { expect, test } from "vitest";
import { load, SparsecError } from "../../runtime/index.ts";
import { mutateJson, random } from "../support/mutate-json.ts";
import { forged, toyArtifact, toyExecutor, toyVariant } from "./toy.ts";
import { toyPrograms } from "./toy-code.ts";

const spread = new Map<string, number>();
const programs = await toyPrograms();
test.each([
  [1, "toy"],
  [2, "toy"],
  [3, "wasm"],
  [4, "js"],
])("500 mutations, seed %i, run by %s", { timeout: 120_000 }, async (seed, device) => {
  const next = random(seed);
  const inputs = { x: Float32Array.of(1, 0, 2, 3), flag: Uint8Array.of(0) };
  for (let n = 0; n < 500; n++) {
    const toy = toyArtifact(next(2) ? [toyVariant] : [toyVariant, { ...toyVariant, name: "other" }]);
    const artifact = device === "toy" ? toy : programs;
    const manifest: unknown = JSON.parse(artifact.json);
    const files = new Map([...artifact.files].map(([name, bytes]) => [name, bytes.slice()]));
    if (next(4)) mutateJson(manifest, next);
    const weights = files.get("weights.bin")!;
    if (!next(2)) for (let k = next(4); k >= 0; k--) weights[next(weights.length)]! ^= 1 << next(8);
    if (!next(10)) files.set("weights.bin", weights.slice(0, next(weights.length)));

    const executor = toyExecutor();
    const started = performance.now();
    let outcome = "run";
    try {
      using model = await load(forged(manifest, files) as never, {
        executors: [executor],
        ...(device !== "toy" && next(4) ? { device } : {}),
      });
      await model.run(inputs);
    } catch (thrown) {
      if (!(thrown instanceof SparsecError)) throw new Error(`seed ${seed}, mutation ${n}: ${thrown}`, { cause: thrown });
      outcome = thrown.code;
    }
    spread.set(outcome, (spread.get(outcome) ?? 0) + 1);
    expect(executor.alive()).toBe(0);
    expect(performance.now() - started).toBeLessThan(2000);
  }
  expect(Object.keys(Object.prototype)).toEqual([]);
});

test("the mutations reached every stage", () => {
  expect([...spread.keys()]).toEqual(expect.arrayContaining(["run", "bad-manifest", "corrupt", "bad-input", "no-variant"]));
  expect(spread.get("run")).toBeGreaterThan(100);
});
