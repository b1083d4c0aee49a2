// `sparsec bench` as a process, alone and beside an engine; its statistics and its energy counters.

import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, expect, test } from "vitest";
import { energyMeter } from "../../compiler/cli/bench/energy.ts";
import { interleave, percentile } from "../../compiler/cli/bench/sampling.ts";
import { matching } from "../../compiler/cli/bench/tfjs.ts";
import { encodeModel } from "../../compiler/onnx/proto/encode.ts";
import { tensorOf } from "../../ir/tensor.ts";
import { small, writeModel } from "./models.ts";
import { document, type Failed, sparsec, workFolder } from "./sparsec.ts";

const at = workFolder();
beforeAll(async () => {
  await writeModel(at("small.onnx"), small);
  const { code, stderr } = await sparsec(["compile", at("small.onnx"), "--backend", "wasm,js"]);
  if (code !== 0) throw new Error(stderr);
});

interface Row {
  readonly name: string;
  readonly rate: number;
  readonly mean: number;
  readonly median: number;
  readonly p90: number;
  readonly p99: number;
  readonly samples: number;
  readonly runsPerSample: number;
  readonly busy: number;
  readonly difference?: number;
}
interface Benched {
  readonly device: string;
  readonly batch: number;
  readonly rows: readonly Row[];
  readonly cold: { readonly load: number; readonly first: number; readonly peak: number };
  readonly sizes: Readonly<Record<string, number>>;
  readonly arena: number;
  readonly flops: { readonly perRun: { readonly all: number; readonly nonzero: number } };
}

/** Two operations for each weight and pixel: 16 x 16 channels, 3 x 3 taps, 8 x 8 pixels. */
const FLOPS = 2 * 16 * 16 * 9 * 64;

test("a model, five items at once: speed in items, cold start, memory, sizes, arithmetic", async () => {
  const d = await document<Benched>(["bench", at("small.onnx"), "--batch", "5", "--seconds", "0.2"]);
  const [ours] = d.rows;
  expect(d.rows).toHaveLength(1);
  expect(d).toMatchObject({ batch: 5, scenario: "sync", threads: 1 });
  expect(d.device).toMatch(/^wasm:/);
  expect(ours!.p90).toBeGreaterThanOrEqual(ours!.median);
  expect(ours!.p99).toBeGreaterThanOrEqual(ours!.p90);
  expect(ours!.rate).toBeCloseTo(5000 / ours!.mean, 5);
  expect(ours!.samples).toBeGreaterThan(1);
  expect(ours!.busy).toBeGreaterThan(0);
  expect(d.cold.load).toBeGreaterThan(0);
  expect(d.cold.peak).toBeGreaterThan(2 ** 20);
  expect(d.flops.perRun.all).toBe(5 * FLOPS);
  expect(d.flops.perRun.nonzero).toBeLessThan((5 * FLOPS) / 8);
  for (const size of ["code", "codeGzipped", "weights"]) expect(d.sizes[size]).toBeGreaterThan(0);
  expect(d.arena).toBeGreaterThan(0);
});

test("text for people: a table and what else there is to know", async () => {
  const { code, stdout } = await sparsec(["bench", at("small.sparsec"), "--seconds", "0.1", "--device", "js"]);
  expect(code).toBe(0);
  expect(stdout).toMatch(/small\.sparsec {2}js:es2022, batch 1, sync/);
  expect(stdout).toMatch(/^ +items\/s +mean ms +\+- +median +p90 +p99$/m);
  expect(stdout).toMatch(/^sparsec( +[\d.]+){6}$/m);
  for (const name of ["cold start", "memory", "artifact", "busy", "arithmetic", "energy"])
    expect(stdout).toMatch(new RegExp(`^${name} {2,}\\S`, "m"));
  for (const line of stdout.split("\n").slice(1)) expect(line.length).toBeLessThanOrEqual(140);
});

test.each([
  ["sync", "in turn"],
  ["async", "in threads"],
])("--scenario %s: streams %s", async (scenario) => {
  const d = await document<Benched>(["bench", at("small.sparsec"), "--scenario", scenario, "--streams", "2", "--seconds", "0.2"]);
  expect(d).toMatchObject({ scenario, streams: 2 });
  expect(d.rows[0]!.samples).toBeGreaterThan(1);
});

test("--vs: an engine that is not installed is named, with what to install", async () => {
  const { error } = await document<Failed>(["bench", at("small.onnx"), "--vs", "ort-node"], 1);
  expect(error).toMatchObject({ code: "no-peer", hint: "npm install --no-save onnxruntime-node" });
});

/** A stand-in for onnxruntime: every run gives `value` in the shape of the scores. */
async function installPeer(value: number): Promise<string> {
  const folder = at(`peer${value}`);
  const home = join(folder, "node_modules/onnxruntime-web");
  await mkdir(home, { recursive: true });
  await writeFile(join(home, "package.json"), JSON.stringify({ name: "onnxruntime-web", main: "index.js" }));
  await writeFile(
    join(home, "index.js"),
    `class Tensor { constructor(type, data, dims) { Object.assign(this, { type, data, dims }); } }
     const run = async ({ image }) => ({ scores: new Tensor("float32", new Float32Array(16).fill(image.data[0] * ${value}), [1, 16]) });
     const session = { inputNames: ["image"], run, release: async () => {} };
     module.exports = { env: { wasm: {} }, Tensor, InferenceSession: { create: async () => session } };`,
  );
  return folder;
}

test("--vs: an engine found where the command runs is measured beside ours, and its results compared", async () => {
  // With all weights 1 / (16 x 9): no such model here, so the stand-in is far off.
  const cwd = await installPeer(1);
  const d = await document<Benched>(["bench", at("small.onnx"), "--vs", "ort-web", "--seconds", "0.1"], 0, {}, cwd);
  expect(d.rows.map((r) => r.name)).toEqual(["sparsec", "ort-web"]);
  expect(d.rows[1]!.difference).toBeGreaterThan(0.01);
  expect(d.rows[1]!.samples).toBeGreaterThan(1);
});

test.each([
  ["an artifact beside another engine", ["small.sparsec", "--vs", "ort-web"], "--vs needs the model"],
  ["an unknown engine", ["small.onnx", "--vs", "torch"], "--vs is 'torch'"],
  ["TensorFlow.js without its model", ["small.onnx", "--vs", "tfjs"], "--vs is 'tfjs'"],
  ["a model of an engine that reads ONNX", ["small.onnx", "--vs", "ort-web=small.onnx"], "--vs is 'ort-web=small.onnx'"],
  ["no time", ["small.onnx", "--seconds", "0"], "--seconds is '0'"],
  ["a batch of an artifact", ["small.sparsec", "--batch", "2"], "--batch is for models"],
  ["another engine in streams", ["small.onnx", "--vs", "ort-web", "--scenario", "async"], "--vs compares in the sync scenario only"],
])("wrong usage: %s", async (_, [model, ...args], message) => {
  const { error } = await document<Failed>(["bench", at(model!), ...args], 2);
  expect(error.code).toBe("usage");
  expect(error.message).toContain(message);
});

test("a batch that a shape inside the model forbids is refused", async () => {
  const fixed = {
    opset: 17,
    name: "fixed",
    inputs: [{ name: "x", dtype: "f32", shape: [1, 4] }],
    initializers: [{ name: "s", dtype: "i64", shape: [2], data: [1n, -1n] }],
    nodes: [{ op: "Reshape", name: "r", inputs: ["x", "s"], outputs: ["y"] }],
    outputs: [{ name: "y", dtype: "f32", shape: [1, 4] }],
  } as const;
  await writeFile(at("fixed.onnx"), encodeModel(fixed));
  expect((await document<Failed>(["compile", at("fixed.onnx"), "--batch", "2"], 1)).error).toMatchObject({ code: "no-batch" });
  expect((await document<Failed>(["compile", at("mixed.onnx"), "--batch", "2"], 1)).error).toMatchObject({ code: "unreadable" });
});

test("results of an engine that names them otherwise are found by their size", () => {
  const t = (n: number) => tensorOf("f32", [1, n], new Float32Array(n).fill(n));
  const theirs = new Map([
    ["Identity", t(4)],
    ["Identity_1", t(6)],
    ["Identity_2", t(6)],
  ]);
  expect(matching(theirs, "Identity_1", t(6))).toBe(theirs.get("Identity_1"));
  expect(matching(theirs, "scores", tensorOf("f32", [2, 2], [0, 0, 0, 0]))).toMatchObject({
    shape: [2, 2],
    data: new Float32Array([4, 4, 4, 4]),
  });
  // Two could be meant.
  expect(matching(theirs, "boxes", t(6))).toBeUndefined();
});

test("times: every contestant is sampled, and counted once for each run", async () => {
  let runs = 0;
  const wait = (ms: number): void => {
    const until = performance.now() + ms;
    while (performance.now() < until);
  };
  const [fast, slow] = await interleave(
    [
      { name: "fast", run: () => wait(0.02) },
      {
        name: "slow",
        async run() {
          runs++;
          wait(2);
        },
      },
    ],
    0.3,
    0.05,
  );
  expect(slow!.runsPerSample).toBe(1);
  expect(slow!.samples[0]).toBeGreaterThanOrEqual(0.002);
  expect(fast!.samples[0]).toBeGreaterThanOrEqual(0.00002);
  expect(fast!.samples[0]).toBeLessThan(slow!.samples[0]!);
  expect(slow!.samples.length).toBeLessThanOrEqual(runs);
  await expect(interleave([{ name: "bad", run: async () => Promise.reject(new Error("broken")) }], 0.1)).rejects.toThrow("broken");
});

test("percentiles are samples, by nearest rank", () => {
  const ascending = Array.from({ length: 100 }, (_, i) => i + 1);
  expect([0.5, 0.9, 0.99, 1].map((p) => percentile(ascending, p))).toEqual([50, 90, 99, 100]);
  expect(percentile([7], 0.5)).toBe(7);
});

test("energy: packages are added up, domains inside them are not, counters begin again", async () => {
  expect(energyMeter(at("none"))).toContain("has no");
  const zone = async (name: string, energy: number): Promise<void> => {
    await mkdir(at(`powercap/${name}`), { recursive: true });
    await writeFile(at(`powercap/${name}/energy_uj`), `${energy}\n`);
    await writeFile(at(`powercap/${name}/max_energy_range_uj`), "10000000\n");
  };
  await zone("intel-rapl:0", 1_000_000);
  await zone("intel-rapl:0:0", 500_000);
  await zone("intel-rapl:1", 9_000_000);
  const meter = energyMeter(at("powercap"));
  if (typeof meter === "string") throw new Error(meter);
  await zone("intel-rapl:0", 3_000_000);
  await zone("intel-rapl:0:0", 700_000);
  await zone("intel-rapl:1", 1_000_000);
  expect(meter.read()).toBeCloseTo(2 + 2, 9);
});
