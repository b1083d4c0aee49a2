// Models in parts: what the compiler makes of regions, and that they run like the whole.

import { expect, test } from "vitest";
import { js, wasm, webgpu } from "../../backends/index.ts";
import type { Backend } from "../../compiler/backend.ts";
import { type CompileGraphOptions, compileGraph } from "../../compiler/compile.ts";
import { standardOps } from "../../ir/ops/index.ts";
import { parse } from "../../ir/parse.ts";
import { defaultExecutors, load, type Model, type Outputs } from "../../runtime/index.ts";
import { ideal, multiplier } from "../support/placement.ts";
import { webgpuSkipped } from "../support/webgpu.ts";
import { mixed, mixedInputs, mixedOutputs } from "./graphs.ts";

const skipped = webgpuSkipped() !== undefined;
const compile = (options: Partial<CompileGraphOptions>) =>
  compileGraph(mixed, mixedOutputs, { backends: [], pipeline: [], cost: ideal, ...options });

/** Another backend's code under the name of webgpu: all that a device may not do, a host does. */
const standIn: Backend = {
  ...js,
  name: "webgpu",
  variants: js.variants.map((v) => ({ ...v, name: "base", can: { ...v.can, f64: false } })),
};
const executor = defaultExecutors.find((e) => e.backend === "js")!;
const executors = [{ ...executor, backend: "webgpu" }];

const whole = async (): Promise<Outputs> => {
  using model = await load((await compile({ backends: [wasm] })).artifact);
  return model.run(mixedInputs);
};

const near = (found: Outputs, expected: Outputs): void => {
  expect(Object.keys(found)).toEqual(Object.keys(expected));
  for (const [name, { data, dtype, shape }] of Object.entries(expected)) {
    expect({ dtype: found[name]!.dtype, shape: found[name]!.shape }).toEqual({ dtype, shape });
    data.forEach((x, i) => expect(Number(found[name]!.data[i])).toBeCloseTo(Number(x), 5));
  }
};

test("each region becomes a part: its own code, one file of weights, names that are no one else's", async () => {
  const { artifact, report } = await compile({ place: [wasm, webgpu] });
  const { parts, variants, files } = artifact.manifest;
  expect(variants).toEqual([]);
  expect(parts!.map((p) => p.variants.map((v) => `${v.backend}:${v.name} ${v.code}`))).toEqual([
    ["webgpu:base part1.model.wgsl"],
    ["wasm:relaxed part2.model.relaxed.wasm", "wasm:baseline part2.model.wasm"],
    ["webgpu:base part3.model.wgsl"],
  ]);
  expect(parts!.map((p) => [p.inputs.map((i) => i.name), p.outputs.map((o) => o.name)])).toEqual([
    [
      ["x", "y"],
      ["y", "b"],
    ],
    [["b"], ["value0"]],
    [
      ["value0", "y", "x"],
      ["f", "x"],
    ],
  ]);
  expect(Object.keys(files).filter((name) => name.endsWith(".bin"))).toEqual(["weights.bin"]);
  expect(report.parts.map(({ backend, why }) => ({ backend, why }))).toEqual([
    { backend: "webgpu", why: "faster than on wasm" },
    { backend: "wasm", why: expect.stringMatching(/^webgpu cannot run %c: cast computes in f64/) },
    { backend: "webgpu", why: "faster than on wasm" },
  ]);
  const bytes = report.parts.map(({ bytesIn, bytesOut }) => [bytesIn, bytesOut]);
  expect(bytes).toEqual([
    [512, 256],
    [256, 256],
    [768, 512],
  ]);
});

test("the same graph compiles to the same bytes", async () => {
  const [a, b] = [await compile({ place: [wasm, webgpu] }), await compile({ place: [wasm, webgpu] })];
  expect(a.artifact.json).toBe(b.artifact.json);
});

test("one region is no part, but the model; whole variants stand beside parts where asked for", async () => {
  const alone = await compile({ place: [wasm] });
  expect(alone.artifact.manifest.parts).toBeUndefined();
  expect(alone.artifact.manifest.files["model.wasm"]).toEqual((await compile({ backends: [wasm] })).artifact.manifest.files["model.wasm"]);
  expect(alone.artifact.manifest.variants.map((v) => v.backend)).toEqual(["wasm", "wasm"]);
  expect(alone.report.parts).toEqual([expect.objectContaining({ backend: "wasm", why: "asked for", variants: [] })]);
  const both = await compile({ place: [wasm, webgpu], backends: [js] });
  expect(both.artifact.manifest.variants.map((v) => v.backend)).toEqual(["js"]);
  expect(both.artifact.manifest.parts).toHaveLength(3);
});

test("a node that a backend cannot run is named where all was to go there", async () => {
  const f64 = /exp|cast/;
  await expect(compile({ place: [webgpu] })).rejects.toThrow(f64);
  await expect(compile({ place: [webgpu] })).rejects.toThrow(/cannot run on webgpu: .* computes in f64.*\[unsupported\]/);
});

test("extents that hang on data do not leave a region", async () => {
  const text = `graph @bounded(%x: f32[4], %n: i64[]) {
  %a = bound(%x, %n) {axis: 0} : f32[%n<=4]
  return %a
}`;
  const graph = parse(text, standardOps, { file: "bounded.ir" });
  await expect(compileGraph(graph, ["a"], { backends: [], place: [wasm], pipeline: [] })).rejects.toThrow("[dynamic-shape]");
});

test("a region for a backend that is not there, and nodes outside of regions, are refused", async () => {
  const text = (after: string) => `graph @placed(%x: f32[4]) {
  %a = place(%x) {body: graph (%x0: f32[4]) {
    %b = exp(%x0) : f32[4]
    return %b
  }, on: "wasm"} : f32[4]
  ${after}
}`;
  const graph = (after: string) => parse(text(after), standardOps, { file: "placed.ir" });
  const options = { pipeline: [] };
  await expect(compileGraph(graph("return %a"), ["a"], { ...options, backends: [js] })).rejects.toThrow("[unknown-backend]");
  const loose = graph("%c = neg(%a) : f32[4]\n  return %c");
  await expect(compileGraph(loose, ["c"], { ...options, backends: [wasm] })).rejects.toThrow("[bad-option]");
});

test("parts on two hosts run as one model, synchronously too", async () => {
  const { artifact } = await compile({ place: [wasm, standIn], cost: multiplier });
  expect(artifact.manifest.parts!.length).toBeGreaterThan(1);
  using model = await load(artifact, { executors });
  const expected = await whole();
  near(await model.run(mixedInputs), expected);
  near(model.runSync(mixedInputs), expected);
  expect(Object.keys(await model.run(mixedInputs, { outputs: ["x", "f"] }))).toEqual(["x", "f"]);
  // Views, of which one is read by two parts.
  const y = model.input("y") as Float32Array;
  y.set(mixedInputs.y);
  (model.input("x") as Float32Array).set(mixedInputs.x);
  model.input("unused");
  model.invoke();
  const last = [...(model.output("f") as Float32Array)];
  near({ f: { ...expected.f!, data: Float32Array.from(last) } }, { f: expected.f! });
  // Runs that overlap keep apart.
  const other = { ...mixedInputs, x: mixedInputs.x.map((v) => -v) };
  const [a, b, c] = await Promise.all([model.run(mixedInputs), model.run(other), model.run(mixedInputs)]);
  near(c, a);
  expect(b.f!.data).not.toEqual(a.f!.data);
  await expect(model.run({ ...mixedInputs, x: new Float32Array(3) })).rejects.toThrow("[bad-input]");
  await model.warmup();
  expect(model.profile()).toBeUndefined();
  expect(model.info()).toMatchObject({ variant: "parts", why: expect.stringMatching(/compiled in \d parts$/) });
  expect(model.info().parts!.map((p) => p.backend)).toEqual(artifact.manifest.parts!.map((p) => p.variants[0]!.backend));
  model.dispose();
  await expect(model.run(mixedInputs)).rejects.toThrow("[disposed]");
});

test("where a part does not run, the whole model does, and says why; where there is none, that is the error", async () => {
  const nowhere = { ...executor, backend: "webgpu", unsupported: () => "there is none" };
  const { artifact } = await compile({ place: [wasm, webgpu], backends: [wasm] });
  using model: Model = await load(artifact, { executors: [nowhere] });
  near(await model.run(mixedInputs), await whole());
  const { backend, skipped: tried } = model.info();
  expect(backend).toBe("wasm");
  expect(tried[0]!.variant).toBe("parts");
  expect(tried[0]!.reason).toMatch(/^part 1 of 3, for webgpu: .*there is none/s);
  const alone = (await compile({ place: [wasm, webgpu] })).artifact;
  await expect(load(alone, { executors: [nowhere] })).rejects.toThrow(/part 1 of 3, for webgpu: .*there is none.*\[no-variant\]/s);
  await expect(load(artifact, { executors: [nowhere], device: "parts" })).rejects.toThrow("[no-variant]");
  await expect(load(alone, { device: "wasm" })).rejects.toThrow("[unknown-device]");
});

test("a fault is told in the words of the part that it is in", async () => {
  const text = `graph @table(%x: f32[2,2], %t: f32[4], %i: i64[2]) {
  %a = matmul(%x, %x) : f32[2,2]
  %b = gather(%t, %i) {axis: 0} : f32[2]
  %c = add(%a, %b) : f32[2,2]
  return %c
}`;
  const graph = parse(text, standardOps, { file: "table.ir" });
  const options = { backends: [], pipeline: [] };
  const one = await compileGraph(graph, ["c"], { ...options, backends: [wasm] });
  const cut = await compileGraph(graph, ["c"], { ...options, place: [wasm, standIn], cost: multiplier });
  expect(cut.artifact.manifest.parts!.length).toBeGreaterThan(1);
  using alone = await load(one.artifact);
  using model = await load(cut.artifact, { executors });
  const inputs = { x: new Float32Array(4), t: new Float32Array(4), i: BigInt64Array.of(1n, 9n) };
  const expected = await alone.run(inputs).catch((e: Error) => e.message);
  expect(expected).toMatch(/\[fault\]/);
  await expect(model.run(inputs)).rejects.toThrow(expected as string);
});

test.skipIf(skipped)(
  "a node in f64 between products runs on the host, these on a device: the numbers are those of wasm alone",
  async () => {
    const { artifact } = await compile({ place: [wasm, webgpu] });
    using model = await load(artifact);
    const expected = await whole();
    near(await model.run(mixedInputs), expected);
    near(await model.run(mixedInputs, { outputs: ["b", "f"] }), { b: expected.b!, f: expected.f! });
    expect(model.info()).toMatchObject({ backend: "webgpu+wasm", adapter: expect.any(String) });
    expect(() => model.runSync(mixedInputs)).toThrow("[not-synchronous]");
    await expect(model.run(mixedInputs, { output: "gpu" } as never)).rejects.toThrow("[bad-option]");
  },
);

test.skipIf(skipped)("a software adapter comes after the whole model on the host", async () => {
  const { artifact } = await compile({ place: [wasm, webgpu], backends: [wasm] });
  using model = await load(artifact);
  expect(model.info().backend).toBe("wasm");
  expect(model.info().skipped[0]!.reason).toMatch(/^part 1 of 3, for webgpu: .*software/s);
});
