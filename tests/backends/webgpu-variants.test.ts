// Variants of the WebGPU backend: what a device has besides the least is used where a program can, and needed by no other program.

import { afterEach, describe, expect, it, vi } from "vitest";
import { webgpu } from "../../backends/index.ts";
import { compileGraph } from "../../compiler/compile.ts";
import { type CostFile, costsFor } from "../../compiler/cost/costs.ts";
import * as k from "../../ir/kernel/build.ts";
import type { Expr, Stmt } from "../../ir/kernel/types.ts";
import { fromF16, toF16 } from "../../ir/scalar/f16.ts";
import type { ArtifactFiles } from "../../runtime/artifact.ts";
import { load } from "../../runtime/index.ts";
import { deviceCase } from "../lower/device-cases.ts";
import { nagaProblems, nagaSkipped } from "../support/naga.ts";
import { observedGPU, replace } from "../support/observed-gpu.ts";
import { type GridKernel, gridArtifact, meantBy, runGrid } from "../support/run-grid.ts";
import { nullDevice, webgpuSkipped, wgslProblem } from "../support/webgpu.ts";

afterEach(() => void vi.unstubAllGlobals());

const full = webgpu.variants[0]!;
const skipped = webgpuSkipped() !== undefined;
const element = (name: string, index: Expr, bytes = 4): Expr => k.advance(k.variable(name, "ptr"), k.mul(index, k.i32(bytes)));

/** The modules of a variant. */
const textOf = ({ manifest, files }: ArtifactFiles, variant: string): string =>
  new TextDecoder().decode(files.get(manifest.variants.find(({ name }) => name === variant)!.code));

const needsOf = ({ manifest }: ArtifactFiles): Readonly<Record<string, readonly string[]>> =>
  Object.fromEntries(manifest.variants.map(({ name, needs }) => [name, needs]));

const random = (bytes: number): Uint8Array => {
  let state = 1;
  return Uint8Array.from({ length: bytes }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state >>> 24;
  });
};

/** WebGPU here, but for some features of its adapters and of WGSL. */
const without = (...missing: readonly string[]): GPU => {
  const rest = (features: Iterable<string>) => new Set([...features].filter((f) => !missing.includes(f)));
  const { gpu } = observedGPU({ adapter: (adapter) => replace(adapter, "features", rest(adapter.features) as never) });
  return { ...gpu, wgslLanguageFeatures: rest(gpu.wgslLanguageFeatures) } as GPU;
};

/** Both variants on the device, against the interpreter; and their text, to two front ends. */
async function check(kernel: GridKernel, x: Uint8Array): Promise<void> {
  const artifact = await gridArtifact(kernel);
  for (const { name } of webgpu.variants) {
    const { variant, y } = await runGrid(artifact, x, { device: `webgpu:${name}` });
    expect(variant).toBe(name);
    expect(y).toEqual(meantBy(kernel, x));
  }
  const device = await nullDevice();
  const texts = webgpu.variants.map(({ name }) => textOf(artifact, name));
  for (const text of texts) expect(await wgslProblem(device, text)).toBeUndefined();
  device.destroy();
  if (nagaSkipped() === undefined) expect(await nagaProblems(texts)).toEqual([null, null]);
}

describe("products of packed bytes", () => {
  const threads = 64;
  const words = 16 * threads;
  const bytes = [4 * words, 4 * words] as const;
  const at = k.variable("at");
  const kernel: GridKernel = {
    bytes,
    func: {
      name: "dots",
      params: [k.pointer("x", "read", bytes[0]), k.pointer("y", "write", bytes[1])],
      grid: { workgroups: words / threads, size: threads, shared: [] },
      body: [
        k.let_("at", k.add(k.mul(k.team("group"), k.i32(threads)), k.team("rank"))),
        k.let_("other", k.sub(k.i32(words - 1), at)),
        k.store("i32", element("y", at), k.dot4(k.load("i32", element("x", at)), k.load("i32", element("x", k.variable("other"))))),
      ],
    },
  };

  it("are one instruction of WGSL where the language has it", async () => {
    const artifact = await gridArtifact(kernel);
    expect(needsOf(artifact)).toEqual({ full: ["webgpu", "packed_4x8_integer_dot_product"], base: ["webgpu"] });
    expect(textOf(artifact, "full")).toMatch(/requires packed_4x8_integer_dot_product;\n(.|\n)*dot4I8Packed\(/);
    expect(textOf(artifact, "base")).not.toMatch(/requires|dot4I8Packed/);
  });

  it.skipIf(skipped)("are the same on a device, in each variant", async () => {
    const x = random(4 * words);
    new Int32Array(x.buffer).set([0x80808080 | 0, 0x7f7f7f7f, 0x807f807f | 0, -1]);
    new Int32Array(x.buffer).set([0x80808080 | 0, 0x80808080 | 0, 0x7f80ff01, 0x01020304], words - 4);
    await check(kernel, x);
    vi.stubGlobal("navigator", { gpu: without("packed_4x8_integer_dot_product") });
    const { variant, y } = await runGrid(await gridArtifact(kernel), x);
    expect([variant, y]).toEqual(["base", meantBy(kernel, x)]);
  });
});

describe("halves", () => {
  const count = 65536;
  const at = k.variable("at");
  const few = 4096;
  const kernel = (name: string, threads: number, bytes: readonly [number, number], body: readonly Stmt[]): GridKernel => ({
    bytes,
    func: {
      name,
      params: [k.pointer("x", "read", bytes[0]), k.pointer("y", "write", bytes[1])],
      grid: { workgroups: threads / 64, size: 64, shared: [] },
      body: [k.let_("at", k.add(k.mul(k.team("group"), k.i32(64)), k.team("rank"))), ...body],
    },
  });
  const halves = Uint16Array.from({ length: count }, (_, h) => h);
  // Near the middle of neighbours: below, on and above it by turns.
  const between = Float32Array.from(halves, (h) => {
    const middle = (fromF16(h) + fromF16((h + 1) & 0xffff)) / 2;
    return Number.isFinite(middle) ? middle * (1 + ((h % 3) - 1) * 2 ** -22) : fromF16(h);
  });
  const widen = kernel("widen", count, [2 * count, 4 * count], [k.store("f32", element("y", at), k.load("f16", element("x", at, 2)))]);
  const narrow = kernel("narrow", count, [4 * count, 2 * count], [k.store("f16", element("y", at, 2), k.load("f32", element("x", at)))]);
  /** Halves beside words in one buffer: at 8 i and 8 i + 4 of both. */
  const mixed = kernel(
    "mixed",
    few,
    [8 * few, 8 * few],
    [
      k.store("f16", element("y", at, 8), k.wrap("f16", k.mul(k.load("f16", element("x", at, 8)), k.f32(0.5)))),
      k.store("f16", element("y", at, 8), k.load("f16", element("x", at, 8), 2), 2),
      k.store("i32", element("y", at, 8), k.load("i32", element("x", at, 8), 4), 4),
    ],
  );

  it("are elements of buffers where the device has them", async () => {
    const artifact = await gridArtifact(narrow);
    expect(needsOf(artifact)).toEqual({ full: ["webgpu", "shader-f16"], base: ["webgpu"] });
    expect(textOf(artifact, "full")).toMatch(/^\/\/\/\/ narrow\nenable f16;\n(.|\n)*array<f16>(.|\n)* = f16\(/);
    expect(textOf(artifact, "base")).not.toMatch(/f16[;(>]/);
  });

  it.skipIf(skipped)("are widened, rounded and stored beside words the same on a device, in each variant", async () => {
    for (const { name } of webgpu.variants) {
      const run = async (of: GridKernel, x: ArrayBufferView): Promise<ArrayBuffer> => {
        const bytes = new Uint8Array(x.buffer, x.byteOffset, of.bytes[0]);
        return (await runGrid(await gridArtifact(of), bytes, { device: `webgpu:${name}` })).y.slice().buffer as ArrayBuffer;
      };
      const wide = new Float32Array(await run(widen, halves));
      expect([...halves].filter((h) => !Object.is(wide[h], fromF16(h)))).toEqual([]);
      const narrowed = new Uint16Array(await run(narrow, between));
      expect([...halves].filter((h) => narrowed[h] !== toF16(between[h]!))).toEqual([]);
      const words = new Uint32Array(2 * few).map((_, i) => Math.imul(i, 0x9e3779b1));
      const [found, meant] = [await run(mixed, words), meantBy(mixed, new Uint8Array(words.buffer)).buffer as ArrayBuffer];
      // The bits of a NaN are nobody's business.
      const values = (bytes: ArrayBuffer) => [...new Uint16Array(bytes)].map((h, i) => (i % 4 < 2 ? fromF16(h) : h));
      expect(values(found)).toEqual(values(meant));
    }
    const device = await nullDevice();
    for (const of of [widen, narrow, mixed])
      for (const { name } of webgpu.variants) expect(await wgslProblem(device, textOf(await gridArtifact(of), name))).toBeUndefined();
    device.destroy();
  });

  it.skipIf(skipped)("are taken apart on a device that has none", async () => {
    const x = new Uint8Array(between.buffer);
    vi.stubGlobal("navigator", { gpu: without("shader-f16") });
    const { variant, y } = await runGrid(await gridArtifact(narrow), x);
    expect(variant).toBe("base");
    expect([...new Uint16Array(y.slice().buffer)]).toEqual([...between].map(toF16));
  });
});

describe("threads that run in step", () => {
  /** Of each thread its rank, how many run in step with it, and the rank of each that it swaps with. */
  const swaps = (size: number): GridKernel => {
    const groups = 3;
    const bytes = [4, 4 * 9 * groups * size] as const;
    const number = k.add(k.mul(k.team("group"), k.i32(size)), k.variable("own"));
    const put = (value: Expr, place: number): Stmt => k.store("i32", element("y", number, 36), value, 4 * place);
    const distances = [1, 2, 4, 8, 16, 32, 64];
    return {
      bytes,
      func: {
        name: "swaps",
        params: [k.pointer("x", "read", bytes[0]), k.pointer("y", "write", bytes[1])],
        grid: { workgroups: groups, size, shared: [] },
        body: [
          k.let_("own", k.team("rank")),
          k.let_("lanes", k.team("lanes")),
          put(k.variable("own"), 0),
          put(k.variable("lanes"), 1),
          ...distances.flatMap((by, i): Stmt[] => [
            k.let_(`other${i}`, k.variable("own")),
            k.if_(k.lt(k.i32(by), k.variable("lanes")), [k.swap(`other${i}`, k.i32(by))]),
            put(k.variable(`other${i}`), 2 + i),
          ]),
        ],
      },
    };
  };

  it.skipIf(skipped)("swap as their ranks say, as many at once as the device has them", async () => {
    const device = await nullDevice();
    const found = [];
    for (const size of [256, 64, 12]) {
      const kernel = swaps(size);
      const artifact = await gridArtifact(kernel, [full]);
      expect(needsOf(artifact)).toEqual({ full: ["webgpu", "subgroups", "subgroup_id"] });
      expect(await wgslProblem(device, textOf(artifact, "full"))).toBeUndefined();
      const { y } = await runGrid(artifact, new Uint8Array(4));
      const [, lanes] = new Int32Array(y.slice().buffer);
      expect(y).toEqual(meantBy(kernel, new Uint8Array(4), lanes));
      found.push(lanes!);
    }
    device.destroy();
    // Twelve are no whole subgroups: each thread is alone.
    expect(found).toEqual([expect.toSatisfy((n) => n >= 4), found[0], 1]);
  });

  it.skipIf(skipped)("are none where a device cannot say which they are", async () => {
    for (const missing of ["subgroups", "subgroup_id"]) {
      vi.stubGlobal("navigator", { gpu: without(missing) });
      await expect(runGrid(await gridArtifact(swaps(64), [full]), new Uint8Array(4))).rejects.toThrow(`the adapter lacks ${missing}`);
    }
  });
});

describe("models", () => {
  const { graph } = deviceCase((s) => s.op("softmax", [s.input("f32", [5, 70])], { axis: 1 }));
  const compiled = (options = {}) => compileGraph(graph, ["y"], { backends: [webgpu], ...options });

  it.skipIf(skipped)("run as the first variant that a device has all for", async () => {
    const { artifact } = await compiled();
    expect(needsOf(artifact)).toEqual({ full: ["webgpu", "subgroups", "subgroup_id"], base: ["webgpu"] });
    const x = Float32Array.from({ length: 350 }, (_, i) => Math.sin(i));
    const answers = [];
    for (const gpu of [without(), without("subgroups")]) {
      vi.stubGlobal("navigator", { gpu });
      using model = await load(artifact, { device: "webgpu" });
      const { variant, skipped: passed } = model.info();
      const [port] = model.inputs;
      answers.push({ variant, passed, sum: ((await model.run({ [port!.name]: x }))["y"]!.data as Float32Array).reduce((a, b) => a + b) });
    }
    const reason = "the adapter lacks subgroups";
    expect(answers).toEqual([
      { variant: "full", passed: [], sum: expect.closeTo(5, 4) },
      { variant: "base", passed: [{ variant: "webgpu:full", reason }], sum: expect.closeTo(5, 4) },
    ]);
  });

  it("have one variant where they gain nothing by another", async () => {
    const relu = deviceCase((s) => s.op("relu", [s.input("f32", [70])]));
    const { artifact } = await compileGraph(relu.graph, ["y"], { backends: [webgpu] });
    expect(needsOf(artifact)).toEqual({ base: ["webgpu"] });
  });

  it("cost the same in all variants, shipped or measured", async () => {
    const predicted = async (cost?: CostFile) => (await compiled({ cost })).report.variants.map(({ nodes }) => nodes[0]!.predicted);
    const slow = { ...costsFor("webgpu:base", undefined), start: 1e6 };
    const [full, base] = await predicted();
    const [slowFull, slowBase] = await predicted({ version: 1, machine: "slow", variants: { "webgpu:base": slow } });
    expect([full, slowFull]).toEqual([base, slowBase]);
    expect(slowFull).toBeGreaterThan(full!);
  });
});
