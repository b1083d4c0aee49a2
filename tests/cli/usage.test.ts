// The command line itself: help, version, wrong usage, and how it ends.

import { writeFile } from "node:fs/promises";
import { beforeAll, expect, test } from "vitest";
import { webgpuSkipped } from "../support/webgpu.ts";
import { small, writeModel } from "./models.ts";
import { document, type Failed, sparsec, workFolder } from "./sparsec.ts";

const at = workFolder();
beforeAll(() => writeModel(at("small.onnx"), small));

test("--help lists the commands, plain where nobody sees colours", async () => {
  const { code, stdout, stderr } = await sparsec(["--help"]);
  expect(code).toBe(0);
  for (const name of ["compile", "run", "explain", "bench", "opt", "diff", "calibrate", "doctor"])
    expect(stdout).toMatch(new RegExp(`^ +${name} `, "m"));
  expect(stdout).toContain("Exit codes: 0 done, 1 the input or model is at fault, 2 wrong usage, 3 an internal error.");
  expect(stdout).not.toContain("\u001b[");
  expect(stderr).toBe("");
});

test("each command's --help names its flags and shows examples", async () => {
  const { code, stdout } = await sparsec(["compile", "--help"]);
  expect(code).toBe(0);
  for (const flag of ["--out", "--backend", "--dim", "--input-shape", "--const", "--sparsity", "--config", "--no-external", "--json"])
    expect(stdout).toContain(flag);
  expect(stdout).toContain("sparsec compile model.onnx");
  expect((await sparsec(["help", "run"])).stdout).toContain("--random");
});

test("--version prints the package's version", async () => {
  expect((await sparsec(["--version"])).stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
});

test.each([
  ["no command", [], "no command was given"],
  ["an unknown command", ["frobnicate"], "there is no command 'frobnicate'"],
  ["an unknown flag", ["compile", "x.onnx", "--fast"], "Unknown option '--fast'"],
  ["no model", ["compile"], "no model was given"],
  ["two models", ["compile", "a.onnx", "b.onnx"], "'b.onnx' is one argument too many"],
  ["a flag given twice", ["compile", "a.onnx", "-o", "x", "-o", "y"], "--out was given 2 times"],
  ["a value that is no choice", ["compile", "a.onnx", "--sparsity", "some"], "--sparsity is 'some'"],
  ["a dimension without a value", ["compile", "a.onnx", "--dim", "batch"], "--dim is 'batch', and name=value is expected"],
  ["a dimension that is no integer", ["compile", "a.onnx", "--dim", "batch=1.5"], "--dim is '1.5'"],
  ["a range without --random", ["run", "MODEL", "--range", "image=0:1"], "--range is given without --random"],
  ["an unknown backend", ["compile", "MODEL", "--backend", "cuda"], "there is no backend 'cuda'"],
  ["an unknown pass", ["opt", "MODEL", "--pass", "magic"], "no pass named 'magic'"],
  ["one device to compare", ["diff", "MODEL", "--random", "1", "--devices", "js"], "two or more different ones are expected"],
])("wrong usage: %s", async (_, args, message) => {
  const given = args.map((a) => (a === "MODEL" ? at("small.onnx") : a));
  const { code, stdout, stderr } = await sparsec(given);
  expect(code).toBe(2);
  expect(stderr).toContain(message);
  expect(stdout).toBe("");
});

test("errors are one JSON document with --json", async () => {
  const wrong = await document<Failed>(["compile", "x.onnx", "--fast"], 2);
  expect(wrong.error.code).toBe("usage");
  expect(wrong.error.hint).toContain("--backend");
  const missing = await document<Failed>(["compile", at("none.onnx")], 1);
  expect(missing.error).toMatchObject({ code: "unreadable", hint: null });
  expect(missing.error.message).toContain("none.onnx");
  expect(missing.error.message).not.toContain("[unreadable]");
});

test("a file that is no model is an error of the input", async () => {
  await writeFile(at("garbage.onnx"), "this is no model");
  const { code, stderr } = await sparsec(["explain", at("garbage.onnx")]);
  expect(code).toBe(1);
  expect(stderr).toMatch(/^error: .*garbage\.onnx.*\[[a-z-]+\]/m);
});

test("an internal error says what to attach", async () => {
  // A plugin's mistake looks like one of ours.
  await writeFile(
    at("broken.config.mjs"),
    `export default { passes: () => [{ name: "broken", run() { throw new TypeError("out of luck"); } }] };`,
  );
  const args = ["explain", at("small.onnx"), "--config", at("broken.config.mjs")];
  const { code, stderr } = await sparsec(args);
  expect(code).toBe(3);
  for (const text of [
    "internal error: out of luck",
    "please report it",
    "version: sparsec ",
    "node: v",
    "platform: ",
    "command: sparsec explain",
    "stack: TypeError",
  ])
    expect(stderr).toContain(text);
  const { error } = await document<Failed & { readonly error: { readonly attach: Readonly<Record<string, string>> } }>(args, 3);
  expect(error).toMatchObject({ code: "internal", message: "out of luck" });
  expect(Object.keys(error.attach)).toEqual(["version", "node", "platform", "command", "stack"]);
});

test("SPARSEC_DEBUG tells of passes on stderr, and nothing on stdout", async () => {
  const { stdout, stderr } = await sparsec(["opt", at("small.onnx"), "--pass", "fuse"], { env: { SPARSEC_DEBUG: "1" } });
  expect(stderr).toMatch(/^fuse +\d+\.\d ms +\d+ -> \d+ nodes/m);
  expect(stdout).toMatch(/^graph @small/);
});

test("doctor tells what this machine can run", async () => {
  const { ok, checks } = await document<{ ok: boolean; checks: { name: string; ok: boolean; found: string; hint: string | null }[] }>([
    "doctor",
  ]);
  expect(ok).toBe(true);
  expect(checks.map((c) => c.name)).toEqual([
    "node",
    "wasm",
    "simd",
    "relaxed-simd",
    "threads",
    "webgpu",
    "binaryen",
    "ts-morph",
    "typescript-config",
  ]);
  for (const c of checks) expect(c.ok).toBe(c.hint === null);
  const { ok: has, found } = checks.find((c) => c.name === "webgpu")!;
  if (webgpuSkipped() === undefined) expect(has).toBe(true);
  expect(found).toMatch(has ? /^an adapter with(out)? shader-f16\b/ : /^no$/);
  expect((await sparsec(["doctor"])).stdout).toContain("everything that is needed is here");
});
