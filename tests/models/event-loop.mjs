// Run by node: runs an artifact on webgpu a few times, and prints the longest time between ticks of the event loop in each run, as JSON.
// Arguments: the bundle of the runtime, the artifact's folder, runs at most. Ends after a run without a gap of 50 ms.
import { existsSync, readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const [bundle, folder, runs] = process.argv.slice(2);
const { load } = await import(pathToFileURL(bundle).href);

/** Milliseconds that this thread has been waiting for a core that others had; 0 where the system does not say. */
const file = `/proc/self/task/${process.pid}/schedstat`;
const waited = () => (existsSync(file) ? Number(readFileSync(file, "utf8").split(" ")[1]) / 1e6 : 0);

const model = await load(folder, { device: "webgpu" });
await model.warmup();
const inputs = Object.fromEntries(
  model.inputs.map(({ name, shape }) => [name, new Float32Array(shape.reduce((a, b) => a * b, 1)).fill(0.5)]),
);
const gaps = [];
let ticks = 0;
for (let n = 0; n < runs && !(gaps.at(-1) <= 50); n++) {
  let [last, before, gap] = [performance.now(), waited(), 0];
  const tick = () => {
    const [now, others] = [performance.now(), waited()];
    gap = Math.max(gap, now - last - (others - before));
    [last, before] = [now, others];
    ticks++;
  };
  const timer = setInterval(tick, 2);
  await model.run(inputs);
  tick();
  clearInterval(timer);
  gaps.push(gap);
}
model.dispose();
console.log(JSON.stringify({ gaps, ticks, backend: model.info().backend }));
