// WebGPU in Node by Dawn (the package `webgpu`) on a software driver, and Dawn's null backend, which validates WGSL and computes nothing.

import { existsSync } from "node:fs";
import { join } from "node:path";
import { projectRoot, skipReason } from "./shared.ts";

/** Dawn starts a driver of Vulkan's when `create` is called first; which one, the environment says. */
type Create = (flags: readonly string[]) => GPU;

const DRIVERS = [join(projectRoot, ".cache/vulkan/lvp_icd.json"), "/usr/lib/chromium/vk_swiftshader_icd.json"];

const dawn = async (): Promise<Create | undefined> => {
  try {
    const { create, globals } = await import("webgpu");
    // GPUBufferUsage and the like, which browsers have.
    Object.assign(globalThis, globals);
    // While Dawn waits for a device it asks by setImmediate, a million times a second, on a core that a software driver lacks.
    const later = (ask: () => void): unknown => setTimeout(ask, 1);
    Object.assign(globalThis, { setImmediate: later });
    return create as Create;
  } catch {
    return undefined;
  }
};

const create = await dawn();
process.env["VK_ICD_FILENAMES"] ??= DRIVERS.find((path) => existsSync(path)) ?? "";
const driver = process.env["VK_ICD_FILENAMES"];
// Lavapipe optimizes each kernel for longer than a test runs it.
process.env["GALLIVM_PERF"] ??= "nopt";

/** Why tests that run shaders are skipped (printed), or undefined where they can run. Throws where SPARSEC_REQUIRE lists webgpu. */
export const webgpuSkipped = (): string | undefined =>
  skipReason(
    "webgpu",
    !create
      ? "the package webgpu is not installed (npm install webgpu)"
      : driver
        ? undefined
        : "there is no Vulkan driver for WebGPU; .ci/vulkan fetches one, or set VK_ICD_FILENAMES",
  );

let shared: GPU | undefined;
let validator: GPU | undefined;

/** WebGPU on the best software driver here. Only where `webgpuSkipped` says undefined. */
export const gpu = (): GPU => (shared ??= create!([]));

/** A device with the features and limits given, of the software driver's adapter. The caller destroys it. */
export async function gpuDevice(descriptor: GPUDeviceDescriptor = {}): Promise<GPUDevice> {
  const adapter = await gpu().requestAdapter();
  if (!adapter) throw new Error(`Dawn finds no adapter with VK_ICD_FILENAMES=${driver}`);
  return adapter.requestDevice(descriptor);
}

let kept: Promise<GPUDevice> | undefined;

/** One device for all tests of a process that need no other. */
export const sharedDevice = (): Promise<GPUDevice> => (kept ??= gpuDevice());

/** A device that validates whatever it is given, with every feature and limit, and runs nothing. Only where the package is installed. */
export async function nullDevice(): Promise<GPUDevice> {
  // Dawn's instance must outlive its devices.
  validator ??= create!(["backend=null"]);
  const adapter = await validator.requestAdapter();
  if (!adapter) throw new Error("Dawn has no null backend");
  return adapter.requestDevice({ requiredFeatures: [...adapter.features] as GPUFeatureName[] });
}

/** What Dawn says against WGSL text and the pipeline of its `main`, or undefined when it is valid. */
export async function wgslProblem(device: GPUDevice, code: string): Promise<string | undefined> {
  device.pushErrorScope("validation");
  const module = device.createShaderModule({ code });
  device.createComputePipeline({ layout: "auto", compute: { module, entryPoint: "main" } });
  const { messages } = await module.getCompilationInfo();
  const failed = await device.popErrorScope();
  const said = messages.filter((m) => m.type === "error").map((m) => `${m.lineNum}:${m.linePos} ${m.message}`);
  return said.length ? said.join("\n") : failed?.message;
}
