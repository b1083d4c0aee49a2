// `sparsec run` as a process: inputs from files and by chance, outputs as summaries, JSON and files.

import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, expect, test } from "vitest";
import { readNpy, writeNpy } from "../../compiler/npy.ts";
import { tensorOf } from "../../ir/tensor.ts";
import { projectRoot } from "../support/shared.ts";
import { mixed, small, writeModel } from "./models.ts";
import { document, type Failed, sparsec, workFolder } from "./sparsec.ts";

const at = workFolder();
beforeAll(async () => {
  await writeModel(at("small.onnx"), small);
  await writeModel(at("mixed.onnx"), mixed);
  await writeFile(at("x.npy"), writeNpy(tensorOf("f32", [2, 3], [1, -2, 3, 0.5, 0, Number.NaN])));
  await writeFile(at("ids.npy"), writeNpy(tensorOf("i64", [4], [0, 7, 0, -1])));
  const { code, stderr } = await sparsec(["compile", at("mixed.onnx"), "--backend", "wasm,js"]);
  if (code !== 0) throw new Error(stderr);
});

interface Ran {
  readonly device: { readonly backend: string; readonly variant: string; readonly turbo: object };
  readonly outputs: readonly {
    readonly name: string;
    readonly dtype: string;
    readonly shape: readonly number[];
    readonly data: readonly unknown[];
  }[];
}

const inputs = () => ["--input", `x=${at("x.npy")}`, "--input", `ids=${at("ids.npy")}`];

test.each(["wasm", "js"])("an artifact runs on %s, with inputs from files", async (device) => {
  const { device: on, outputs } = await document<Ran>(["run", at("mixed.sparsec"), ...inputs(), "--device", device]);
  expect(on.backend).toBe(device);
  expect(outputs).toMatchObject([
    { name: "y", dtype: "f32", shape: [2, 3], data: [2, -4, 6, 1, 0, "NaN"], nan: 1, max: 6, min: -4 },
    // The true extent, not its bound.
    { name: "found", dtype: "i64", shape: [1, 2], data: [1, 3] },
  ]);
});

test("a model runs without being written, on the device asked for", async () => {
  const { device, outputs } = await document<Ran>(["run", at("mixed.onnx"), ...inputs(), "--device", "js"]);
  expect(device).toMatchObject({ backend: "js" });
  expect(outputs[1]).toMatchObject({ data: [1, 3] });
});

test("--out writes every output and a list of them", async () => {
  const { code, stdout } = await sparsec(["run", at("mixed.sparsec"), ...inputs(), "--out", at("out")]);
  expect(code).toBe(0);
  expect(stdout).toContain("y: f32[2,3]  -> ");
  expect(JSON.parse(await readFile(at("out/outputs.json"), "utf8"))).toEqual({
    outputs: [
      { name: "y", dtype: "f32", shape: [2, 3], file: "output_0.npy" },
      { name: "found", dtype: "i64", shape: [1, 2], file: "output_1.npy" },
    ],
  });
  const found = readNpy(await readFile(at("out/output_1.npy")));
  expect([...found.data]).toEqual([1n, 3n]);
  expect(found.shape).toEqual([1, 2]);
});

test("random inputs: the same for the same seed, others for another, within --range", async () => {
  const args = ["run", at("mixed.sparsec"), "--range", "ids=5:9", "--range", "x=0:0.25", "--random"];
  const first = await document<Ran>([...args, "1"]);
  expect((await document<Ran>([...args, "1"])).outputs).toEqual(first.outputs);
  expect((await document<Ran>([...args, "2"])).outputs).not.toEqual(first.outputs);
  // Twice a number of [0, 0.25), and no id is 0.
  for (const y of first.outputs[0]!.data as number[]) expect(y).toBeLessThan(0.5);
  expect(first.outputs[1]!.data).toEqual([0, 1, 2, 3]);
});

test("a file's shape binds the model's dimensions", async () => {
  await writeFile(at("image.npy"), writeNpy(tensorOf("f32", [2, 16, 8, 8], new Float32Array(2048).fill(1))));
  const { code, stdout } = await sparsec(["run", at("small.onnx"), "--input", `image=${at("image.npy")}`]);
  expect(code).toBe(0);
  expect(stdout).toContain("scores: f32[2,16]");
});

test("a vector of scores shows its largest", async () => {
  const { stdout, stderr } = await sparsec(["run", at("small.onnx"), "--random", "3"]);
  expect(stdout).toMatch(/^ {2}min \S+ {2}max \S+ {2}mean \S+$/m);
  expect(stdout).toMatch(/^ {2}first( \S+){8} \.\.\.$/m);
  expect(stdout).toMatch(/^ {2}top( {1,2}\d+: \S+){5}$/m);
  expect(stderr).toMatch(/^wasm:(baseline|relaxed), first run in [\d.]+ ms$/m);
});

test.each([
  ["missing", [], "bad-input", "no value for x: f32[2,3], ids: i64[4]", "--input x=x.npy --input ids=ids.npy, or --random SEED"],
  ["unknown", ["--random", "1", "--input", "z=IDS"], "bad-input", "--input names 'z', and the model's inputs are x, ids", ""],
  [
    "of another type",
    ["--random", "1", "--input", "x=IDS"],
    "bad-input",
    'input "x": found BigInt64Array; expected a Float32Array for f32 [2, 3]',
    "",
  ],
  ["unreadable", ["--random", "1", "--input", "x=NONE"], "unreadable", "cannot read the array", ""],
])("inputs that are %s are refused", async (_, args, code, message, hint) => {
  const given = args.map((a) => a.replace("IDS", at("ids.npy")).replace("NONE", at("none.npy")));
  const { error } = await document<Failed>(["run", at("mixed.sparsec"), ...given], 1);
  expect(error.code).toBe(code);
  expect(error.message).toContain(message);
  expect(error.hint ?? "").toContain(hint);
});

test("a device that the artifact does not hold is wrong usage", async () => {
  const { error } = await document<Failed>(["run", at("mixed.sparsec"), "--random", "1", "--device", "webgpu"], 2);
  expect(error).toMatchObject({ code: "unknown-device" });
  expect(error.message).toContain("js:es2022");
});

test("threads share a run where they pay; what ran, and why, is said", async () => {
  const { outputs } = await document<Ran>(["run", at("small.onnx"), "--random", "3"]);
  const shared = await document<Ran>(["run", at("small.onnx"), "--random", "3", "--threads", "2"]);
  expect(shared.outputs).toEqual(outputs);
  expect(shared.device).toMatchObject({ variant: expect.stringMatching(/-threads$/), whyThreads: expect.stringMatching(/./) });
  const { stderr } = await sparsec(["run", at("small.onnx"), "--random", "3", "--threads", "auto"]);
  expect(stderr).toMatch(/^threads: \d \(.+\)$/m);
  expect((await document<Failed>(["run", at("small.onnx"), "--random", "3", "--threads", "0"], 2)).error.code).toBe("usage");
  const { variants } = await document<{ variants: { variant: string }[] }>([
    "compile",
    at("small.onnx"),
    "--threads",
    "-o",
    at("team.sparsec"),
  ]);
  expect(variants.map((v) => v.variant)).toEqual(["relaxed", "baseline", "relaxed-threads", "baseline-threads"]);
});

test("the device comes from the flag, SPARSEC_DEVICE, then .sparsecrc", async () => {
  await writeFile(at(".sparsecrc"), JSON.stringify({ device: "js" }));
  const args = ["run", at("mixed.sparsec"), "--random", "1"];
  expect((await document<Ran>(args, 0, {}, at(""))).device.backend).toBe("js");
  expect((await document<Ran>(args, 0, { SPARSEC_DEVICE: "wasm" }, at(""))).device.backend).toBe("wasm");
  expect((await document<Ran>([...args, "--device", "js"], 0, { SPARSEC_DEVICE: "wasm" }, at(""))).device.backend).toBe("js");
  await writeFile(at(".sparsecrc"), JSON.stringify({ devise: "js" }));
  expect((await document<Failed>(args, 1, {}, at(""))).error).toMatchObject({ code: "bad-config", hint: "options: device, sparsity" });
  await writeFile(at(".sparsecrc"), "{}");
});

test("--turbo takes the faster variant where one is hidden, and its numbers agree", async () => {
  const digits = join(projectRoot, "examples/digits/digits.onnx");
  const ran = (...more: string[]) => document<Ran>(["run", digits, "--dim", "N=1", "--random", "1", ...more]);
  const [plain, turbo] = [await ran(), await ran("--turbo")];
  expect(plain.device.turbo).toEqual({ on: false, why: "not asked for" });
  if (process.versions.v8.startsWith("11.3."))
    expect(turbo.device).toMatchObject({
      variant: expect.stringMatching(/^relaxed/),
      turbo: { on: true, why: "relaxed SIMD, by --experimental-wasm-relaxed-simd" },
    });
  for (const [k, { data }] of turbo.outputs.entries())
    data.forEach((x, i) => {
      const expected = plain.outputs[k]!.data[i] as number;
      expect(Math.abs((x as number) - expected)).toBeLessThanOrEqual(1e-5 * Math.max(1, Math.abs(expected)));
    });
});
