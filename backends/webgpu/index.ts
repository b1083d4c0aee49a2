// The WebGPU backend: a WGSL module for each kernel, and the schedule by which a host dispatches them.

import { type Capabilities, defineBackend } from "../../compiler/backend.ts";
import { FEATURES } from "./features.ts";
import { limitsOf } from "./limits.ts";
import { scheduleOf } from "./schedule.ts";

/** What every WebGPU device has, by the defaults of its limits. */
const DEVICE = { workgroup: 256, sharedBytes: 16384, buffers: 8, alignment: 256 } as const;

const base = {
  vectors: ["f32x4", "i32x4"],
  f16: false,
  f64: false,
  fma: true,
  maths: ["round_even"],
  accumulators: 64,
  device: DEVICE,
} satisfies Capabilities;

export const webgpu = defineBackend({
  name: "webgpu",
  doc: "WGSL compute shaders for browsers and Node: needs a GPU, or a driver that stands for one",
  variants: [
    // One variant of all features, not one of each set of them: a program needs those that it uses.
    { name: "full", needs: ["webgpu"], may: FEATURES, can: { ...base, dot4: true } },
    { name: "base", needs: ["webgpu"], can: base },
  ],
  emit(program, variant, placement = { weights: 0, arena: 0, cuts: [0], steps: [] }) {
    const { schedule, text, features } = scheduleOf(program, placement, DEVICE);
    const code = features.size === 0 ? "model.wgsl" : `model.${variant.name}.wgsl`;
    const uses = FEATURES.filter((f) => features.has(f));
    return { code, files: { [code]: text }, schedule, uses, limits: limitsOf(schedule, placement) };
  },
});
