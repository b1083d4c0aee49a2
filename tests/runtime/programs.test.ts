// The runtime's own executors on the toy's programs: same numbers, faults by name, and modules prepared beforehand.

import { beforeAll, describe, expect, test } from "vitest";
import type { Artifact } from "../../compiler/artifact.ts";
import { load } from "../../runtime/index.ts";
import { toyArtifact, toyExecutor } from "./toy.ts";
import { toyPrograms } from "./toy-code.ts";

const inputs = { x: Float32Array.of(1.25, 0, -2, 3), flag: Uint8Array.of(0) };
let artifact: Artifact;
beforeAll(async () => {
  artifact = await toyPrograms();
});

describe.each(["wasm", "js"])("%s", (device) => {
  test("gives the numbers of the toy's own executor, time and again", async () => {
    const expected = await (await load(toyArtifact(), { executors: [toyExecutor()] })).run(inputs);
    using model = await load(artifact, { device });
    for (let n = 0; n < 3; n++) expect(await model.run(inputs)).toEqual(expected);
    expect(model.runSync(inputs)).toEqual(expected);
  });

  test("a fault has its message, and the next run works", async () => {
    using model = await load(artifact, { device });
    await expect(model.run({ ...inputs, flag: Uint8Array.of(1) })).rejects.toThrow("toy: the flag was set [fault]");
    expect((await model.run(inputs)).y!.shape).toEqual([3]);
  });

  test("two models of one artifact do not share memory", async () => {
    const [a, b] = await Promise.all([load(artifact, { device }), load(artifact, { device })]);
    const first = await a.run(inputs);
    await b.run({ ...inputs, x: new Float32Array(4) });
    expect(await a.run(inputs)).toEqual(first);
  });

  test("models side by side are streams of their own: views, runs that overlap, and dispose", async () => {
    const streams = await Promise.all([0, 1, 2].map((n) => load(artifact, { device: n === 2 ? "auto" : device })));
    const xs = streams.map((_, n) => Float32Array.of(n + 1, 0, -n, 3));
    const alone = await Promise.all(xs.map(async (x) => (await (await load(artifact, { device })).run({ ...inputs, x })).y));
    streams.forEach((model, n) => (model.input("x") as Float32Array).set(xs[n]!));
    for (const flag of [inputs.flag, inputs.flag]) {
      const together = await Promise.all(streams.map((model) => model.run({ flag })));
      expect(together.map((out) => out.y)).toEqual(alone);
    }
    streams[0]!.dispose();
    expect((await streams[1]!.run({ flag: inputs.flag })).y).toEqual(alone[1]);
  });
});

test("auto takes wasm", async () => {
  expect((await load(artifact)).info()).toMatchObject({ backend: "wasm", variant: "baseline", threads: 1, skipped: [] });
});

test("an edge worker hands in its compiled module, and no code file is read", async () => {
  const modules = {
    "toy.wasm": await WebAssembly.compile(artifact.files.get("toy.wasm") as Uint8Array<ArrayBuffer>),
    "toy.js": await import(`data:text/javascript;base64,${Buffer.from(artifact.files.get("toy.js")!).toString("base64")}`),
  };
  const files = { "weights.bin": artifact.files.get("weights.bin")! };
  const expected = await (await load(artifact)).run(inputs);
  for (const device of ["wasm", "js"]) {
    const model = await load({ manifest: artifact.manifest, files }, { device, modules });
    expect(await model.run(inputs)).toEqual(expected);
  }
  await expect(load({ manifest: artifact.manifest, files }, { modules: { "toy.wasm": {} }, device: "wasm" })).rejects.toThrow(
    "wasm:baseline: the module of a wasm variant is a WebAssembly.Module",
  );
});
