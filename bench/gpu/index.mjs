// What our kernels make of a GPU: its peak by two probes, kernels against it, sparse against dense by pattern and shape, whole networks, and what
// starting takes. Needs dist/ and the package webgpu alone: `node bench/gpu/pack.mjs FOLDER` brings both to a machine.
// Usage: node bench/gpu/index.mjs [--seconds 1] [--small] [--sections peak,kernels,sparse,networks,start] [--json FILE]

import { writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { create, globals } from "webgpu";
import { webgpu } from "../../dist/backends/index.js";
import { compile } from "../../dist/compiler/index.js";
import { randomFeeds } from "../networks/graph.mjs";
import { kernels, networks, sparse } from "./cases.mjs";
import { peak } from "./probe.mjs";
import { time } from "./run.mjs";

Object.assign(globalThis, globals);

const { values: options } = parseArgs({
  options: {
    seconds: { type: "string", default: "1" },
    small: { type: "boolean" },
    sections: { type: "string", default: "peak,kernels,sparse,networks,start" },
    json: { type: "string" },
  },
});
// Dawn's instance must outlive its devices; a variable that is used once goes when this is bundled.
globalThis.dawn = create([]);
const adapter = await globalThis.dawn.requestAdapter({ powerPreference: "high-performance" });
if (!adapter) {
  console.error(
    "there is no adapter: a Vulkan driver is needed, named by VK_ICD_FILENAMES (or VK_DRIVER_FILES) where it is not found by itself",
  );
  process.exit(1);
}
const { info, limits } = adapter;
const software = info.isFallbackAdapter || /llvmpipe|swiftshader|lavapipe/i.test(`${info.description} ${info.device}`);
const small = options.small ?? software;
const seconds = Number(options.seconds);
const wanted = new Set(options.sections.split(","));
const device = await adapter.requestDevice({
  requiredFeatures: ["timestamp-query", "shader-f16", "subgroups"].filter((f) => adapter.features.has(f)),
  requiredLimits: {
    maxBufferSize: limits.maxBufferSize,
    maxStorageBufferBindingSize: limits.maxStorageBufferBindingSize,
  },
});
const result = { adapter: `${info.vendor} ${info.device || info.description}`.trim(), software, small };
console.log(`Adapter: ${result.adapter}${software ? " (software: its figures say nothing of a GPU)" : ""}\n`);

const fixed = (x, digits = 2) => (Number.isFinite(x) ? x.toFixed(digits) : "-");
const table = (head, rows) => {
  console.log(`| ${head.join(" | ")} |\n|${head.map(() => "---|").join("")}`);
  for (const row of rows) console.log(`| ${row.join(" | ")} |`);
  console.log();
};
/** Sparse wherever zeros were found, or dense throughout: the choice by rates is what is to be measured. */
const forced = (rate) => {
  const rates = [
    [1, 1],
    [1, 4],
    [4, 1],
    [4, 4],
    [8, 8],
    [16, 16],
  ].map((block) => ({ block, many: rate, few: rate }));
  return {
    ...webgpu,
    variants: webgpu.variants.map((v) => ({ ...v, can: { ...v.can, device: { ...v.can.device, sparseRates: rates } } })),
  };
};
const run = async ({ bytes, shapes, feeds = randomFeeds(shapes)[0] }, backend = webgpu, sparsity = "auto") => {
  const artifact = await compile(bytes, { backends: [backend], sparsity, report: false });
  const timed = await time(artifact, feeds, device, seconds);
  const inKernels = timed.kernels?.reduce((sum, k) => sum + k.ms, 0);
  // Timestamps, where they are, leave out what a run costs besides its kernels.
  return { ...timed, busy: inKernels > 0 ? inKernels : timed.run, steps: artifact.manifest.variants[0].steps.map((s) => s.kernel) };
};

const most = wanted.has("peak") || wanted.has("kernels") ? await peak(device) : undefined;
if (most) {
  result.peak = most;
  console.log(`Peak, by probe: ${fixed(most.gflops, 1)} GFLOP/s in f32, ${fixed(most.gbytes, 1)} GB/s read and written.\n`);
}
if (wanted.has("kernels")) {
  result.kernels = [];
  for (const c of kernels(small)) {
    const { busy, steps } = await run(c);
    const [gflops, gbytes] = [c.flops / busy / 1e6, c.bytes_moved / busy / 1e6];
    result.kernels.push({ name: c.name, kernel: steps[0], ms: busy, gflops, gbytes });
  }
  table(
    ["kernel", "made of it", "ms", "GFLOP/s", "of the peak", "GB/s", "of the peak"],
    result.kernels.map((k) => [
      k.name,
      k.kernel,
      fixed(k.ms, 3),
      fixed(k.gflops, 1),
      `${fixed((100 * k.gflops) / most.gflops, 0)} %`,
      fixed(k.gbytes, 1),
      `${fixed((100 * k.gbytes) / most.gbytes, 0)} %`,
    ]),
  );
}
if (wanted.has("sparse")) {
  result.sparse = [];
  for (const c of sparse(small)) {
    const dense = await run(c.dense, webgpu, "off");
    for (const { zeros, block, problem } of c.pruned) {
      const { busy, steps } = await run(problem, forced(1e9));
      result.sparse.push({ name: c.name, block: block.join("x"), zeros, dense: dense.busy, sparse: busy, kernel: steps[0] });
    }
  }
  table(
    ["layer", "blocks", "zeros", "dense ms", "sparse ms", "dense / sparse", "kernel"],
    result.sparse.map((r) => [
      r.name,
      r.block,
      `${100 * r.zeros} %`,
      fixed(r.dense, 3),
      fixed(r.sparse, 3),
      fixed(r.dense / r.sparse),
      r.kernel,
    ]),
  );
}
if (wanted.has("networks") || wanted.has("start")) {
  result.networks = [];
  for (const c of networks(small)) {
    const r = await run(c);
    result.networks.push({ name: c.name, steps: r.steps.length, cold: r.cold, first: r.firstRun, run: r.run, kernels: r.busy });
  }
  table(
    ["network", "kernels", "load ms (pipelines)", "first run ms", "run ms", "of it in kernels"],
    result.networks.map((n) => [n.name, n.steps, fixed(n.cold, 0), fixed(n.first, 1), fixed(n.run), fixed(n.kernels)]),
  );
}
if (options.json) writeFileSync(options.json, `${JSON.stringify(result, null, 2)}\n`);
device.destroy();
