// The WebGPU backend: a WGSL module for each kernel, and the schedule by which a host dispatches them.

import { defineBackend } from "../../compiler/backend.ts";
import { limitsOf } from "./limits.ts";
import { scheduleOf } from "./schedule.ts";

/** What every WebGPU device has, by the defaults of its limits. */
const DEVICE = { workgroup: 256, sharedBytes: 16384, buffers: 8, alignment: 256 } as const;

export const webgpu = defineBackend({
  name: "webgpu",
  doc: "WGSL compute shaders for browsers and Node: needs a GPU, or a driver that stands for one",
  variants: [
    {
      name: "base",
      needs: ["webgpu"],
      can: {
        vectors: ["f32x4", "i32x4"],
        f16: false,
        f64: false,
        fma: true,
        maths: ["round_even"],
        accumulators: 64,
        device: DEVICE,
      },
    },
  ],
  emit(program, _, placement = { weights: 0, arena: 0, cuts: [0], steps: [] }) {
    const { schedule, text } = scheduleOf(program, placement, DEVICE);
    return { code: "model.wgsl", files: { "model.wgsl": text }, schedule, needs: limitsOf(schedule, placement) };
  },
});
