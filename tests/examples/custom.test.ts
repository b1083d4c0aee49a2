// The examples of passes, operators and backends of one's own, through the built package and its command line.

import { execFileSync } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { writeNpy } from "../../compiler/npy.ts";
import { tensorOf } from "../../ir/tensor.ts";
import { document, sparsec, workFolder } from "../cli/sparsec.ts";
import { projectRoot } from "../support/shared.ts";

const at = workFolder();
const example = (path: string): string => join(projectRoot, "examples", path);

test("custom-pass: opt finds the pass through the config of the working folder", async () => {
  const { code, stdout } = await sparsec(["opt", "reciprocal.ir", "--pass", "reciprocal"], { cwd: example("custom-pass") });
  expect(code).toBe(0);
  expect(stdout).toContain("mul(%x, %0) : f32[2,3]");
  expect(stdout).not.toMatch(/div\(%x/);
});

test("custom-op: a model with the operator compiles, runs, and agrees with the reference on every backend", async () => {
  execFileSync(process.execPath, [example("custom-op/make-model.mjs"), at("snake.onnx")]);
  await writeFile(at("x.npy"), writeNpy(tensorOf("f32", [1, 4], [1, 2, -1, 0.5])));
  const args = [at("snake.onnx"), "--config", example("custom-op/sparsec.config.ts"), "--input", `x=${at("x.npy")}`];
  const { outputs } = await document<{ outputs: { data: number[] }[] }>(["run", ...args]);
  const hidden = [1 - 0.5 + 0.5, -2 + 0.5, 2 + 0.5];
  hidden.forEach((h, k) => expect(outputs[0]!.data[k]).toBeCloseTo(h + Math.sin(0.5 * h) ** 2 / 0.5, 5));
  expect(await document<{ equal: boolean }>(["diff", ...args])).toMatchObject({ equal: true });
});

test("custom-backend: the digits run on it, and agree with the reference", async () => {
  const args = [example("digits/digits.onnx"), "--config", example("custom-backend/sparsec.config.ts"), "--random", "1"];
  const { device } = await document<{ device: { backend: string } }>(["run", ...args]);
  expect(device.backend).toBe("dataview");
  expect(await document<{ equal: boolean }>(["diff", ...args, "--devices", "dataview,reference"])).toMatchObject({ equal: true });
});
