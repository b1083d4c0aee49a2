// A thousand seeded mutations of ten real models: each ends in a result or a coded error, in bounded time and memory.

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Bundle, bundleSparsec } from "../support/bundle.ts";
import { random } from "../support/mutate-json.ts";
import { mutateModel } from "./mutate-model.ts";
import { judge, limitOf, subjects } from "./subjects.ts";
import { type Watchdog, watchdog } from "./watchdog.ts";

const MUTATIONS = 100;
const all = subjects();

describe.skipIf(!all)("mutated models", () => {
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

  it("are made of ten models", () => {
    expect(all?.length).toBe(10);
  });

  it.each((all ?? []).map((subject, seed) => ({ ...subject, seed })))("$name", { timeout: 600_000 }, async ({ model, options, seed }) => {
    const backend = ["wasm", "js"][seed % 2]!;
    const job = (bytes: Uint8Array): unknown => ({ model: bytes, options: { ...options, backends: [backend] } });
    let clean = 0;
    for (let n = 0; n < 3; n++) {
      const { outcome, ms } = await dog.ask(job(model), 60_000);
      expect(outcome).toBe("run");
      clean = ms;
    }
    const next = random(seed);
    const problems: string[] = [];
    for (let n = 0; n < MUTATIONS; n++) {
      const { outcome, problem } = await judge(dog, job(mutateModel(model, next)), limitOf(clean));
      if (problem !== undefined) problems.push(`mutation ${n}: ${problem}`);
      outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
    }
    expect(problems).toEqual([]);
  });

  it("got past the first check", () => {
    console.log(Object.fromEntries(outcomes));
    expect([...outcomes.keys()]).toEqual(expect.arrayContaining(["run", "bad-model", "unsupported-op"]));
    expect(outcomes.get("run")).toBeGreaterThan(100);
  });
});
