// The WebGPU backend for devices whose bindings hold little, so that small tensors take several.

import { webgpu } from "../../backends/index.ts";
import type { Backend } from "../../compiler/backend.ts";

/** For bindings of up to `binding` bytes, a multiple of 256. */
export const bindAtMost = (binding: number): Backend => ({
  ...webgpu,
  variants: webgpu.variants.map((v) => ({ ...v, can: { ...v.can, device: { ...v.can.device!, binding } } })),
});
