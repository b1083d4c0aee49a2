// What a device can do at most, measured by two shaders: multiply-adds in registers, and bytes copied between buffers.

const FMA = `@group(0) @binding(0) var<storage, read_write> y: array<vec4f>;
@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) id: vec3u) {
  var a = vec4f(f32(id.x)); var b = a + 1f; var c = a + 2f; var d = a + 3f;
  let m = vec4f(0.999f); let n = vec4f(0.001f);
  for (var i = 0; i < ROUNDS; i++) {
    a = fma(a, m, n); b = fma(b, m, n); c = fma(c, m, n); d = fma(d, m, n);
  }
  y[id.x] = a + b + c + d;
}`;
const COPY = `@group(0) @binding(0) var<storage, read> x: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> y: array<vec4f>;
@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) w: vec3u, @builtin(local_invocation_index) t: u32) { let i = w.x * 256u + t; y[i] = x[i]; }`;

/** Seconds that `dispatches` take, the shorter of three tries. */
async function seconds(device, pipeline, group, workgroups, dispatches) {
  let best = Number.POSITIVE_INFINITY;
  for (let turn = 0; turn < 3; turn++) {
    await device.queue.onSubmittedWorkDone();
    const encoder = device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    pass.setPipeline(pipeline);
    pass.setBindGroup(0, group);
    for (let i = 0; i < dispatches; i++) pass.dispatchWorkgroups(workgroups);
    pass.end();
    const from = performance.now();
    device.queue.submit([encoder.finish()]);
    await device.queue.onSubmittedWorkDone();
    best = Math.min(best, (performance.now() - from) / 1000);
  }
  return best;
}

/** Repeats until a measurement takes a tenth of a second; gives work per second. */
async function rate(work, measure) {
  for (let dispatches = 1; ; dispatches *= 4) {
    const s = await measure(dispatches);
    if (s > 0.1 || dispatches >= 4096) return (work * dispatches) / s;
  }
}

const pipelineOf = (device, code) =>
  device.createComputePipelineAsync({ layout: "auto", compute: { module: device.createShaderModule({ code }), entryPoint: "main" } });

/** GFLOP/s of multiply-adds in f32, and GB/s read plus written. */
export async function peak(device) {
  const { STORAGE } = globalThis.GPUBufferUsage;
  const bytes = 64 * 2 ** 20;
  const [x, y] = [0, 1].map(() => device.createBuffer({ size: bytes, usage: STORAGE }));
  const groupOf = (pipeline, buffers) =>
    device.createBindGroup({
      layout: pipeline.getBindGroupLayout(0),
      entries: buffers.map((buffer, binding) => ({ binding, resource: { buffer } })),
    });
  const [rounds, workgroups] = [256, 1024];
  const fma = await pipelineOf(device, FMA.replace("ROUNDS", String(rounds)));
  const flops = await rate(2 * 16 * rounds * 256 * workgroups, (n) => seconds(device, fma, groupOf(fma, [y]), workgroups, n));
  const copy = await pipelineOf(device, COPY);
  const moved = await rate(2 * bytes, (n) => seconds(device, copy, groupOf(copy, [x, y]), bytes / 4096, n));
  x.destroy();
  y.destroy();
  return { gflops: flops / 1e9, gbytes: moved / 1e9 };
}
