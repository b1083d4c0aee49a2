// What is paid once: compiling (time and peak memory), loading and the first run, each in a fresh process; and what a run adds to its kernels.
// Usage: npm run build && node bench/start.mjs [name ...]     (prints a table in Markdown)

import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { shared } from "./shared.mjs";

const self = fileURLToPath(import.meta.url);
const folder = join(shared, "models");
const ARRAYS = { f32: Float32Array, f16: Uint16Array, i64: BigInt64Array };

/** Shapes of the reference inputs, which bind symbolic dimensions. */
function bindings(name) {
  const file = join(folder, "ref", name, "meta.json");
  if (!existsSync(file)) return {};
  const { inputs } = JSON.parse(readFileSync(file, "utf8"));
  const inputShapes = Object.fromEntries(inputs.filter((t) => t.name !== "sr").map((t) => [t.name, t.dims]));
  return { inputShapes, ...(inputs.some((t) => t.name === "sr") ? { constants: { sr: 16000 } } : {}) };
}

const jobs = {
  async compile(name, target) {
    const { compile } = await import("../dist/compiler/index.js");
    const start = performance.now();
    const artifact = await compile(join(folder, `${name}.onnx`), { ...bindings(name), backends: ["wasm"] });
    const ms = performance.now() - start;
    await artifact.write(target);
    const code = artifact.manifest.variants.map((v) => gzipSync(artifact.files.get(v.code)).length + gzipSync(artifact.json).length);
    return {
      ms,
      mb: process.resourceUsage().maxRSS / 1024,
      kb: Math.max(...code) / 1024,
      weights: artifact.files.get("weights.bin").length / 1024,
    };
  },
  async load(_, target) {
    const start = performance.now();
    const { defaultExecutors, load } = await import("../dist/runtime/bundle.js");
    // What the model calls once a run, to tell its own time from the runtime's.
    const instances = [];
    const watched = defaultExecutors.map((e) => ({
      ...e,
      instantiate: async (...all) => {
        instances.push(await e.instantiate(...all));
        return instances.at(-1);
      },
    }));
    const model = await load(target, { executors: watched });
    const feed = Object.fromEntries(model.inputs.map((p) => [p.name, new ARRAYS[p.dtype](p.shape.reduce((a, b) => a * b, 1))]));
    const loaded = performance.now();
    model.runSync(feed);
    const first = performance.now() - loaded;
    for (const p of model.inputs) model.input(p.name);
    const ways = {
      kernel: () => instances.at(-1).run(),
      invoke: () => model.invoke(),
      runSync: () => model.runSync(feed),
      run: () => model.run(feed),
    };
    const times = Object.fromEntries(Object.keys(ways).map((way) => [way, []]));
    for (const end = performance.now() + 1000; performance.now() < end || times.run.length < 8; )
      for (const [way, go] of Object.entries(ways)) {
        const before = performance.now();
        await go();
        times[way].push(performance.now() - before);
      }
    const median = (all) => all.slice(all.length >> 1).sort((a, b) => a - b)[all.length >> 2];
    const warm = Object.fromEntries(Object.entries(times).map(([way, all]) => [way, median(all)]));
    return { ms: loaded - start, first, ...warm, mb: process.resourceUsage().maxRSS / 1024 };
  },
};

const [job, name, target] = process.argv.slice(2);
if (job?.startsWith("--")) {
  console.log(JSON.stringify(await jobs[job.slice(2)](name, target)));
} else {
  if (!existsSync(folder)) {
    console.error(`the models are absent: no ${folder}; set SPARSEC_SHARED`);
    process.exit(1);
  }
  const wanted = process.argv.slice(2);
  const names = readdirSync(folder)
    .filter((f) => f.endsWith(".onnx"))
    .map((f) => basename(f, ".onnx"))
    .filter((n) => wanted.length === 0 || wanted.some((w) => n.includes(w)));
  const scratch = mkdtempSync(join(tmpdir(), "sparsec-start-"));
  const fresh = (what, n) => JSON.parse(execFileSync(process.execPath, [self, `--${what}`, n, join(scratch, n)], { encoding: "utf8" }));
  console.log(`Node ${process.versions.node}\n`);
  console.log(
    "| model | compile ms | MB | code KB gz | weights KB | load ms | first run ms | warm ms | invoke, runSync, run: us more | MB |",
  );
  console.log("|---|---|---|---|---|---|---|---|---|---|");
  for (const n of names) {
    const c = fresh("compile", n);
    const l = fresh("load", n);
    const over = ["invoke", "runSync", "run"].map((way) => ((l[way] - l.kernel) * 1000).toFixed(1)).join(", ");
    const compiled = [c.ms.toFixed(0), c.mb.toFixed(0), c.kb.toFixed(1), c.weights.toFixed(0)];
    const cells = [...compiled, l.ms.toFixed(1), l.first.toFixed(1), l.kernel.toFixed(3), over, l.mb.toFixed(0)];
    console.log(`| ${n} | ${cells.join(" | ")} |`);
  }
  rmSync(scratch, { recursive: true });
}
