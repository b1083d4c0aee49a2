// The WebGPU backend: a WGSL module for each kernel, and the schedule by which a host dispatches them.

import { type Backend, type Capabilities, type Device, defineBackend, type Emitted, type Placement } from "../../compiler/backend.ts";
import type { Program } from "../../ir/kernel/types.ts";
import { FEATURES } from "./features.ts";
import { limitsOf } from "./limits.ts";
import { type Limits, type Scheduled, scheduleOf } from "./schedule.ts";

/** What every WebGPU device has, by the defaults of its limits. */
const DEVICE: Device = { workgroup: 256, sharedBytes: 16384, buffers: 8, alignment: 256, binding: 128 * 2 ** 20 };

/** Bytes that no memory has: one binding holds whatever it must. */
const WHOLE = 2 ** 31;

/** The schedule with bindings no larger than they must be for no kernel to take too many. Errors: `unsupported` where none does. */
function fitted(program: Program, placement: Placement, limits: Limits): Scheduled {
  const scheduled = scheduleOf(program, placement, limits);
  if (!scheduled.excess) return scheduled;
  if (limits.binding >= WHOLE) throw scheduled.excess;
  return fitted(program, placement, { ...limits, binding: 2 * limits.binding });
}

const emit: Backend["emit"] = (program, { name, can }, placement = { weights: 0, weightCuts: [0], arena: 0, cuts: [0], steps: [] }) => {
  const { device = DEVICE } = can;
  const emitted = ({ schedule, text, features }: Scheduled, ...names: readonly string[]): Emitted => {
    const code = ["model", ...(features.size === 0 ? [] : [name]), ...names, "wgsl"].join(".");
    const uses = FEATURES.filter((f) => features.has(f));
    return { code, files: { [code]: text }, schedule, uses, limits: limitsOf(schedule, placement, device) };
  };
  const scheduled = fitted(program, placement, device);
  if (!scheduled.split) return emitted(scheduled);
  // Where a device can bind all of a buffer, no access has to look for its binding.
  const large = emitted(fitted(program, placement, { ...device, binding: WHOLE }), "large");
  return { ...emitted(scheduled), better: { ...large, name: "large" } };
};

const base = {
  vectors: ["f32x4", "i32x4"],
  f16: false,
  f64: false,
  quotients: false,
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
    { name: "full", needs: ["webgpu"], may: FEATURES, can: { ...base, f16: true, dot4: true, device: { ...DEVICE, swaps: true } } },
    { name: "base", needs: ["webgpu"], can: base },
  ],
  emit,
});
