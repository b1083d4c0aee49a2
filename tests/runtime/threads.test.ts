// Teams of threads as users run them, in Node: the same bits as one thread, faults, the end of workers, and why so many threads run.

import { execFile } from "node:child_process";
import { readdirSync } from "node:fs";
import { cp, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { promisify } from "node:util";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { js, wasm } from "../../backends/index.ts";
import type { Artifact } from "../../compiler/artifact.ts";
import { compileGraph } from "../../compiler/compile.ts";
import type { Graph } from "../../ir/graph.ts";
import { standardOps } from "../../ir/ops/index.ts";
import { parse } from "../../ir/parse.ts";
import type { Tensor } from "../../ir/tensor.ts";
import { maxShape } from "../../ir/types.ts";
import type { load as Load, Model } from "../../runtime/index.ts";
import { type Bundle, bundleSparsec } from "../support/bundle.ts";
import { randomGraphs } from "../support/random-graph.ts";

// Workers have a file of their own, which Node 20 cannot read as TypeScript: the runtime is bundled.
let bundle: Bundle;
let load: typeof Load;
beforeAll(async () => {
  bundle = await bundleSparsec();
  ({ load } = (await import(pathToFileURL(bundle.runtime).href)) as { load: typeof Load });
});
afterAll(() => bundle.remove());

const compiled = async (graph: Graph): Promise<Artifact> =>
  (
    await compileGraph(
      graph,
      graph.outputs.map((_, k) => `y${k}`),
      { backends: [wasm, js], threads: true },
    )
  ).artifact;
const feed = (graph: Graph, inputs: readonly Tensor[]) =>
  Object.fromEntries(graph.params.map((p, k) => [String(p.node.attrs["name"]), { data: inputs[k]!.data, shape: maxShape(p.type) }]));
const bits = (outputs: Readonly<Record<string, { readonly data: ArrayBufferView }>>): string[] =>
  Object.values(outputs).map(({ data }) => Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString("hex"));

const table = (): Promise<Artifact> =>
  compiled(
    parse(
      `graph @table(%x: f32[64,100], %at: i64[4096]) {
        %0 = gather(%x, %at) {axis: 0} : f32[4096,100]
        %1 = exp(%0) : f32[4096,100]
        %2 = softmax(%1) {axis: 1} : f32[4096,100]
        return %2
      }`,
      standardOps,
    ),
  );
const rows = (row: (i: number) => number) => ({
  x: Float32Array.from({ length: 6400 }, (_, i) => Math.cos(i)),
  at: BigInt64Array.from({ length: 4096 }, (_, i) => BigInt(row(i))),
});
const good = rows((i) => i % 64);

test("random graphs: the same bits by two and three threads", { timeout: 300_000 }, async () => {
  const runs = Number(process.env["SPARSEC_RUNS"] ?? 25);
  await fc.assert(
    fc.asyncProperty(randomGraphs({}), async ({ graph, inputs }) => {
      const artifact = await compiled(graph);
      const given = feed(graph, inputs) as never;
      const alone = await load(artifact, { device: "wasm" });
      const expected = bits(await alone.run(given));
      for (const threads of [2, 3]) {
        const model = await load(artifact, { device: "wasm", threads, calibrate: false });
        expect(model.info().threads).toBe(threads);
        for (let k = 0; k < 3; k++) expect(bits(await model.run(given))).toEqual(expected);
        model.dispose();
      }
      alone.dispose();
    }),
    { numRuns: runs, seed: Number(process.env["SPARSEC_SEED"] ?? 20261121) },
  );
});

test("a fault in any thread is the run's; the next run is right", async () => {
  const artifact = await table();
  const alone = await load(artifact, { device: "wasm" });
  const expected = bits(alone.runSync(good));
  const fault = (() => {
    try {
      alone.runSync(rows(() => 99));
    } catch (e) {
      return (e as Error).message;
    }
    return "none";
  })();
  for (const threads of [2, 3]) {
    const model = await load(artifact, { device: "wasm", threads, calibrate: false });
    for (const bad of [0, 2048, 4095]) {
      expect(() => model.runSync(rows((i) => (i === bad ? 99 : 0)))).toThrow(fault);
      expect(bits(model.runSync(good))).toEqual(expected);
    }
    model.dispose();
  }
});

describe("how many threads run", () => {
  const why = (model: Model): string => {
    const { threads, whyThreads } = model.info();
    model.dispose();
    return `${threads}: ${whyThreads}`;
  };

  test("is measured, and has a reason", async () => {
    const artifact = await table();
    expect(why(await load(artifact))).toBe("1: one was asked for");
    expect(why(await load(artifact, { threads: 2 }))).toMatch(
      /^(1: one core is available|[12]: .*2 of them [\d.]+ ms.*|1: 2 take \d+ us to fork and join: cores are busy, or threads share one)$/,
    );
    expect(why(await load(artifact, { threads: "auto" }))).toMatch(/^[1-8]: ./);
    expect(why(await load(artifact, { threads: 2, calibrate: false }))).toBe("2: as many as were asked for, not measured");
    expect(why(await load(artifact, { threads: 2, device: "js" }))).toBe("1: the variant is for one thread");
    const { artifact: plain } = await compileGraph(
      parse("graph @g(%x: f32[4]) {\n %0 = relu(%x) : f32[4]\n return %0\n}", standardOps),
      ["y"],
      {
        backends: [wasm],
      },
    );
    expect(why(await load(plain, { threads: 2 }))).toBe("1: the variant is for one thread");
  });

  test("is a positive integer, or 'auto'", async () => {
    const artifact = await table();
    for (const threads of [0, 1.5, -1, "two"])
      await expect(load(artifact, { threads: threads as number })).rejects.toMatchObject({ code: "bad-option" });
  });

  test("is one, where workers do not start", async () => {
    const lonely = `${bundle.folder}-lonely`;
    await cp(bundle.folder, lonely, { recursive: true, filter: (path) => !path.endsWith("worker.js") });
    try {
      const own = (await import(pathToFileURL(join(lonely, "runtime.mjs")).href)) as { load: typeof Load };
      const model = await own.load(await table(), { threads: 2, calibrate: false });
      expect(model.info()).toMatchObject({ threads: 1, whyThreads: expect.stringMatching(/^a worker did not start: .*worker\.js/) });
      expect(bits(model.runSync(good))).toHaveLength(1);
    } finally {
      await rm(lonely, { recursive: true });
    }
  });
});

describe("workers", () => {
  const uncounted = process.platform !== "linux";
  if (uncounted) console.warn("skipped: threads that end with their model, which only Linux lets a process count (/proc/self/task)");
  test.skipIf(uncounted)("end with their model", async () => {
    const artifact = await table();
    const count = (): number => readdirSync("/proc/self/task").length;
    const cycle = async (): Promise<void> => {
      const model = await load(artifact, { threads: 3, calibrate: false });
      model.runSync(good);
      model.dispose();
    };
    await cycle();
    const before = count();
    for (let k = 0; k < 10; k++) await cycle();
    for (let k = 0; k < 50 && count() > before + 2; k++) await new Promise((resolve) => setTimeout(resolve, 100));
    expect(count()).toBeLessThanOrEqual(before + 2);
  });

  test("let a process end whose model was not disposed of", async () => {
    const folder = await mkdtemp(join(tmpdir(), "sparsec-threads-"));
    try {
      const artifact = await table();
      await artifact.write(join(folder, "table.sparsec"));
      const script = join(folder, "main.mjs");
      await writeFile(
        script,
        `const { load } = await import(${JSON.stringify(pathToFileURL(bundle.runtime).href)});
         const model = await load(${JSON.stringify(join(folder, "table.sparsec"))}, { threads: 3, calibrate: false });
         model.runSync({ x: new Float32Array(6400), at: new BigInt64Array(4096) });
         console.log(model.info().threads);`,
      );
      const { stdout } = await promisify(execFile)(process.execPath, [script], { timeout: 30_000 });
      expect(stdout.trim()).toBe("3");
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});
