// Run by node: runs an artifact on webgpu a few times, and prints of each run, as JSON, for how many milliseconds at most the event loop was kept
// busy. Arguments: the bundle of the runtime, the artifact's folder, runs at least, runs at most.
//   stretch: what this thread computed in continuations of promises, which the executor is made of, without another task between them
//   gap: the time between two ticks of a timer in which this thread was not waiting for a core that others had
import { createHook } from "node:async_hooks";
import { existsSync, readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const [bundle, folder, least, most] = process.argv.slice(2);
const { load } = await import(pathToFileURL(bundle).href);

/** Milliseconds that this thread computed, and waited for a core; where the system does not say, all and none of them. */
const file = `/proc/self/task/${process.pid}/schedstat`;
const clocks = () =>
  existsSync(file)
    ? readFileSync(file, "utf8")
        .split(" ")
        .map((ns) => Number(ns) / 1e6)
    : [performance.now(), 0];

let [stretch, own, since] = [0, 0, 0];
const promises = new Set();
createHook({
  init: (id, type) => void (type === "PROMISE" && promises.add(id)),
  before(id) {
    if (promises.has(id)) [since] = clocks();
    else own = 0;
  },
  after(id) {
    if (!promises.has(id)) return;
    own += clocks()[0] - since;
    stretch = Math.max(stretch, own);
  },
  destroy: (id) => void promises.delete(id),
}).enable();

const runs = [];
async function watch(run) {
  let [last, [, before], gap, ticks] = [performance.now(), clocks(), 0, 0];
  stretch = own = 0;
  const tick = () => {
    const [now, [, waited]] = [performance.now(), clocks()];
    gap = Math.max(gap, now - last - (waited - before));
    [last, before] = [now, waited];
    ticks++;
  };
  const timer = setInterval(tick, 2);
  await run();
  tick();
  clearInterval(timer);
  runs.push({ stretch, gap, ticks });
}

const model = await load(folder, { device: "webgpu" });
await watch(() => model.warmup());
const inputs = Object.fromEntries(
  model.inputs.map(({ name, shape }) => [name, new Float32Array(shape.reduce((a, b) => a * b, 1)).fill(0.5)]),
);
const late = () => runs.filter(({ gap }) => gap > 50).length;
while (runs.length < least || (runs.length < most && late() >= runs.length / 2)) await watch(() => model.run(inputs));
model.dispose();
// That such a stretch is seen: two of 40 ms each, one after the other.
await watch(async () => {
  for (let n = 0; n < 2; n++) {
    await undefined;
    for (const end = clocks()[0] + 40; clocks()[0] < end; );
  }
});
console.log(JSON.stringify({ backend: model.info().backend, blocked: runs.pop(), runs }));
