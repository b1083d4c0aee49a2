// The page of webgpu-browser.mjs: counts what is asked of WebGPU, whoever asks, and runs a model by sparsec or by onnxruntime-web.

const zero = () => ({ dispatches: 0, up: 0, down: 0 });
let counts = zero();

/** Calls `watch` with the arguments of each call of a method, and then the method. */
function observe(prototype, method, watch) {
  const original = prototype[method];
  prototype[method] = function (...all) {
    watch.apply(this, all);
    return original.apply(this, all);
  };
}
const dispatched = () => counts.dispatches++;
observe(GPUComputePassEncoder.prototype, "dispatchWorkgroups", dispatched);
observe(GPUComputePassEncoder.prototype, "dispatchWorkgroupsIndirect", dispatched);
observe(GPUQueue.prototype, "writeBuffer", (_, __, data, from = 0, size = undefined) => {
  const element = data.BYTES_PER_ELEMENT ?? 1;
  counts.up += size === undefined ? data.byteLength - from * element : size * element;
});
observe(GPUDevice.prototype, "createBuffer", ({ size, mappedAtCreation }) => {
  if (mappedAtCreation) counts.up += size;
});
observe(GPUBuffer.prototype, "mapAsync", function (mode, offset = 0, size = this.size - offset) {
  if (mode & GPUMapMode.WRITE) counts.up += size;
});
observe(GPUCommandEncoder.prototype, "copyBufferToBuffer", (from, ...rest) => {
  // With or without offsets.
  const [to, size] = typeof rest[0] === "number" ? [rest[1], rest[3]] : [rest[0], rest[1]];
  if (to.usage & GPUBufferUsage.MAP_READ) counts.down += size ?? from.size;
});

const ARRAYS = { float32: Float32Array, int64: BigInt64Array };
const bytesOf = async (url) => (await fetch(url)).arrayBuffer();

async function feedsOf({ inputs }) {
  const read = async ({ name, type, dims, file }) => ({ name, type, dims, data: new ARRAYS[type](await bytesOf(`/ref/${file}`)) });
  return Promise.all(inputs.map(read));
}

const open = {
  async sparsec(meta) {
    const { load } = await import("/runtime/bundle.js");
    const feeds = Object.fromEntries((await feedsOf(meta)).map(({ name, data }) => [name, data]));
    const model = await load(new URL("/model.sparsec/", location.href), { device: "webgpu" });
    return { run: () => model.run(feeds), adapter: model.info().adapter };
  },
  async "ort-web"(meta, settings = {}) {
    const ort = await import("/ort/ort.webgpu.min.mjs");
    ort.env.wasm.numThreads = 1;
    ort.env.wasm.wasmPaths = "/ort/";
    if (settings.logSeverityLevel === 0) ort.env.logLevel = "verbose";
    const feeds = Object.fromEntries((await feedsOf(meta)).map(({ name, type, dims, data }) => [name, new ort.Tensor(type, data, dims)]));
    const bytes = new Uint8Array(await bytesOf("/model.onnx"));
    const session = await ort.InferenceSession.create(bytes, {
      executionProviders: ["webgpu"],
      graphOptimizationLevel: "all",
      logSeverityLevel: 3,
      ...settings,
    });
    return { run: () => session.run(feeds), adapter: "" };
  },
};

let model;

/** What `work` took: milliseconds, and what was asked of WebGPU. */
async function measured(work) {
  counts = zero();
  const start = performance.now();
  const result = await work();
  return [{ ms: performance.now() - start, ...counts }, result];
}

globalThis.start = async (who, meta, settings) => {
  const [taken, opened] = await measured(() => open[who](meta, settings));
  model = opened;
  return { ...taken, adapter: opened.adapter };
};
/** One inference, and its outputs by name. */
globalThis.infer = async () => {
  const [taken, outputs] = await measured(() => model.run());
  return { ...taken, outputs: Object.fromEntries(Object.entries(outputs).map(([name, { data }]) => [name, Array.from(data, Number)])) };
};
