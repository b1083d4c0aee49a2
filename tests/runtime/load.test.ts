// load(): every kind of source, the choice of a variant, and what is wrong with artifacts that do not load.

import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, afterEach, beforeAll, expect, test, vi } from "vitest";
import { type ArtifactSource, type LoadOptions, load, SparsecError } from "../../runtime/index.ts";
import { forged, toyArtifact, toyExecutor, toyVariant, toyWeights } from "./toy.ts";

const inputs = { x: Float32Array.of(1, 0, 2, 3), flag: Uint8Array.of(0) };
const executors = [toyExecutor()];
const numbers = async (source: ArtifactSource, options: LoadOptions = {}): Promise<unknown> => {
  using model = await load(source, { executors, ...options });
  return (await model.run(inputs)).y!.data;
};
const failure = (source: unknown, options: LoadOptions = {}): Promise<SparsecError> =>
  load(source as ArtifactSource, { executors, ...options }).then(
    () => expect.fail("expected a failure"),
    (thrown) => {
      expect(thrown).toBeInstanceOf(SparsecError);
      return thrown;
    },
  );

let root: string;
let folder: string;
let server: Server;
let origin: string;
const served: string[] = [];

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "sparsec-load-"));
  folder = join(root, "my model.sparsec");
  await toyArtifact().write(folder);
  server = createServer(async (request, response) => {
    served.push(request.url!);
    const name = new URL(request.url!, "http://local").pathname.split("/").at(-1)!;
    if (request.url!.startsWith("/page/")) return response.end("<!doctype html>");
    if (request.url!.startsWith("/endless/") && name === "weights.bin") {
      const pump = (): void => {
        response.write(new Uint8Array(4096));
        if (!response.destroyed) setTimeout(pump);
      };
      return pump();
    }
    try {
      response.end(await readFile(join(folder, name)));
    } catch {
      response.statusCode = 404;
      response.end();
    }
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  origin = `http://127.0.0.1:${(server.address() as { port: number }).port}`;
});
afterAll(async () => {
  server.closeAllConnections();
  server.close();
  await rm(root, { recursive: true });
});
afterEach(() => vi.unstubAllEnvs());

const expected = Float32Array.of(7, 0, 13);

test("sources: paths, URLs, memory", async () => {
  expect(await numbers(folder)).toEqual(expected);
  expect(await numbers(`${folder}/`)).toEqual(expected);
  expect(await numbers(relative(process.cwd(), folder))).toEqual(expected);
  expect(await numbers(join(folder, "manifest.json"))).toEqual(expected);
  expect(await numbers(pathToFileURL(folder))).toEqual(expected);
  expect(await numbers(pathToFileURL(folder).href)).toEqual(expected);
  expect(await numbers(`${origin}/a`)).toEqual(expected);
  expect(await numbers(new URL(`${origin}/a/manifest.json?v=2`))).toEqual(expected);
  expect(served.slice(-3).sort()).toEqual(["/a/manifest.json?v=2", "/a/toy.txt?v=2", "/a/weights.bin?v=2"]);
  const artifact = toyArtifact();
  expect(await numbers(artifact)).toEqual(expected);
  const files = Object.fromEntries([...artifact.files].map(([name, bytes]) => [name, bytes.slice().buffer]));
  expect(await numbers({ manifest: JSON.parse(artifact.json), files })).toEqual(expected);
  const urls = Object.fromEntries(["manifest.json", "toy.txt", "weights.bin"].map((name) => [name, new URL(name, `${origin}/b/`)]));
  expect(await numbers({ urls })).toEqual(expected);
});

test("weights that lie unaligned in a larger buffer", async () => {
  const { manifest, files } = toyArtifact();
  const shifted = new Uint8Array(100);
  shifted.set(toyWeights(), 3);
  expect(await numbers({ manifest, files: new Map([...files, ["weights.bin", shifted.subarray(3, 75)]]) })).toEqual(expected);
});

test("only the files of the variant taken are read", async () => {
  const artifact = toyArtifact(
    [toyVariant, { ...toyVariant, name: "other", code: "other.txt" }],
    new Map([["other.txt", new Uint8Array(9)]]),
  );
  const read = vi.spyOn(artifact.files as Map<string, Uint8Array>, "get");
  await load(artifact, { executors });
  expect(read.mock.calls.flat().sort()).toEqual(["toy.txt", "weights.bin"]);
});

test.each<[string, () => unknown, string, RegExp]>([
  [
    "no folder",
    () => join(root, "none"),
    "unreadable",
    /none\/manifest\.json: cannot be read: ENOENT.*\n {2}hint: `sparsec compile model.onnx`/,
  ],
  ["a file", () => join(folder, "toy.txt"), "unreadable", /toy\.txt\/manifest\.json: cannot be read: ENOTDIR/],
  ["HTTP 404", () => ({ urls: { "manifest.json": `${origin}/none.json` } }), "unreadable", /cannot be read: HTTP 404 Not Found/],
  ["no server", () => "http://127.0.0.1:1/a", "unreadable", /cannot be read: fetch failed/],
  ["a page", () => `${origin}/page/`, "not-an-artifact", /no JSON; it begins with "<!doctype html>"/],
  ["no source", () => undefined, "bad-source", /takes a path, a URL or an artifact in memory, not undefined/],
  ["another object", () => ({ manifest: {} }), "bad-source", /not an object/],
  ["an answer without end", () => `${origin}/endless/`, "corrupt", /weights\.bin: more than the 72 bytes expected/],
  ["a manifest that is none", () => ({ manifest: [], files: new Map() }), "not-an-artifact", /no object with a format, but an array of 0/],
  ["another format", () => ({ manifest: { format: "onnx" }, files: {} }), "not-an-artifact", /format is "onnx", not "sparsec"/],
  [
    "another version",
    () => ({ manifest: { format: "sparsec", version: 2 }, files: {} }),
    "unsupported-version",
    /version 2, but this runtime reads version 1/,
  ],
  ["a missing file", () => ({ manifest: toyArtifact().manifest, files: {} }), "unreadable", /toy\.txt: cannot be read: it is not among/],
  [
    "a file without URL",
    () => ({ urls: { "manifest.json": `${origin}/a/manifest.json` } }),
    "unreadable",
    /toy\.txt: cannot be read: no URL was given/,
  ],
  [
    "a file of another kind",
    () => ({ manifest: toyArtifact().manifest, files: { "toy.txt": "toy", "weights.bin": toyWeights() } }),
    "unreadable",
    /expected a Uint8Array, found "toy"/,
  ],
])("refused: %s", async (_, source, code, message) => {
  const error = await failure(source());
  expect(error.message).toMatch(message);
  expect(error.code).toBe(code);
});

test("a file that changed or was cut short is refused, unless verification is off", async () => {
  const broken = join(root, "broken.sparsec");
  await toyArtifact().write(broken);
  const weights = toyWeights();
  weights[3]! ^= 1;
  await writeFile(join(broken, "weights.bin"), weights);
  const error = await failure(broken);
  expect(error.message).toMatch(/^weights\.bin: SHA-256 [0-9a-f]{64}; expected [0-9a-f]{64} \[corrupt\]\n {2}hint: the file was changed/);
  expect(await numbers(broken, { verify: false })).not.toEqual(expected);
  await writeFile(join(broken, "weights.bin"), weights.subarray(1));
  expect((await failure(broken, { verify: false })).message).toMatch(/weights\.bin: 71 bytes; expected 72/);
  await writeFile(join(broken, "weights.bin"), new Uint8Array(73));
  expect((await failure(broken, { verify: false })).message).toMatch(/weights\.bin: 73 bytes; expected at most 72/);
  await rm(join(broken, "weights.bin"));
  await mkdir(join(broken, "weights.bin"));
  expect((await failure(broken)).message).toMatch(/cannot be read: it is no regular file/);
});

test("index streams are checked even where hashes are right", async () => {
  const { manifest, files } = toyArtifact();
  const forge = (offset: number, value: number): unknown => {
    const weights = toyWeights();
    new DataView(weights.buffer).setUint16(offset, value, true);
    return forged(structuredClone(manifest), new Map([...files, ["weights.bin", weights]]));
  };
  const executor = toyExecutor();
  expect((await failure(forge(36, 4), { executors: [executor] })).reason).toBe("index 4 at byte 36; expected less than 4");
  expect((await failure(forge(50, 1), { executors: [executor] })).reason).toBe("row lengths from byte 48 sum to 6; expected 5");
  expect(executor.alive()).toBe(0);
});

const variants = [
  { ...toyVariant, backend: "late", name: "only" },
  { ...toyVariant, name: "wide", needs: ["wide vectors"] },
  toyVariant,
  { ...toyVariant, backend: "js", name: "plain" },
  { ...toyVariant, backend: "wasm", name: "broken", code: "broken.txt" },
];
const many = () => toyArtifact(variants, new Map([["broken.txt", new Uint8Array(1)]]));
const as = (backend: string) => ({ ...toyExecutor(), backend });
const all = [as("wasm"), as("js"), as("late"), as("toy")];

test("auto prefers wasm, then js, then the rest, and says what was skipped and why", async () => {
  const model = await load(many(), { executors: all });
  expect(model.info()).toMatchObject({
    backend: "js",
    why: "the device is 'auto' (for latency: wasm, js, then others), and the variants before it do not run here",
  });
  expect(model.info().skipped).toEqual([{ variant: "wasm:broken", reason: "this is no toy" }]);
});

test("a device is a backend or one variant, from the option or SPARSEC_DEVICE", async () => {
  expect((await load(many(), { executors: all, device: "toy" })).info()).toMatchObject({
    variant: "plain",
    why: "the device asked for is 'toy', and the variants before it do not run here",
    skipped: [{ variant: "toy:wide", reason: "it needs wide vectors" }],
  });
  vi.stubEnv("SPARSEC_DEVICE", "late:only");
  expect((await load(many(), { executors: all })).info()).toMatchObject({
    backend: "late",
    why: "SPARSEC_DEVICE is 'late:only', and it comes first",
  });
  expect((await load(many(), { executors: all, device: "auto" })).info().backend).toBe("js");
});

test("a device that is not there, or does not run, is an error with the reasons", async () => {
  const unknown = await failure(many(), { executors: all, device: "webgpu" });
  expect(unknown.message).toBe(
    "artifact: no variant for device 'webgpu'; the artifact holds late:only, toy:wide, toy:plain, js:plain, wasm:broken [unknown-device]",
  );
  const none = await failure(toyArtifact([variants[1]!, variants[0]!]));
  expect(none.message).toBe(
    "artifact: nothing in the artifact runs here on device 'auto':\n  toy:wide: it needs wide vectors\n  late:only: no executor for backend 'late' was given [no-variant]" +
      "\n  hint: compile with `--backend wasm,js` to have a variant that runs anywhere",
  );
  expect((await failure(toyArtifact(), { device: 3 as never })).code).toBe("bad-option");
});

test("code compiled beforehand is handed to the executor instead of bytes", async () => {
  const code: unknown[] = [];
  const executor = toyExecutor();
  const spy = {
    ...executor,
    instantiate: async (given: object, v: never) => {
      code.push(given);
      return executor.instantiate({ bytes: new TextEncoder().encode("toy") }, v);
    },
  };
  const artifact = toyArtifact();
  const files = { "weights.bin": artifact.files.get("weights.bin")! };
  await load({ manifest: artifact.manifest, files }, { executors: [spy], modules: { "toy.txt": "compiled" } });
  await load(folder, { executors: [spy] });
  expect(code).toEqual([
    { module: "compiled" },
    { bytes: new Uint8Array(Buffer.from("toy")), url: new URL("toy.txt", pathToFileURL(`${folder}/`)) },
  ]);
});

test("an executor whose memory is too small is not trusted", async () => {
  const executor = toyExecutor();
  const small = {
    ...executor,
    instantiate: async () => ({ buffer: new ArrayBuffer(128), weights: 64, arena: 128, run: () => -1, dispose: () => {} }),
  };
  expect((await failure(toyArtifact(), { executors: [small] })).reason).toMatch(
    /toy:plain: the executor's memory does not hold the weights and the arena/,
  );
});
