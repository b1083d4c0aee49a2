// The executors that come with the runtime. Each is loaded when a variant of its backend is tried first.

import type { DeviceExecutor, Executor, HostExecutor } from "./executor.ts";

const host = (backend: string, load: () => Promise<HostExecutor>): HostExecutor => ({
  backend,
  unsupported: async (variant) => (await load()).unsupported(variant),
  instantiate: async (code, variant) => (await load()).instantiate(code, variant),
});

const device = (backend: string, load: () => Promise<DeviceExecutor>): DeviceExecutor => ({
  backend,
  unsupported: async (variant, wants) => (await load()).unsupported(variant, wants),
  doubt: async (variant, wants) => (await load()).doubt(variant, wants),
  open: async (code, variant, setting) => (await load()).open(code, variant, setting),
});

export const defaultExecutors: readonly Executor[] = [
  host("wasm", async () => (await import("./executors/wasm.ts")).wasmExecutor),
  host("js", async () => (await import("./executors/js.ts")).jsExecutor),
  device("webgpu", async () => (await import("./executors/webgpu.ts")).webgpuExecutor),
];
