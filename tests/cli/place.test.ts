// `--place`: models in parts as the command line makes, explains and runs them.

import { writeFile } from "node:fs/promises";
import { beforeAll, expect, test } from "vitest";
import type { PartReport } from "../../compiler/report.ts";
import { multiplier } from "../support/placement.ts";
import { small, writeModel } from "./models.ts";
import { document, type Failed, sparsec, workFolder } from "./sparsec.ts";

const at = workFolder();
beforeAll(async () => {
  await writeModel(at("small.onnx"), small);
  await writeFile(at("costs.json"), JSON.stringify(multiplier));
  const { code, stderr } = await sparsec(["compile", at("small.onnx"), "--place", "auto", "--cost", at("costs.json"), "--backend", "wasm"]);
  if (code !== 0) throw new Error(stderr);
});

interface Explained {
  readonly parts: readonly PartReport[];
  readonly variants: readonly { readonly backend: string }[];
}

test("explain tells where each region is, what it takes there and elsewhere, and why: of an artifact as of its model", async () => {
  const stored = await document<Explained>(["explain", at("small.sparsec")]);
  const [conv, rest] = stored.parts as [PartReport, PartReport];
  expect(stored.parts).toHaveLength(2);
  expect(conv).toMatchObject({ backend: "webgpu", nodes: expect.arrayContaining(["conv"]), bytesIn: 4096, bytesOut: 4096 });
  expect(conv.why).toBe("faster than on wasm");
  expect(conv.predicted!["webgpu"]).toBeLessThan(conv.predicted!["wasm"]!);
  expect(rest).toMatchObject({ backend: "wasm", bytesIn: 4096, why: "faster than on webgpu" });
  expect(conv.variants.map((v) => v.nodes[0]!.backend)).toEqual(["webgpu"]);
  const fresh = await document<Explained>(["explain", at("small.onnx"), "--place", "auto", "--cost", at("costs.json")]);
  expect(fresh.parts).toEqual(stored.parts);
  expect(fresh.variants).toEqual([]);
  const whole = await document<{ backend: string }>(["explain", at("small.sparsec"), "--device", "wasm"]);
  expect(whole.backend).toBe("wasm");

  const { stdout } = await sparsec(["explain", at("small.sparsec")]);
  expect(stdout).toMatch(/^region +backend +nodes +us on wasm +us on webgpu +bytes in +bytes out$/m);
  expect(stdout).toMatch(/^1 +webgpu +\d+ +relu \.\. conv +[\d.]+ +[\d.]+ +4\.0 KB +4\.0 KB\n {4}faster than on wasm$/m);
  expect(stdout).toMatch(/^region 2, on wasm$/m);
  for (const line of stdout.split("\n")) expect(line.length).toBeLessThanOrEqual(100);
});

test("one region is told of before the kernels of the model", async () => {
  const { stdout } = await sparsec(["explain", at("small.onnx"), "--place", "wasm"]);
  expect(stdout).toMatch(/^1 +wasm .*\n {4}asked for\n\nnode +op /m);
});

test("compile lists the parts' programs; run says what ran", async () => {
  const args = ["compile", at("small.onnx"), "--place", "auto", "--cost", at("costs.json"), "-o", at("parts.sparsec")];
  const { stdout } = await sparsec(args);
  expect(stdout).toMatch(/^ {2}part 1, webgpu:base +\d+ /m);
  expect(stdout).toMatch(/^ {2}part 2, wasm:baseline +\d+ /m);
  // The whole model stands beside its parts, and there may be no GPU here.
  const whole = await document<{ device: { backend: string; variant: string } }>([
    "run",
    at("small.sparsec"),
    "--random",
    "1",
    "--device",
    "wasm",
  ]);
  expect(whole.device.backend).toBe("wasm");
  const { error } = await document<Failed>(["run", at("parts.sparsec"), "--random", "1", "--device", "wasm"], 2);
  expect(error).toMatchObject({ code: "unknown-device", message: expect.stringContaining("its parts, for webgpu and wasm") });
});

test("opt prints the regions", async () => {
  const { stdout } = await sparsec(["opt", at("small.onnx"), "--cost", at("costs.json"), "--pass", "expand", "--pass", "place"]);
  expect(stdout.match(/= place\(/g)).toHaveLength(2);
  const whole = await sparsec(["opt", at("small.onnx"), "--place", "webgpu"]);
  expect(whole.stdout.match(/= place\(/g)).toHaveLength(1);
  expect(whole.stdout).toContain('on: "webgpu"');
});

test("what cannot be is wrong usage", async () => {
  expect((await document<Failed>(["compile", at("small.onnx"), "--place", "tpu"], 2)).error.code).toBe("usage");
  const trace = ["explain", at("small.onnx"), "--place", "auto", "--profile", at("trace.json")];
  expect((await document<Failed>(trace, 2)).error.code).toBe("usage");
  expect((await document<Failed>(["bench", at("parts.sparsec"), "--device", "wasm"], 2)).error.code).toBe("unknown-device");
});
