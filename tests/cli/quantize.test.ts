// Quantization from the command line, as processes.

import { mkdir, readFile, writeFile } from "node:fs/promises";
import { beforeAll, expect, test } from "vitest";
import type { QuantizationReport } from "../../compiler/index.ts";
import { writeNpy } from "../../compiler/npy.ts";
import { tensorOf } from "../../ir/tensor.ts";
import { noise } from "../support/noise.ts";
import { zip } from "../support/zip.ts";
import { small, writeModel } from "./models.ts";
import { document, type Failed, sparsec, workFolder } from "./sparsec.ts";

const at = workFolder();
const images = writeNpy(noise([6, 16, 8, 8], 1));
const labels = writeNpy(tensorOf("i64", [6], [0, 1, 2, 3, 4, 5]));
beforeAll(async () => {
  await writeModel(at("small.onnx"), small);
  await mkdir(at("samples"));
  await writeFile(at("samples/image.npy"), images);
  await writeFile(at("labelled.npz"), zip({ "image.npy": images, "labels.npy": labels }, true));
  await mkdir(at("empty"));
  await writeFile(at("empty.npz"), zip({}));
  await writeFile(at("wrong.npz"), zip({ "image.npy": labels }));
});

interface Quantized {
  readonly quantization: QuantizationReport;
  readonly notes: readonly { readonly pass?: string; readonly message?: string }[];
}

test("compile quantizes by samples of a folder, and measures accuracy on those of an archive", async () => {
  const args = ["compile", at("small.onnx"), "--quantize", "int8", "--calibrate", at("samples"), "--evaluate", at("labelled.npz")];
  const { quantization } = await document<Quantized>([...args, "--json"]);
  expect(quantization.layers).toMatchObject([{ node: "conv", op: "conv", dtype: "i8", block: "channel" }]);
  expect(quantization.layers[0]!.noise).toBeGreaterThan(30);
  expect(quantization.accuracy).toMatchObject({ samples: 6 });
  const { stdout } = await sparsec(args);
  expect(stdout).toMatch(/quantized int8: 1 of 1 layers/);
  expect(stdout).toMatch(/accuracy \d+\.\d\d % before, \d+\.\d\d % after, of 6 samples/);
});

test("explain shows what each layer became, of an artifact too", async () => {
  const folder = at("explained.sparsec");
  await document(["compile", at("small.onnx"), "-o", folder, "--quantize", "int8-weights", "--calibrate", at("samples")]);
  const { quantization } = await document<Quantized>(["explain", folder]);
  expect(quantization.layers).toMatchObject([{ node: "conv", dtype: "i8", block: "channel" }]);
  expect((await sparsec(["explain", folder])).stdout).toMatch(/conv +conv +16x16x3x3 +i8 +symmetric +channel +\d\d\.\d +\d\d\.\d/);
});

test("quantize writes an ONNX file, which compiles", async () => {
  const file = at("small.int4.onnx");
  const args = ["quantize", at("small.onnx"), "--scheme", "int4", "--calibrate", at("samples")];
  const written = await document<Quantized & { readonly file: string; readonly bytes: number }>(args);
  expect(written.file).toBe(file);
  expect(written.quantization.scheme?.name).toBe("int4");
  expect((await readFile(file)).length).toBe(written.bytes);
  expect((await sparsec(["run", file, "--random", "1"])).code).toBe(0);
  expect((await sparsec(["explain", file])).stdout).toMatch(
    /came quantized: 1 weights, 1 activations\n.*\n +conv +conv +16x16x3x3 +i8 +symmetric +tensor\n/,
  );
  const again = await sparsec(["quantize", file, "--scheme", "int8", "--json"]);
  expect((JSON.parse(again.stdout) as Failed).error.code).toBe("already-quantized");
});

test.each([
  [["--quantize", "int3"], 2, "usage"],
  [["--quantize", "int4", "--block", "48"], 2, "usage"],
  [["--calibrate", "samples"], 2, "usage"],
  [["--quantize", "int8", "--max-loss", "some"], 2, "usage"],
  [["--quantize", "int8", "--correct"], 1, "no-samples"],
  [["--quantize", "int8", "--calibrate", "nowhere.npz"], 1, "unreadable"],
  [["--quantize", "int8", "--calibrate", "small.onnx"], 1, "unreadable"],
  [["--quantize", "int8", "--calibrate", "wrong.npz"], 1, "bad-samples"],
  [["--quantize", "int8", "--calibrate", "empty"], 1, "bad-samples"],
  [["--quantize", "int8", "--calibrate", "empty.npz"], 1, "bad-samples"],
  [["--block", "32"], 2, "usage"],
  [["--quantize", "int8", "--evaluate", "samples"], 1, "no-labels"],
])("%j is an error", async (flags, code, name) => {
  const paths = flags.map((f, i) => (i > 0 && /calibrate|evaluate/.test(flags[i - 1]!) ? at(f) : f));
  const failed = await sparsec(["compile", at("small.onnx"), ...paths, "--json"]);
  expect(failed.code).toBe(code);
  const { error } = JSON.parse(failed.stdout) as Failed;
  expect(error.code).toBe(name);
  if (name === "bad-samples" || name === "no-labels") expect(error.message).toContain(paths.at(-1));
});
