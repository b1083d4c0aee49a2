// WebGPU whose devices a test can watch, break and lose: Dawn's own objects, with some of their methods replaced.

import { gpu } from "./webgpu.ts";

export interface Observed {
  readonly gpu: GPU;
  /** The devices opened so far. */
  readonly devices: GPUDevice[];
}

/** Replaces a property of one object. */
export const replace = <T extends object, K extends keyof T>(object: T, key: K, value: T[K]): void =>
  void Object.defineProperty(object, key, { value, configurable: true });

/** `prepare` is called with each adapter and each device before anyone else has it. */
export const observedGPU = (prepare: { adapter?(adapter: GPUAdapter): void; device?(device: GPUDevice): void } = {}): Observed => {
  const devices: GPUDevice[] = [];
  const real = gpu();
  const requestAdapter: GPU["requestAdapter"] = async (options) => {
    const adapter = await real.requestAdapter(options);
    if (!adapter) return adapter;
    const requestDevice = adapter.requestDevice.bind(adapter);
    replace(adapter, "requestDevice", async (descriptor) => {
      const device = await requestDevice(descriptor);
      devices.push(device);
      prepare.device?.(device);
      return device;
    });
    prepare.adapter?.(adapter);
    return adapter;
  };
  return { gpu: { requestAdapter, wgslLanguageFeatures: real.wgslLanguageFeatures } as GPU, devices };
};
