// Artifacts in memory and in folders: the same bytes each time, safely written, packed weights, and a typed module.

import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ModuleKind, ModuleResolutionKind, Project, ScriptTarget } from "ts-morph";
import { afterAll, beforeAll, expect, test } from "vitest";
import { createArtifact } from "../../compiler/artifact.ts";
import { emitTypes } from "../../compiler/emit-types.ts";
import { createWeightsWriter } from "../../compiler/weights-writer.ts";
import type { LoadOptions, Model } from "../../runtime/index.ts";
import { toyArtifact, toyPorts, toyVariant, toyWeights } from "./toy.ts";
import { toyPrograms } from "./toy-code.ts";

let root: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "sparsec-artifact-"));
});
afterAll(() => rm(root, { recursive: true }));

test("the same content gives the same bytes, whatever the order of files and keys", () => {
  const { files, manifest } = toyArtifact([toyVariant], new Map([["a.txt", new Uint8Array(3)]]));
  const reversed = createArtifact({
    ...manifest,
    variants: manifest.variants.map((v) => Object.fromEntries(Object.entries(v).reverse()) as unknown as typeof v),
    files: new Map([...files].reverse()),
  });
  const { json, size } = toyArtifact([toyVariant], new Map([["a.txt", new Uint8Array(3)]]));
  expect(reversed.json).toBe(json);
  expect([...reversed.files.keys()]).toEqual(["a.txt", "toy.txt", "weights.bin"]);
  expect(JSON.parse(json)).toEqual(manifest);
  expect(size).toBe(json.length + 3 + 3 + 72);
});

test.each(["../a", "a/b", "", ".hidden", "manifest.json"])("'%s' is no name for a file", (name) => {
  expect(() => toyArtifact([toyVariant], new Map([[name, new Uint8Array()]]))).toThrow("[bad-file-name]");
});

test("write makes the folder, and replaces the artifact in it", async () => {
  const folder = join(root, "deep", "toy.sparsec");
  await toyArtifact([toyVariant], new Map([["old.txt", new Uint8Array(1)]])).write(folder);
  await writeFile(join(folder, "notes.txt"), "mine");
  const artifact = toyArtifact();
  await artifact.write(folder);
  expect((await readdir(folder)).sort()).toEqual(["manifest.json", "notes.txt", "toy.txt", "weights.bin"]);
  expect(await readFile(join(folder, "manifest.json"), "utf8")).toBe(artifact.json);
  expect(new Uint8Array(await readFile(join(folder, "weights.bin")))).toEqual(toyWeights());
});

test("write refuses what is no artifact, and touches nothing there", async () => {
  const folder = join(root, "photos");
  await mkdir(folder);
  await writeFile(join(folder, "weights.bin"), "mine");
  await expect(toyArtifact().write(folder)).rejects.toThrow("photos: the folder is not empty and holds no artifact [not-an-artifact]");
  await writeFile(join(folder, "manifest.json"), `{"files":{"weights.bin":{}}}`);
  await expect(toyArtifact().write(folder)).rejects.toThrow("[not-an-artifact]");
  expect(await readFile(join(folder, "weights.bin"), "utf8")).toBe("mine");
  await expect(toyArtifact().write(join(folder, "weights.bin"))).rejects.toThrow("[unwritable]");
});

test("a manifest that names files elsewhere does not get them deleted", async () => {
  const folder = join(root, "trap.sparsec");
  await mkdir(folder);
  await writeFile(join(root, "precious"), "mine");
  await writeFile(join(folder, "manifest.json"), `{"format":"sparsec","files":{"../precious":{},"gone":{}}}`);
  await writeFile(join(folder, "gone"), "old");
  await toyArtifact().write(folder);
  expect(await readFile(join(root, "precious"), "utf8")).toBe("mine");
  expect((await readdir(folder)).sort()).toEqual(["manifest.json", "toy.txt", "weights.bin"]);
});

test("weights are aligned, and each content is stored once", () => {
  const writer = createWeightsWriter();
  expect(writer.append(Uint8Array.of(1, 2, 3))).toBe(0);
  expect(writer.append(Float32Array.of(1.5))).toBe(16);
  expect(writer.append(Uint8Array.of(1, 2, 3))).toBe(0);
  expect(writer.append(Uint8Array.of(9, 1, 2, 3).subarray(1))).toBe(0);
  expect(writer.size()).toBe(20);
  const bytes = writer.finish();
  expect([...bytes.subarray(0, 4), bytes.length]).toEqual([1, 2, 3, 0, 20]);
  expect(new Float32Array(bytes.buffer, 16, 1)[0]).toBe(1.5);
});

const evil = "a */ export const x = 1; /* \n\u2028 `$` \"'\\";
const typed = () =>
  emitTypes({
    name: evil,
    inputs: [...toyPorts.inputs, { name: evil, dtype: "i64", shape: [1, 2] }],
    outputs: toyPorts.outputs,
    variant: toyVariant,
    files: ["toy.wasm", "weights.bin"],
  });
const text = async (name: string): Promise<string> => new TextDecoder().decode((await typed()).get(name));

test("model.mjs names every file by a literal URL", async () => {
  const source = await text("model.mjs");
  expect(source).toMatch(
    /^\/\/ The model ".*", compiled by sparsec\. Generated: do not edit\.\n\nimport \{ load as loadArtifact \} from "sparsec\/runtime";/,
  );
  for (const name of ["manifest.json", "toy.wasm", "weights.bin"])
    expect(source).toContain(`"${name}": new URL("./${name}", import.meta.url),`);
});

test("model.mjs loads and runs the artifact that it lies in", async () => {
  const artifact = await toyPrograms();
  const runtime = new URL("../../runtime/index.ts", import.meta.url).href;
  const files = await emitTypes({ ...artifact.manifest, variant: toyVariant, files: [...artifact.files.keys()], runtime });
  const folder = join(root, "typed.sparsec");
  await createArtifact({ ...artifact.manifest, files: new Map([...artifact.files, ...files]) }).write(folder);
  const { load } = (await import(join(folder, "model.mjs"))) as { load: (options: LoadOptions) => Promise<Model> };
  const model = await load({ device: "js" });
  expect(model.info().backend).toBe("js");
  expect((await model.run({ x: Float32Array.of(1, 0, 2, 3), flag: Uint8Array.of(0) })).y!.data).toEqual(Float32Array.of(7, 0, 13));
});

test("model.d.ts types a model by its names, dtypes and shapes", { timeout: 120_000 }, async () => {
  const use = (body: string): string =>
    `import { load } from "./model.mjs";\nconst model = await load({ device: "wasm" });\nconst x = new Float32Array(4), flag = new Uint8Array(1);\nconst ${"rest"} = { ${JSON.stringify(evil)}: new BigInt64Array(2) };\n${body}\nexport {};`;
  const here = new URL("../../", import.meta.url).pathname;
  const project = new Project({
    compilerOptions: {
      strict: true,
      noEmit: true,
      target: ScriptTarget.ES2022,
      lib: ["lib.es2022.d.ts", "lib.esnext.disposable.d.ts", "lib.dom.d.ts"],
      module: ModuleKind.ESNext,
      moduleResolution: ModuleResolutionKind.Bundler,
      allowImportingTsExtensions: true,
      types: ["node"],
      typeRoots: [join(here, "node_modules/@types")],
      skipLibCheck: true,
      paths: { "sparsec/runtime": [join(here, "runtime/index.ts")] },
    },
  });
  project.createSourceFile(join(root, "model.d.mts"), await text("model.d.ts"));
  const messages = (body: string): readonly string[] => {
    const file = project.createSourceFile(join(root, "use.mts"), use(body), { overwrite: true });
    return file.getPreEmitDiagnostics().map((d) => {
      const message = d.getMessageText();
      return typeof message === "string" ? message : message.getMessageText();
    });
  };
  expect(
    messages(`
    const out = await model.run({ x: { data: x, shape: [4] }, flag, ...rest });
    const y: Float32Array = out.y.data; const three: 3 = out.y.shape[0]; const dtype: "i64" = out.nz.dtype;
    const [two, found]: readonly [2, number] = out.nz.shape; const nz: BigInt64Array = out.nz.data;
    void [y, three, dtype, two, found, nz];
    const inX: Float32Array = model.input("x"); const outY: Float32Array = model.output("y"); const outNz: BigInt64Array = model.output("nz");
    await model.run({ x: inX, flag: model.input("flag"), ...rest }); await model.run(); model.invoke(); void [outY, outNz];`),
  ).toEqual([]);
  expect(messages(`model.input("y");`).join()).toMatch(/not assignable to parameter of type/);
  expect(messages(`const x: Float64Array = model.input("x");`).join()).toMatch(/not assignable to type 'Float64Array/);
  expect(messages(`const y: Float64Array = model.output("y");`).join()).toMatch(/not assignable to type 'Float64Array/);
  expect(messages("await model.run({ x, ...rest });").join()).toMatch(/not assignable to parameter of type 'OnDevice<ModelInputs>'/);
  expect(messages("await model.run({ x: new Float64Array(4), flag, ...rest });").join()).toMatch(/Float64Array.* is not assignable/);
  expect(messages("await model.run({ x: { data: x, shape: [5] }, flag, ...rest });").join()).toMatch(/'5' is not assignable to type '4'/);
  expect(messages("(await model.run({ x, flag, ...rest })).z;").join()).toMatch(/Property 'z' does not exist on type 'ModelOutputs'/);
});
