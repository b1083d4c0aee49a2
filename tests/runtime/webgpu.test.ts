// The webgpu executor on Dawn and a software driver, with shaders made by hand: the same results and errors as on the host.

import { expect, test } from "vitest";
import { load } from "../../runtime/index.ts";
import { webgpuSkipped } from "../support/webgpu.ts";
import { toyArtifact, toyExecutor } from "./toy.ts";
import { toyWebGPU } from "./toy-webgpu.ts";

const skipped = webgpuSkipped() !== undefined;
const x = Float32Array.of(1, 0, 2, 3);
const flag = Uint8Array.of(0);
test.skipIf(skipped)("the toy gives what it gives on the host, run after run", async () => {
  const expected = await load(toyArtifact(), { executors: [toyExecutor()] });
  using model = await load(toyWebGPU());
  for (const values of [x, Float32Array.of(0, 0, 0, 0), Float32Array.of(1, 2, 3, 4), x])
    expect(await model.run({ x: values, flag })).toEqual(await expected.run({ x: values, flag }));
  expect(model.info()).toMatchObject({
    backend: "webgpu",
    variant: "plain",
    why: expect.stringMatching(/^the device is 'auto' \(for latency/),
  });
});
