// Whole models against onnxruntime-web, in one process, interleaved, one thread, by CPU time; results are checked before they are timed.
// Usage: npm run build && taskset -c 1 node bench/models.mjs [--seconds 4] [--variant baseline] [name ...]     (prints a table in Markdown)

import { existsSync, readdirSync, readFileSync } from "node:fs";
import { basename, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import * as ort from "onnxruntime-web";
import { compileModel } from "sparsec";
import { load } from "sparsec/runtime";

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: { seconds: { type: "string", default: "4" }, variant: { type: "string" }, json: { type: "boolean" } },
});
const shared = process.env.SPARSEC_SHARED ?? resolve(fileURLToPath(import.meta.url), "../../../shared");
const folder = join(shared, "models");
if (!existsSync(folder)) {
  console.error(`the models are absent: no ${folder}; set SPARSEC_SHARED`);
  process.exit(1);
}
ort.env.wasm.numThreads = 1;
ort.env.logLevel = "error";

const ARRAYS = { float32: Float32Array, int64: BigInt64Array, float16: Uint16Array };
/** Inputs whose values decide shapes, by model: fixed when compiling. */
const CONSTANTS = { "silero-vad-16k-op15-if": ["sr"] };

function reference(name) {
  const at = join(folder, "ref", name);
  const meta = JSON.parse(readFileSync(join(at, "meta.json"), "utf8"));
  const read = (t) => {
    const bytes = readFileSync(join(at, t.file));
    const data = new ARRAYS[t.type](bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength));
    return { ...t, data };
  };
  return { inputs: meta.inputs.map(read), outputs: meta.outputs.map(read) };
}

const relative = (a, b) => {
  let d = 0;
  let n = 0;
  for (let i = 0; i < b.length; i++) {
    d += (Number(a[i]) - Number(b[i])) ** 2;
    n += Number(b[i]) ** 2;
  }
  return Math.sqrt(d) / (Math.sqrt(n) || 1);
};

const cpu = () => {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
};

/** Median CPU milliseconds per call of each competitor, in rounds that take them in turn. */
async function interleave(competitors, seconds) {
  const samples = competitors.map(() => []);
  const counts = [];
  for (const [k, run] of competitors.entries()) {
    const until = performance.now() + 300;
    let n = 0;
    const start = cpu();
    do {
      await run();
      n++;
    } while (performance.now() < until);
    counts[k] = Math.max(1, Math.ceil((n * 20) / Math.max(20, cpu() - start)));
  }
  const until = performance.now() + seconds * 1000;
  while (performance.now() < until || samples[0].length < 7) {
    for (const [k, run] of competitors.entries()) {
      const start = cpu();
      for (let i = 0; i < counts[k]; i++) await run();
      samples[k].push((cpu() - start) / counts[k]);
    }
  }
  return samples.map((s) => s.sort((a, b) => a - b)[s.length >> 1]);
}

async function measure(name) {
  const bytes = new Uint8Array(readFileSync(join(folder, `${name}.onnx`)));
  const { inputs, outputs } = reference(name);
  const fixed = new Set(CONSTANTS[name] ?? []);
  const inputShapes = Object.fromEntries(inputs.filter((t) => !fixed.has(t.name)).map((t) => [t.name, t.dims]));
  const constants = Object.fromEntries(inputs.filter((t) => fixed.has(t.name)).map((t) => [t.name, { data: t.data, shape: t.dims }]));
  const feed = Object.fromEntries(inputs.filter((t) => !fixed.has(t.name)).map((t) => [t.name, { data: t.data, shape: t.dims }]));
  const session = await ort.InferenceSession.create(bytes, { executionProviders: ["wasm"], graphOptimizationLevel: "all" });
  const tensors = Object.fromEntries(inputs.map((t) => [t.name, new ort.Tensor(t.type, t.data, t.dims)]));
  const answers = await session.run(tensors);
  const theirs = new Map(outputs.map((t) => [t.name, relative(answers[t.name].data, t.data)]));
  const device = options.variant ? `wasm:${options.variant}` : "wasm";
  const models = {};
  const sizes = {};
  const start = performance.now();
  let compileMs;
  for (const sparsity of ["auto", "off"]) {
    const { artifact } = await compileModel(bytes, { backends: ["wasm"], inputShapes, constants, sparsity });
    compileMs ??= performance.now() - start;
    sizes[sparsity] = artifact.files.get("weights.bin").length;
    models[sparsity] = await load(artifact, { device });
    const got = await models[sparsity].run(feed);
    for (const t of outputs) {
      const error = relative(got[t.name].data, t.data);
      // Quantized models may be as far off as onnxruntime is with its optimisations on.
      const allowed = name.endsWith("-qdq") ? Math.max(1e-2, theirs.get(t.name)) : name.includes("fp16") ? 1e-2 : 1e-4;
      if (!(error <= allowed)) throw new Error(`${name} (${sparsity}): ${t.name} is off by ${error}, allowed ${allowed}`);
    }
  }
  const [ours, dense, web] = await interleave(
    [() => models.auto.run(feed), () => models.off.run(feed), () => session.run(tensors)],
    Number(options.seconds),
  );
  await session.release();
  const row = {
    name,
    ours,
    dense,
    web,
    ratio: ours / web,
    sparseOverDense: ours / dense,
    compileMs,
    weightsKiB: sizes.auto / 1024,
    variant: models.auto.info().variant,
  };
  models.auto.dispose();
  models.off.dispose();
  return row;
}

const all = readdirSync(folder)
  .filter((f) => f.endsWith(".onnx"))
  .map((f) => basename(f, ".onnx"));
const names =
  positionals.length > 0 ? all.filter((n) => positionals.some((p) => n.includes(p))) : all.filter((n) => n !== "gcn-cora-sparseadj");
const rows = [];
if (!options.json) {
  console.log(`Node ${process.versions.node}, ${options.variant ?? "best"} variant\n`);
  console.log("| model | ours ms | ours dense ms | ort-web ms | ours / web | ours / our dense | compile ms | weights KiB |");
  console.log("|---|---|---|---|---|---|---|---|");
}
for (const name of names) {
  try {
    const r = await measure(name);
    rows.push(r);
    if (!options.json) {
      console.log(
        `| ${r.name} | ${r.ours.toFixed(3)} | ${r.dense.toFixed(3)} | ${r.web.toFixed(3)} | ${r.ratio.toFixed(2)} | ${r.sparseOverDense.toFixed(2)} | ${r.compileMs.toFixed(0)} | ${r.weightsKiB.toFixed(0)} |`,
      );
    }
  } catch (e) {
    console.log(`| ${name} | ${String(e.message).split("\n")[0]} |`);
    process.exitCode = 1;
  }
}
if (options.json) console.log(JSON.stringify(rows, null, 2));
