// The webgpu executor on Dawn and a software driver, with shaders made by hand: the same results and errors as on the host.

import { describe, expect, test } from "vitest";
import { load, SparsecError } from "../../runtime/index.ts";
import { gpuDevice, webgpuSkipped } from "../support/webgpu.ts";
import { toyArtifact, toyExecutor } from "./toy.ts";
import { toyPrograms } from "./toy-code.ts";
import { toyWebGPU } from "./toy-webgpu.ts";

const x = Float32Array.of(1, 0, 2, 3);
const flag = Uint8Array.of(0);
const failure = async (promise: Promise<unknown>): Promise<SparsecError> => {
  const error = await promise.then(
    () => undefined,
    (e: unknown) => e,
  );
  expect(error).toBeInstanceOf(SparsecError);
  return error as SparsecError;
};
const { STORAGE, COPY_SRC, COPY_DST, MAP_READ } = { STORAGE: 128, COPY_SRC: 4, COPY_DST: 8, MAP_READ: 1 };

describe.skipIf(webgpuSkipped() !== undefined)("webgpu", () => {
  test("the toy gives what it gives on the host, run after run", async () => {
    const expected = await load(toyArtifact(), { executors: [toyExecutor()] });
    using model = await load(toyWebGPU());
    for (const values of [x, Float32Array.of(0, 0, 0, 0), Float32Array.of(1, 2, 3, 4), x])
      expect(await model.run({ x: values, flag })).toEqual(await expected.run({ x: values, flag }));
    expect(model.info()).toMatchObject({
      backend: "webgpu",
      variant: "plain",
      adapter: expect.stringMatching(/, in software$/),
      why: "the device is 'auto' (for latency: wasm, js, then others), and no other runs here",
    });
    expect(Object.keys(await model.run({ x, flag }, { outputs: ["nz"] }))).toEqual(["nz"]);
  });

  test("a failed assert is the fault of its number, and the next run works", async () => {
    using model = await load(toyWebGPU(), { device: "webgpu" });
    expect((await failure(model.run({ x, flag: Uint8Array.of(1) }))).message).toBe("toy: the flag was set [fault]");
    expect((await model.run({ x, flag })).y!.data).toEqual(Float32Array.of(7, 0, 13));
    const kept = await failure(model.run({ x, flag: Uint8Array.of(1) }, { output: "gpu", outputs: ["y"] }));
    expect(kept.code).toBe("fault");
  });

  test("views are copies of the host's, which runs take and leave; nothing is synchronous", async () => {
    using model = await load(toyWebGPU());
    const [viewX, viewFlag, viewY] = [model.input("x") as Float32Array, model.input("flag"), model.output("y")];
    expect(model.output("__proto__")).toEqual(Float32Array.of(7, -8));
    expect(viewFlag).toEqual(Uint8Array.of(0));
    viewX.set(x);
    await model.run();
    expect(viewY).toEqual(Float32Array.of(7, 0, 13));
    viewX[0] = 0;
    expect((await model.run()).y!.data).toEqual(Float32Array.of(6, 0, 13));
    for (const now of [() => model.runSync({ x, flag }), () => model.invoke()]) expect(now).toThrow(/asynchronous.*\[not-synchronous\]/);
    expect((await model.run({ x, flag })).y!.data).toEqual(Float32Array.of(7, 0, 13));
  });

  test("inputs may be reused when run() returns, and overlapping runs go in turn", async () => {
    using model = await load(toyWebGPU());
    const input = Float32Array.from(x);
    const first = model.run({ x: input, flag });
    input[0] = 0;
    const second = model.run({ x: input, flag });
    expect((await first).y!.data[0]).toBe(7);
    expect((await second).y!.data[0]).toBe(6);
  });

  test("inputs and outputs stay on the device", async () => {
    const gpu = await gpuDevice();
    using model = await load(toyWebGPU(), { gpu });
    const buffer = gpu.createBuffer({ size: 16, usage: STORAGE | COPY_SRC | COPY_DST });
    gpu.queue.writeBuffer(buffer, 0, x);
    expect((await model.run({ x: { buffer, shape: [4] }, flag })).y!.data).toEqual(Float32Array.of(7, 0, 13));
    const { y, __proto__: constant } = await model.run({ x: { buffer }, flag }, { output: "gpu", outputs: ["y", "__proto__"] });
    gpu.queue.writeBuffer(buffer, 0, new Float32Array(4));
    await model.run({ x: { buffer }, flag }, { output: "gpu", outputs: ["y"] });
    expect([y!.dtype, y!.shape, constant!.shape]).toEqual(["f32", [3], [2]]);
    const read = gpu.createBuffer({ size: 20, usage: MAP_READ | COPY_DST });
    const encoder = gpu.createCommandEncoder();
    encoder.copyBufferToBuffer(y!.buffer, 0, read, 0, 12);
    encoder.copyBufferToBuffer(constant!.buffer, 0, read, 12, 8);
    gpu.queue.submit([encoder.finish()]);
    await read.mapAsync(1);
    expect(new Float32Array(read.getMappedRange().slice(0))).toEqual(Float32Array.of(7, 0, 13, 7, -8));

    const refused = async (given: object): Promise<string> => (await failure(model.run({ x: given as never, flag }))).reason;
    expect(await refused({ buffer: gpu.createBuffer({ size: 12, usage: COPY_SRC }) })).toBe(
      `input "x": found a buffer of 12 bytes; expected 16`,
    );
    expect(await refused({ buffer: gpu.createBuffer({ size: 16, usage: STORAGE }) })).toMatch(/usage lacks COPY_SRC/);
    expect(await refused({ buffer, shape: [2, 2] })).toMatch(/found shape \[2, 2\]; expected a Float32Array for f32 \[4\]/);
    expect(await refused({ buffer: undefined })).toMatch(/found a buffer of undefined bytes/);
    expect((await failure(model.run({ x, flag }, { output: "gpu" }))).code).toBe("dynamic-shape");
    gpu.destroy();
  });

  test("what only a device can do is refused elsewhere", async () => {
    const model = await load(await toyPrograms(), { device: "js" });
    expect((await failure(model.run({ x: { buffer: {} as GPUBuffer }, flag }))).reason).toMatch(
      /a buffer of a GPU, but the model runs on none/,
    );
    expect((await failure(model.run({ x, flag }, { output: "gpu" }))).reason).toMatch(/"gpu" needs a model that runs on a GPU; .* js$/);
    expect((await failure(model.run({ x, flag }, { output: "disk" as never }))).code).toBe("bad-option");
    expect(model.profile()).toBeUndefined();
  });

  test("warmup runs once, whatever the inputs, and leaves them alone; on the host, too", async () => {
    for (const model of [await load(toyWebGPU()), await load(await toyPrograms())]) {
      (model.input("x") as Float32Array).set(x);
      (model.input("flag") as Uint8Array)[0] = 1;
      await model.warmup();
      (model.input("flag") as Uint8Array)[0] = 0;
      expect((await model.run()).y!.data).toEqual(Float32Array.of(7, 0, 13));
      model.dispose();
      expect((await failure(model.warmup())).code).toBe("disposed");
    }
  });

  test("steps are measured where that was asked for", async () => {
    using plain = await load(toyWebGPU());
    await plain.run({ x, flag });
    expect(plain.profile()).toBeUndefined();
    using model = await load(toyWebGPU(), { profile: true });
    expect((await model.run({ x, flag })).y!.data).toEqual(Float32Array.of(7, 0, 13));
    expect(model.profile()!.map(({ kernel, nodes }) => [kernel, nodes])).toEqual([
      ["check", []],
      ["product", ["node"]],
      ["nonzero", ["other"]],
    ]);
    for (const { ms } of model.profile()!) expect(ms).toBeGreaterThanOrEqual(0);
  });
});
