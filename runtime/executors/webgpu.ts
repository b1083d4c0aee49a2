// Runs the variants of the webgpu backend.

import type { DeviceExecutor } from "../executor.ts";

const missing = "this runtime runs no schedules";

export const webgpuExecutor: DeviceExecutor = {
  backend: "webgpu",
  unsupported: () => missing,
  doubt: async () => undefined,
  open: () => Promise.reject(new Error(missing)),
};
