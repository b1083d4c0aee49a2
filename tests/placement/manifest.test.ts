// What a manifest may say of parts: each broken one is refused with its place in it and the reason.

import { expect, test } from "vitest";
import { wasm, webgpu } from "../../backends/index.ts";
import { compileGraph } from "../../compiler/compile.ts";
import { load, SparsecError } from "../../runtime/index.ts";
import { parseManifest } from "../../runtime/manifest.ts";
import { forged } from "../runtime/toy.ts";
import { mutateJson, random } from "../support/mutate-json.ts";
import { ideal } from "../support/placement.ts";
import { mixed, mixedInputs, mixedOutputs } from "./graphs.ts";

const { artifact } = await compileGraph(mixed, mixedOutputs, { backends: [], place: [wasm, webgpu], pipeline: [], cost: ideal });
const { json } = artifact;

/** The manifest with the value at a path replaced; `undefined` deletes it. */
const changed = (path: string, value: unknown): unknown => {
  const manifest = JSON.parse(json);
  const keys = path.split(".");
  const parent = keys.slice(0, -1).reduce((node, key) => node[key], manifest);
  if (value === undefined) delete parent[keys.at(-1)!];
  else parent[keys.at(-1)!] = value;
  return manifest;
};
const part = (k: number) => JSON.parse(json).parts[k];

test("a good manifest comes back the same", () => {
  expect(JSON.parse(JSON.stringify(parseManifest(JSON.parse(json), "m")))).toEqual(JSON.parse(json));
});

test.each<[string, unknown, string]>([
  ["parts", undefined, "m (variants): expected at least one variant"],
  ["parts", [], "m (variants): expected at least one variant"],
  ["parts", {}, "m (parts): expected a list of at most 1024, found an object"],
  ["parts.0", null, "m (parts[0]): expected an object, found null"],
  ["parts.0.variants", [], "m (parts[0].variants): expected at least one variant"],
  ["parts.0.variants", [part(0).variants[0], part(0).variants[0]], `m (parts[0].variants[1]): the name "webgpu:base" is taken`],
  ["parts.1.variants.0.backend", "js", "m (parts[1].variants): expected one backend"],
  ["parts.1.variants.0.code", "none", `m (parts[1].variants[0].code): no file "none" among the artifact's files`],
  ["parts.1.variants.0.arena", 0, "of arena, which has 0"],
  ["parts.0.inputs", [], "m (parts[0].variants[0].inputs): 2 slots for 0 ports"],
  ["parts.0.inputs.0.name", "z", `m (parts[0].inputs[0]): nothing before it is named "z"`],
  ["parts.0.inputs.0.name", "b", `m (parts[0].inputs[0]): nothing before it is named "b"`],
  ["parts.0.inputs.0.name", "y", `m (parts[0].inputs[1]): the name "y" is taken`],
  ["parts.0.inputs.0.name", "unused", "m (parts[0].inputs[0]): is f32 [8, 8]; expected f32 [2] as it was before"],
  ["parts.1.inputs.0.dtype", "i32", "m (parts[1].inputs[0]): is i32 [8, 8]; expected f32 [8, 8] as it was before"],
  ["parts.1.outputs.0.name", "b", `m (parts[1].outputs[0]): the name "b" is taken`],
  ["parts.0.outputs.1.name", "other", `m (parts[1].inputs[0]): nothing before it is named "b"`],
  ["parts.2.outputs.0.name", "other", `m (outputs[0]): nothing before it is named "f"`],
  ["outputs.0.dtype", "u32", "m (outputs[0]): is u32 [8, 8]; expected f32 [8, 8] as it was before"],
  [
    "parts.1.variants.1.outputs.0.extents.0",
    { max: 8, at: 0 },
    "m (parts[1].variants[1].outputs): the extents of a part's outputs must be",
  ],
])("%s", (path, value, message) => {
  expect(() => parseManifest(changed(path, value), "m")).toThrow(message);
  expect(() => parseManifest(changed(path, value), "m")).toThrow("[bad-manifest]");
});

test("200 mutations end in a coded error or a run", { timeout: 60_000 }, async () => {
  const next = random(7);
  const { executor, alive } = await hosted();
  const outcomes = new Set<string>();
  for (let n = 0; n < 200; n++) {
    const manifest: unknown = JSON.parse(json);
    if (next(5)) mutateJson(manifest, next);
    const files = new Map([...artifact.files].map(([name, bytes]) => [name, bytes.slice()]));
    try {
      using model = await load(forged(manifest, files) as never, { executors: [executor] });
      await model.run(mixedInputs);
      outcomes.add("run");
    } catch (thrown) {
      if (!(thrown instanceof SparsecError)) throw new Error(`mutation ${n}: ${thrown}`, { cause: thrown });
      outcomes.add(thrown.code);
    }
    expect(alive()).toBe(0);
  }
  expect([...outcomes]).toEqual(expect.arrayContaining(["run", "bad-manifest"]));
});

/** Stands for a device: memory that its programs leave as it is. */
async function hosted() {
  let alive = 0;
  const executor = {
    backend: "webgpu",
    unsupported: () => undefined,
    async instantiate(_: unknown, variant: { readonly weights: number; readonly arena: number }) {
      alive++;
      const arena = 1024 + Math.ceil(variant.weights / 64) * 64;
      return { buffer: new ArrayBuffer(arena + variant.arena), weights: 1024, arena, run: () => -1, dispose: () => void alive-- };
    },
  };
  return { executor, alive: () => alive };
}
