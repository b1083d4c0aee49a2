// The support for WebGPU's tests: a shader computes on the software driver, and the null backend reports what is wrong with WGSL.

import { expect, test } from "vitest";
import { gpuDevice, nullDevice, webgpuSkipped, wgslProblem } from "./webgpu.ts";

const skipped = webgpuSkipped() !== undefined;

const DOUBLE = `@group(0) @binding(0) var<storage, read_write> x : array<f32>;
@compute @workgroup_size(4) fn main(@builtin(global_invocation_id) id : vec3u) { x[id.x] *= 2; }`;

test.skipIf(skipped)("a shader computes", async () => {
  const device = await gpuDevice();
  const { STORAGE, COPY_SRC, COPY_DST, MAP_READ } = GPUBufferUsage;
  const x = device.createBuffer({ size: 16, usage: STORAGE | COPY_SRC | COPY_DST });
  const read = device.createBuffer({ size: 16, usage: MAP_READ | COPY_DST });
  device.queue.writeBuffer(x, 0, Float32Array.of(1, 2, 3, 4));
  const module = device.createShaderModule({ code: DOUBLE });
  const pipeline = await device.createComputePipelineAsync({ layout: "auto", compute: { module } });
  const encoder = device.createCommandEncoder();
  const pass = encoder.beginComputePass();
  pass.setPipeline(pipeline);
  pass.setBindGroup(
    0,
    device.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries: [{ binding: 0, resource: { buffer: x } }] }),
  );
  pass.dispatchWorkgroups(1);
  pass.end();
  encoder.copyBufferToBuffer(x, 0, read, 0, 16);
  device.queue.submit([encoder.finish()]);
  await read.mapAsync(GPUMapMode.READ);
  expect(new Float32Array(read.getMappedRange().slice(0))).toEqual(Float32Array.of(2, 4, 6, 8));
  device.destroy();
});

test.skipIf(skipped)("what is wrong with a shader is said with its place", async () => {
  const device = await nullDevice();
  expect(await wgslProblem(device, DOUBLE)).toBeUndefined();
  expect(await wgslProblem(device, DOUBLE.replace("id.x", "id.w"))).toMatch(/^2:\d+ \S/);
  expect(await wgslProblem(device, DOUBLE.replace("size(4)", "size(100000)"))).toMatch(/workgroup|invocations/i);
  device.destroy();
});
