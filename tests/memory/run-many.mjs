// Run by node --expose-gc: runs an artifact many times and prints bytes in use, sampled after equal numbers of runs, as JSON.
// Arguments: the bundle of the runtime, the artifact's folder, the device, runs in all, a file with the f32 input "image".
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const [bundle, folder, device, runs, file] = process.argv.slice(2);
const { defaultExecutors, load } = await import(pathToFileURL(bundle).href);

const instances = [];
const executors = defaultExecutors.map((executor) => ({
  ...executor,
  instantiate: async (code, variant) => {
    const instance = await executor.instantiate(code, variant);
    instances.push(instance);
    return instance;
  },
}));
const used = () => {
  for (let n = 0; n < 3; n++) globalThis.gc();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return { heap: heapUsed + arrayBuffers, memory: instances.reduce((sum, { buffer }) => sum + buffer.byteLength, 0) };
};

const model = await load(folder, { device, executors });
const bytes = readFileSync(file);
const image = new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength));
const first = Array.from((await model.run({ image })).logits.data);
const samples = [];
let last;
for (let sample = 0; sample < 5; sample++) {
  for (let n = 0; n < runs / 5; n++) last = (await model.run({ image })).logits.data;
  samples.push(used());
}
console.log(JSON.stringify({ first, last: Array.from(last), samples, instances: instances.length }));
