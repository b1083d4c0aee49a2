// Times models on a device: whole runs by the clock, outputs left where they are; single kernels by the device's timestamps where it has them.

import { load } from "../../dist/runtime/bundle.js";
import { median } from "../timing.mjs";

/** Loads an artifact on the device, runs it for about `seconds`, at least thrice. Milliseconds. */
export async function time(artifact, feeds, device, seconds) {
  const from = performance.now();
  const model = await load(artifact, { device: "webgpu", gpu: device, profile: device.features.has("timestamp-query") });
  const cold = performance.now() - from;
  try {
    const first = performance.now();
    await model.run(feeds);
    const samples = [];
    const once = async () => {
      const start = performance.now();
      const outputs = await model.run(undefined, { output: "gpu" });
      samples.push(performance.now() - start);
      for (const { buffer } of Object.values(outputs)) buffer.destroy();
    };
    for (const name of Object.keys(feeds)) model.input(name);
    const firstRun = performance.now() - first;
    const until = performance.now() + seconds * 1000;
    while (samples.length < 3 || (performance.now() < until && samples.length < 500)) await once();
    const steps = model.profile();
    return { cold, firstRun, run: median(samples), kernels: steps?.map(({ kernel, ms }) => ({ kernel, ms })) };
  } finally {
    model.dispose();
  }
}
