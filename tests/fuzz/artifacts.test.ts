// A thousand seeded mutations of ten real models' artifacts, hashes recomputed: each ends in a result or a coded error.

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { compile } from "../../compiler/index.ts";
import { forged } from "../runtime/toy.ts";
import { type Bundle, bundleSparsec } from "../support/bundle.ts";
import { mutateJson, random } from "../support/mutate-json.ts";
import { judge, limitOf, subjects } from "./subjects.ts";
import { type Watchdog, watchdog } from "./watchdog.ts";

const MUTATIONS = 100;
const all = subjects();

describe.skipIf(!all)("mutated artifacts", () => {
  const outcomes = new Map<string, number>();
  let bundle: Bundle;
  let dog: Watchdog;
  beforeAll(async () => {
    bundle = await bundleSparsec();
    dog = watchdog(bundle.folder);
  }, 60_000);
  afterAll(() => {
    dog.restart();
    bundle.remove();
  });

  it.each((all ?? []).map((subject, seed) => ({ ...subject, seed })))("$name", { timeout: 600_000 }, async ({ model, options, seed }) => {
    const artifact = await compile(model, { ...options, backends: ["wasm", "js"] });
    const device = ["wasm", "js"][seed % 2]!;
    const job = (manifest: unknown, files: ReadonlyMap<string, Uint8Array>): unknown => ({ ...forged(manifest, files), device });
    let clean = 0;
    for (let n = 0; n < 3; n++) {
      const { outcome, ms } = await dog.ask(job(JSON.parse(artifact.json), artifact.files), 60_000);
      expect(outcome).toBe("run");
      clean = ms;
    }
    const next = random(1000 + seed);
    const problems: string[] = [];
    for (let n = 0; n < MUTATIONS; n++) {
      const manifest: unknown = JSON.parse(artifact.json);
      const files = new Map(artifact.files);
      const kind = next(4);
      if (kind > 0) mutateJson(manifest, next);
      if (kind < 2) {
        const weights = files.get("weights.bin")!.slice();
        for (let flips = next(16); flips >= 0; flips--) weights[next(weights.length)]! ^= 1 << next(8);
        files.set("weights.bin", next(8) ? weights : weights.slice(0, next(weights.length)));
      }
      const { outcome, problem } = await judge(dog, job(manifest, files), limitOf(clean));
      if (problem !== undefined) problems.push(`mutation ${n}: ${problem}`);
      outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
    }
    expect(problems).toEqual([]);
  });

  it("reached every stage", () => {
    console.log(Object.fromEntries(outcomes));
    expect([...outcomes.keys()]).toEqual(expect.arrayContaining(["run", "bad-manifest", "corrupt"]));
    expect(outcomes.get("run")).toBeGreaterThan(100);
  });
});
