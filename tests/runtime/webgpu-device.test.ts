// The webgpu executor and its device: what there may be none of, what it may lack, refuse or run out of, and how it may be lost.

import { afterEach, describe, expect, test, vi } from "vitest";
import { load, SparsecError } from "../../runtime/index.ts";
import { observedGPU, replace } from "../support/observed-gpu.ts";
import { gpuDevice, webgpuSkipped } from "../support/webgpu.ts";
import { toyVariant } from "./toy.ts";
import { TOY_WGSL, toySchedule, toyWebGPU } from "./toy-webgpu.ts";

const x = Float32Array.of(1, 0, 2, 3);
const flag = Uint8Array.of(0);
const y = Float32Array.of(7, 0, 13);
const failure = async (promise: Promise<unknown>): Promise<SparsecError> => {
  const error = await promise.then(
    () => undefined,
    (e: unknown) => e,
  );
  expect(error).toBeInstanceOf(SparsecError);
  return error as SparsecError;
};
const here = (gpu: unknown): void => void vi.stubGlobal("navigator", { gpu });
afterEach(() => void vi.unstubAllGlobals());

const JS = "export const instantiate = () => ({ run: () => -1 });";
const withJs = (change = {}) =>
  toyWebGPU(change, TOY_WGSL, [{ ...toyVariant, backend: "js", code: "toy.js" }], new Map([["toy.js", new TextEncoder().encode(JS)]]));

describe.skipIf(webgpuSkipped() !== undefined)("a device", () => {
  test("of no adapter is an error, or the reason for the next choice", async () => {
    here({ requestAdapter: async () => null });
    const error = await failure(load(toyWebGPU(), { device: "webgpu" }));
    expect([error.code, error.reason]).toEqual(["no-webgpu", "WebGPU finds no adapter"]);
    expect((await failure(load(toyWebGPU()))).code).toBe("no-variant");
    const model = await load(withJs(), { prefer: "throughput" });
    expect(model.info()).toMatchObject({ backend: "js", skipped: [{ variant: "webgpu:plain", reason: "WebGPU finds no adapter" }] });
  });

  test("lacks what is named in the reason", async () => {
    here(observedGPU({ adapter: (adapter) => replace(adapter, "features", new Set() as never) }).gpu);
    const needs = ["webgpu", "shader-f16", "telepathy", "limit:maxComputeWorkgroupSizeX=99999"];
    const error = await failure(load(toyWebGPU({ needs }), { device: "webgpu" }));
    expect(error.code).toBe("no-variant");
    expect(error.reason).toMatch(
      /webgpu:plain: the adapter lacks shader-f16 and telepathy and maxComputeWorkgroupSizeX of 99999 \(it has \d+\)$/,
    );
    here(observedGPU({ adapter: (adapter) => replace(adapter, "limits", { maxBufferSize: 2 ** 28 } as never) }).gpu);
    const small = await failure(load(toyWebGPU({ arena: 2 ** 30 }), { device: "webgpu" }));
    expect(small.reason).toMatch(/lacks maxBufferSize of \d+ \(it has 268435456\)/);
  });

  test("is asked for what is needed, and for no more", async () => {
    const asked: unknown[] = [];
    const { gpu } = observedGPU({
      adapter: (adapter) => {
        const request = adapter.requestDevice;
        replace(adapter, "requestDevice", (descriptor) => {
          asked.push(descriptor);
          return request(descriptor);
        });
      },
    });
    here(gpu);
    (await load(toyWebGPU())).dispose();
    (await load(toyWebGPU({ needs: ["webgpu", "subgroups", "limit:maxBufferSize=268435460"] }))).dispose();
    (await load(toyWebGPU({ needs: ["packed_4x8_integer_dot_product"] }), { profile: true })).dispose();
    expect(asked).toEqual([
      { label: "sparsec", requiredFeatures: [], requiredLimits: {} },
      { label: "sparsec", requiredFeatures: ["subgroups"], requiredLimits: { maxBufferSize: 268435460 } },
      { label: "sparsec", requiredFeatures: ["timestamp-query"], requiredLimits: {} },
    ]);
  });

  test("refuses shaders and schedules with its own words", async () => {
    const shader = await failure(load(toyWebGPU({}, TOY_WGSL.replace("sum += values", "sum += value")), { device: "webgpu" }));
    expect(shader.code).toBe("internal");
    expect(shader.reason).toMatch(/^the device refuses the program: kernel 'product': 10:\d+ .*value/);
    const [, , ...others] = toySchedule.kernels;
    const kernels = [
      { ...toySchedule.kernels[0]!, access: ["read", "read", "read", "readwrite", "readwrite"] },
      toySchedule.kernels[1]!,
      ...others,
    ];
    const bindings = await failure(load(toyWebGPU({ schedule: { ...toySchedule, kernels } as never }), { device: "webgpu" }));
    expect([bindings.code, bindings.reason]).toEqual(["internal", expect.stringMatching(/kernel 'product': /)]);
    expect((await failure(load(toyWebGPU({}, TOY_WGSL.replace("//// check", "//// chuck")), { device: "webgpu" }))).reason).toBe(
      "it has no kernel 'check'",
    );
    const { schedule: _, ...plain } = { ...toyVariant, backend: "webgpu", code: "model.wgsl" };
    expect((await failure(load(toyWebGPU({}, TOY_WGSL, [{ ...plain, name: "none" }]), { device: "webgpu:none" }))).reason).toMatch(
      /the variant has no schedule/,
    );
  });

  test("short of memory is an error, whether it says so or throws", async () => {
    const short = (device: GPUDevice): void =>
      replace(device, "createBuffer", () => {
        throw new RangeError("no memory to map");
      });
    const { gpu, devices } = observedGPU({ device: short });
    here(gpu);
    const error = await failure(load(toyWebGPU(), { device: "webgpu" }));
    expect([error.code, error.reason]).toEqual(["out-of-memory", "the device has too little memory: no memory to map"]);
    expect((await devices[0]!.lost).reason).toBe("destroyed");
    expect((await load(withJs(), { prefer: "throughput" })).info().backend).toBe("js");
    const late = (device: GPUDevice): void => {
      const filters: string[] = [];
      const [push, pop] = [device.pushErrorScope.bind(device), device.popErrorScope.bind(device)];
      replace(device, "pushErrorScope", (filter) => {
        filters.push(filter);
        push(filter);
      });
      replace(device, "popErrorScope", async () => {
        const memory = filters.pop() === "out-of-memory";
        return (await pop()) ?? (memory ? ({ message: "the heap is full" } as GPUError) : null);
      });
    };
    here(observedGPU({ device: late }).gpu);
    expect((await failure(load(toyWebGPU(), { device: "webgpu" }))).reason).toMatch(/the heap is full/);
  });

  test("of the caller's is used, and outlives the model", async () => {
    const device = await gpuDevice();
    let lost = false;
    void device.lost.then(() => (lost = true));
    here({ requestAdapter: async () => null });
    const model = await load(toyWebGPU(), { gpu: device });
    expect(model.info()).toMatchObject({ why: "a GPUDevice was given, so the device is 'webgpu', and it comes first" });
    expect((await model.run({ x, flag })).y!.data).toEqual(y);
    model.dispose();
    const other = await load(toyWebGPU(), { gpu: device });
    expect((await other.run({ x, flag })).y!.data).toEqual(y);
    expect(lost).toBe(false);
    device.destroy();
    const error = await failure(other.run({ x, flag }));
    expect([error.code, error.reason]).toEqual(["device-lost", expect.stringMatching(/^the device was lost: /)]);
    expect((await failure(load(toyWebGPU(), { gpu: device }))).code).toBe("device-lost");
  });

  test("that is lost between runs or within one is replaced once", async () => {
    const { gpu, devices } = observedGPU();
    here(gpu);
    const artifact = toyWebGPU();
    const model = await load(artifact, { device: "webgpu" });
    expect((await model.run({ x, flag })).y!.data).toEqual(y);
    devices[0]!.destroy();
    await devices[0]!.lost;
    expect((await model.run({ x, flag })).y!.data).toEqual(y);
    expect(devices.length).toBe(2);
    const under = model.run({ x, flag });
    devices[1]!.destroy();
    expect((await under).y!.data).toEqual(y);
    expect(devices.length).toBe(3);
    model.dispose();
    expect((await devices[2]!.lost).reason).toBe("destroyed");
  });

  test("that is lost again and again, or has no successor, is an error; so is one that held inputs", async () => {
    let fragile = false;
    const observed = observedGPU({
      device: (device) => {
        const submit = device.queue.submit.bind(device.queue);
        replace(device.queue, "submit", (list) => {
          if (fragile) device.destroy();
          return submit(list);
        });
      },
    });
    here(observed.gpu);
    const model = await load(toyWebGPU(), { device: "webgpu" });
    fragile = true;
    expect((await failure(model.run({ x, flag }))).code).toBe("device-lost");
    expect(observed.devices.length).toBe(2);
    fragile = false;
    expect((await model.run({ x, flag })).y!.data).toEqual(y);
    const device = observed.devices.at(-1)!;
    const buffer = device.createBuffer({ size: 16, usage: 4 });
    fragile = true;
    expect((await failure(model.run({ x: { buffer }, flag }))).reason).toMatch(/inputs were on it$/);
    here({ requestAdapter: async () => null });
    expect((await failure(model.run({ x, flag }))).reason).toMatch(/and no other is to be had: WebGPU finds no adapter$/);
    model.dispose();
  });

  test("comes first for throughput where it is no software, and last where it is", async () => {
    const soft = await load(withJs(), { prefer: "throughput" });
    expect(soft.info().why).toBe(
      "the device is 'auto' (for throughput: webgpu, wasm, js, then others, software adapters last), and the variants before it do not run here",
    );
    expect(soft.info().skipped).toEqual([{ variant: "webgpu:plain", reason: expect.stringMatching(/is software, slower/) }]);
    const hard = observedGPU({
      adapter: (adapter) => replace(adapter, "info", { isFallbackAdapter: false, description: "fast" } as never),
    });
    here(hard.gpu);
    const fast = await load(withJs(), { prefer: "throughput" });
    expect(fast.info()).toMatchObject({ backend: "webgpu", adapter: "fast", skipped: [] });
    fast.dispose();
    expect((await load(withJs(), { prefer: "latency" })).info().backend).toBe("js");
    expect((await failure(load(withJs(), { prefer: "price" as never }))).reason).toMatch(
      /prefer is "latency" or "throughput", not "price"/,
    );
  });
});
