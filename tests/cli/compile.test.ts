// `sparsec compile` and `sparsec explain` as processes.

import { readdir, readFile, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { beforeAll, expect, test } from "vitest";
import { costsFor } from "../../compiler/cost/costs.ts";
import type { NodeReport } from "../../compiler/report.ts";
import { mixed, reshaped, small, writeModel } from "./models.ts";
import { document, type Failed, sparsec, workFolder } from "./sparsec.ts";

const at = workFolder();
beforeAll(async () => {
  await writeModel(at("small.onnx"), small);
  await writeModel(at("mixed.onnx"), mixed);
  await writeModel(at("reshaped.onnx"), reshaped);
  const { code, stderr } = await sparsec(["compile", at("small.onnx"), "--backend", "wasm,js"]);
  if (code !== 0) throw new Error(stderr);
});

interface Explained {
  readonly backend: string;
  readonly variant: string;
  readonly nodes: readonly NodeReport[];
  readonly totals: Readonly<Record<string, number>>;
  readonly variants: readonly unknown[];
}

test("compile writes MODEL.sparsec beside the model, and says what is in it and what comes next", async () => {
  const { code, stdout, stderr } = await sparsec(["compile", at("small.onnx"), "-o", at("out.sparsec")]);
  expect(code).toBe(0);
  expect(stdout).toContain("inputs   image: f32[1,16,8,8]");
  expect(stdout).toContain("outputs  scores: f32[1,16]");
  expect(stdout).toMatch(/zeros +9\d\.\d % of 2304 weights; 1 of 1 tensors stored without them/);
  expect(stdout).toMatch(/wasm:baseline +\d+ +/);
  expect(stdout).toContain(`next: sparsec run ${at("out.sparsec")} --random 1`);
  expect(stderr).toContain('note: dimension "batch"');
  expect((await readdir(at("small.sparsec"))).sort()).toEqual(
    ["kernels.js", "manifest.json", "model.d.ts", "model.mjs", "model.relaxed.wasm", "model.wasm", "report.json", "weights.bin"].sort(),
  );
});

test("compile --json describes the artifact", async () => {
  const d = await document<Record<string, unknown>>(["compile", at("mixed.onnx"), "-o", at("mixed.sparsec"), "--backend", "js"]);
  expect(d).toMatchObject({
    artifact: at("mixed.sparsec"),
    name: "mixed",
    inputs: [
      { name: "x", dtype: "f32", shape: [2, 3] },
      { name: "ids", dtype: "i64", shape: [4] },
    ],
    outputs: [
      { name: "y", dtype: "f32", shape: [2, 3] },
      { name: "found", dtype: "i64", shape: [1, 4] },
    ],
    variants: [{ backend: "js", variant: "es2022" }],
  });
  expect(Object.keys(d)).toEqual(expect.arrayContaining(["bytes", "files", "zeros", "notes", "ms"]));
});

test("the same model compiles to the same bytes", async () => {
  for (const folder of ["first.sparsec", "second.sparsec"])
    await sparsec(["compile", at("small.onnx"), "-o", at(folder), "--backend", "wasm,js"]);
  for (const file of await readdir(at("first.sparsec")))
    expect((await readFile(at(`first.sparsec/${file}`))).equals(await readFile(at(`second.sparsec/${file}`)))).toBe(true);
});

test("inputs that decide shapes are named all at once, and bound by --const", async () => {
  const { error } = await document<Failed>(["compile", at("reshaped.onnx")], 1);
  expect(error.code).toBe("needs-constant");
  expect(error.inputs).toEqual(["shape", "repeats"]);
  expect(error.hint).toContain("--const shape=... --const repeats=...");
  const d = await document<Record<string, unknown>>([
    "compile",
    at("reshaped.onnx"),
    "--const",
    "shape=2,3",
    "--const",
    "repeats=2,1",
    "-o",
    at("r.sparsec"),
  ]);
  expect(d["inputs"]).toEqual([{ name: "x", dtype: "f32", shape: [6] }]);
  expect(d["outputs"]).toEqual([{ name: "y", dtype: "f32", shape: [4, 3] }]);
});

test("dimensions are bound by --dim and --input-shape", async () => {
  const byName = await document<Record<string, unknown>>(["compile", at("small.onnx"), "--dim", "batch=3", "-o", at("b3.sparsec")]);
  expect(byName["outputs"]).toEqual([{ name: "scores", dtype: "f32", shape: [3, 16] }]);
  const byShape = await document<Record<string, unknown>>([
    "compile",
    at("small.onnx"),
    "--input-shape",
    "image=2x16x8x8",
    "-o",
    at("b2.sparsec"),
  ]);
  expect(byShape["outputs"]).toEqual([{ name: "scores", dtype: "f32", shape: [2, 16] }]);
});

test("a folder that holds something else is left alone", async () => {
  const { error } = await document<Failed>(["compile", at("small.onnx"), "-o", dirname(at("small.onnx"))], 1);
  expect(error.code).toBe("not-an-artifact");
});

test("explain shows a row for each kernel: of an artifact as of its model", async () => {
  const stored = await document<Explained>(["explain", at("small.sparsec"), "--device", "js"]);
  const [conv] = stored.nodes;
  expect(conv).toMatchObject({ name: "conv", op: "conv", elements: 2304, pattern: "unstructured", backend: "js", shape: "f32[1,16,8,8]" });
  expect(conv!.nodes).toEqual(expect.arrayContaining(["conv", "relu"]));
  expect(conv!.ops).toEqual(["conv", "relu"]);
  expect(conv!.zeros! / conv!.elements!).toBeGreaterThan(0.9);
  expect(conv!.format).not.toBe("dense");
  expect(conv!.why).toContain("not zero");
  expect(stored.totals).toMatchObject({ kernels: stored.nodes.length });
  expect(Object.keys(stored.totals)).toEqual(["arena", "weights", "kernels", "intermediateBytes", "conversions", "convertedBytes"]);
  expect(stored.variants).toHaveLength(3);
  const fresh = await document<Explained>(["explain", at("small.onnx"), "--backend", "wasm,js", "--device", "js"]);
  expect(fresh.nodes).toEqual(stored.nodes);
  expect(fresh.totals).toEqual(stored.totals);
});

test("explain prints two lines for each kernel and what a run takes, within a page", async () => {
  const { code, stdout } = await sparsec(["explain", at("small.onnx"), "--backend", "wasm"]);
  expect(code).toBe(0);
  expect(stdout).toMatch(/^node +op +shape +zeros +kernel +bytes$/m);
  expect(stdout).toMatch(/^conv \+1 +conv\+relu +f32\[1,16,8,8\] +9\d\.\d % +conv_f32\S* +4\.0 KB\n {4}unstructured as csr: .* not zero/m);
  expect(stdout).toMatch(/^wasm:relaxed: weights [\d.]+ K?B$/m);
  expect(stdout).toMatch(/^ +kernels +layout conversions +written between kernels +arena$/m);
  const taken = /^(?:before passes|one inference) +(\d+) +(\d+) \(\S+ K?B\) +([\d.]+ K?B) +([\d.]+ K?B)$/gm;
  const [before, after] = [...stdout.matchAll(taken)].map((m) => Number(m[1]));
  expect(before).toBeGreaterThan(after!);
  for (const line of stdout.split("\n")) expect(line.length).toBeLessThanOrEqual(100);
});

interface Event {
  readonly ph: string;
  readonly name: string;
  readonly cat?: string;
  readonly ts: number;
  readonly dur: number;
  readonly pid: number;
  readonly tid: number;
  readonly args: Readonly<Record<string, unknown>>;
}

test("explain --profile measures each kernel, and writes a trace of slices within slices", async () => {
  const trace = at("trace.json");
  const d = await document<{
    nodes: readonly (NodeReport & { measured?: number; share?: number; ofPeak?: number })[];
    measured: Record<string, number>;
  }>(["explain", at("small.onnx"), "--profile", trace, "--random", "3"]);
  expect(d.measured["whole"]).toBeGreaterThan(0);
  expect(d.measured["peak"]).toBeGreaterThan(0);
  expect(d.nodes.reduce((sum, n) => sum + n.share!, 0)).toBeGreaterThan(0.5);
  const [conv, pool] = d.nodes;
  expect(conv!.measured).toBeGreaterThan(0);
  expect(conv!.ofPeak).toBeCloseTo(conv!.nonzeroFlops / (conv!.measured! * 1e6) / d.measured["peak"]!, 9);
  expect(pool!.ofPeak).toBeUndefined();

  const { traceEvents } = JSON.parse(await readFile(trace, "utf8")) as { traceEvents: readonly Event[] };
  const [process, thread, ...slices] = traceEvents;
  expect([process, thread]).toMatchObject([
    { ph: "M", name: "process_name", args: { name: "sparsec small" } },
    { ph: "M", name: "thread_name", args: { name: expect.stringMatching(/^wasm:/) } },
  ]);
  let run: Event | undefined;
  let last = 0;
  for (const s of slices) {
    expect(s).toMatchObject({ ph: "X", pid: 1, tid: 1, ts: expect.any(Number), dur: expect.any(Number) });
    expect(s.dur).toBeGreaterThanOrEqual(0);
    // In order, one after the other, and within the run that they are part of.
    expect(s.ts).toBeGreaterThanOrEqual(last);
    if (s.cat === "inference") run = s;
    else {
      expect(s.ts + s.dur).toBeLessThanOrEqual(run!.ts + run!.dur + 1e-6);
      last = s.ts + s.dur - 1e-6;
    }
  }
  expect(slices.filter((s) => s.cat === "inference")).toHaveLength(3);
  const kernels = slices.filter((s) => s.cat === "kernel").map((s) => s.args["kernel"]);
  expect(kernels.slice(0, d.nodes.length)).toEqual(d.nodes.map((n) => n.kernel));
});

test("--impose-sparsity shows what zeroed weights would make of a model, and warns", async () => {
  const data = Float32Array.from({ length: 32 * 64 }, (_, i) => ((i * 37) % 101) - 50.5);
  await writeModel(at("linear.onnx"), {
    opset: 17,
    name: "linear",
    inputs: [{ name: "x", dtype: "f32", shape: [64, 32] }],
    initializers: [{ name: "w", dtype: "f32", shape: [32, 64], data }],
    nodes: [{ op: "MatMul", name: "product", inputs: ["x", "w"], outputs: ["y"] }],
    outputs: [{ name: "y", dtype: "f32", shape: [64, 64] }],
  });
  const { code, stdout, stderr } = await sparsec(["explain", at("linear.onnx"), "--impose-sparsity", "0.875:4x1", "--json"]);
  expect(code).toBe(0);
  expect(stderr).toContain("warning: --impose-sparsity zeroes weights without training");
  const { nodes, notes, predicted, unpruned } = JSON.parse(stdout) as {
    nodes: readonly NodeReport[];
    notes: readonly { message: string }[];
    predicted: number;
    unpruned: number;
  };
  expect(predicted).toBeCloseTo(
    nodes.reduce((sum, n) => sum + n.predicted, 0),
    6,
  );
  expect(unpruned).toBeGreaterThan(2 * predicted);
  expect(nodes).toMatchObject([{ name: "product", elements: 2048, zeros: 1792, pattern: "4x1 blocks" }]);
  expect(notes[0]!.message).toBe("87.5 % of the weights of 1 layers in blocks of 4x1 were zeroed: outputs are not the model's");
  const { error } = await document<Failed>(["compile", at("linear.onnx"), "--impose-sparsity", "1.5"], 2);
  expect(error.message).toContain("--impose-sparsity is '1.5'");
});

test("--cost decides by what was measured; what is no such file is refused", async () => {
  const slow = { ...costsFor("wasm:relaxed", undefined), single: [[4, 0.01]] };
  const file: unknown = { version: 1, machine: "a test's", variants: { "wasm:relaxed": slow } };
  await writeFile(at("costs.json"), JSON.stringify(file));
  const formatWith = async (...args: readonly string[]) =>
    (await document<Explained>(["explain", at("small.onnx"), ...args])).nodes[0]!.format;
  expect(await formatWith()).toBe("csr");
  expect(await formatWith("--cost", at("costs.json"))).toBe("dense");
  await writeFile(at("sparsec.config.mjs"), 'export default { cost: "./costs.json" };');
  expect(await formatWith("--config", at("sparsec.config.mjs"))).toBe("dense");
  const odd = { "webgpu:base": [{ block: [3, 5], many: 0.5, few: 0.5 }] };
  for (const bad of [JSON.stringify(file).replace("0.01", "-1"), JSON.stringify({ ...(file as object), devices: odd })]) {
    await writeFile(at("costs.json"), bad);
    const { error } = await document<Failed>(["explain", at("small.onnx"), "--cost", at("costs.json")], 1);
    expect(error).toMatchObject({ code: "bad-costs", hint: "write it with `sparsec calibrate`" });
  }
});

test("the steps of an artifact cannot be profiled", async () => {
  const { error } = await document<Failed>(["explain", at("small.sparsec"), "--profile", at("t.json")], 2);
  expect(error.message).toContain("--profile is for models");
});

test("with sparsity off, explain says so", async () => {
  const { nodes } = await document<Explained>(["explain", at("small.onnx"), "--sparsity", "off"]);
  expect(nodes[0]).toMatchObject({ op: "conv", format: "dense" });
});

test("a report that is missing or was changed is refused", async () => {
  await sparsec(["compile", at("small.onnx"), "-o", at("bad.sparsec"), "--backend", "js"]);
  const report = JSON.parse(await readFile(at("bad.sparsec/report.json"), "utf8")) as { variants: { nodes: { zeros: unknown }[] }[] };
  report.variants[0]!.nodes[0]!.zeros = "__proto__";
  await writeFile(at("bad.sparsec/report.json"), JSON.stringify(report));
  expect((await document<Failed>(["explain", at("bad.sparsec")], 1)).error.code).toBe("corrupt");
  expect((await document<Failed>(["explain", dirname(at("x"))], 1)).error.code).toBe("no-report");
});
