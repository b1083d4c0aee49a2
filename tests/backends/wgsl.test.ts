// Every kernel that the WebGPU backend prints, of conformance cases, random graphs and real models, is valid WGSL to two front ends, within
// the default limits; and the text of an artifact stays small.

import { gzipSync } from "node:zlib";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { webgpu } from "../../backends/index.ts";
import { compileGraph } from "../../compiler/compile.ts";
import { compile } from "../../compiler/index.ts";
import { DTYPES, type DType } from "../../ir/dtype.ts";
import { standardOps } from "../../ir/ops/index.ts";
import type { ArtifactFiles } from "../../runtime/artifact.ts";
import { elementwiseCases } from "../conformance/elementwise.ts";
import { familyCases } from "../conformance/families.ts";
import { sketch } from "../conformance/sketch.ts";
import { bindAtMost } from "../support/bind-at-most.ts";
import { optionsOf } from "../support/model-options.ts";
import { sharedModels } from "../support/models.ts";
import { extensionLacking, nagaProblems, nagaSkipped } from "../support/naga.ts";
import { randomGraphs, usesF64 } from "../support/random-graph.ts";
import { nullDevice, webgpuSkipped, wgslProblem } from "../support/webgpu.ts";

const LIMIT = 40 * 1024;
const models = sharedModels();
const texts = new Map<string, string>();

/** The modules of an artifact, by kernel. */
function gather({ manifest, files }: ArtifactFiles, from: string): void {
  for (const { code } of manifest.variants)
    for (const piece of new TextDecoder()
      .decode(files.get(code))
      .split(/^\/\/\/\/ /m)
      .slice(1)) {
      const end = piece.indexOf("\n");
      texts.set(piece.slice(end + 1), `${from}: ${piece.slice(0, end)}`);
    }
}

describe.skipIf(webgpuSkipped() !== undefined)("WGSL", () => {
  it("is printed for every conformance case without f64", { timeout: 120_000 }, async () => {
    const types = (Object.keys(DTYPES) as DType[]).filter((t) => t !== "f64");
    for (const c of [...elementwiseCases, ...familyCases]) {
      if (c.dtype === "f64") continue;
      const { graph } = sketch(c, standardOps, types);
      const names = graph.outputs.map((_, k) => `y${k}`);
      for (const backend of [webgpu, bindAtMost(256)]) gather((await compileGraph(graph, names, { backends: [backend] })).artifact, c.name);
    }
    expect(texts.size).toBeGreaterThan(200);
  });

  it("is printed for random graphs", { timeout: 120_000 }, async () => {
    const before = texts.size;
    await fc.assert(
      fc.asyncProperty(
        randomGraphs().filter((r) => !usesF64(r.graph)),
        async ({ graph }) => {
          const names = graph.outputs.map((_, k) => `y${k}`);
          gather((await compileGraph(graph, names, { backends: [webgpu] })).artifact, "random graph");
        },
      ),
      { numRuns: 60, seed: 20261121 },
    );
    expect(texts.size).toBeGreaterThan(before);
  });

  it.each(models ?? [])("of $name has at most 40 KB gzipped, all variants together", { timeout: 120_000 }, async (m) => {
    const artifact = await compile(m.path, { ...optionsOf(m.name), backends: ["webgpu"] });
    gather(artifact, m.name);
    const sizes = artifact.manifest.variants.map(({ code }) => gzipSync(artifact.files.get(code)!, { level: 9 }).length);
    expect(sizes.reduce((a, b) => a + b)).toBeLessThan(LIMIT);
  });

  it("is valid to Dawn", { timeout: 240_000 }, async () => {
    const device = await nullDevice();
    const wrong: string[] = [];
    for (const [text, from] of texts) {
      const problem = await wgslProblem(device, text);
      if (problem !== undefined) wrong.push(`${from}: ${problem}`);
    }
    device.destroy();
    expect(wrong).toEqual([]);
  });

  it.skipIf(nagaSkipped() !== undefined)("is valid to naga", { timeout: 240_000 }, async () => {
    const problems = await nagaProblems([...texts.keys()]);
    const lacking = problems.flatMap((problem) => extensionLacking(problem) ?? []);
    for (const line of new Set(lacking)) console.log(`${lacking.filter((l) => l === line).length} kernels are not shown to naga: ${line}`);
    const wrong = [...texts.values()].flatMap((from, i) =>
      problems[i] === null || extensionLacking(problems[i]!) ? [] : [`${from}: ${problems[i]}`],
    );
    expect(problems.length).toBe(texts.size);
    expect(wrong).toEqual([]);
  });
});
