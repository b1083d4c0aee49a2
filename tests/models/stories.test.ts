// stories260K tells its story: the greedy continuation of the reference, token by token, on a plan of 80 positions.

import { readFileSync } from "node:fs";
import { beforeAll, describe, expect, it } from "vitest";
import { type Artifact, compile } from "../../compiler/index.ts";
import { load } from "../../runtime/index.ts";
import { sharedPath } from "../support/shared.ts";

const path = sharedPath("models", "stories260K-llama.onnx");
const reference = sharedPath("data", "text", "stories260K-greedy.json");
const VOCABULARY = 512;

describe.skipIf(!path || !reference)("stories260K", () => {
  let ids: readonly number[];
  let positions: number;
  let artifact: Artifact;
  beforeAll(async () => {
    ({ ids } = JSON.parse(readFileSync(reference!, "utf8")) as { readonly ids: readonly number[] });
    positions = ids.length - 1;
    artifact = await compile(path!, { backends: ["wasm", "js"], dims: { B: 1, T: positions } });
  }, 60_000);

  it.each(["wasm", "js"])("continues the reference exactly on %s", { timeout: 120_000 }, async (device) => {
    using model = await load(artifact, { device });
    // Attention is causal: what lies after the last token does not matter yet.
    const input_ids = new BigInt64Array(positions);
    const told = [ids[0]!];
    while (told.length < ids.length) {
      input_ids[told.length - 1] = BigInt(told.at(-1)!);
      const { logits } = await model.run({ input_ids });
      const row = (logits!.data as Float32Array).subarray((told.length - 1) * VOCABULARY, told.length * VOCABULARY);
      told.push(row.indexOf(Math.max(...row)));
    }
    expect(told).toEqual(ids);
  });
});
