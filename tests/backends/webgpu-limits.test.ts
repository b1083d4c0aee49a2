// What WebGPU's limits do to programs: larger ones are asked for where that helps, grids are folded, kernels of too many buffers taken apart.

import { describe, expect, it } from "vitest";
import { webgpu } from "../../backends/index.ts";
import { compileGraph } from "../../compiler/compile.ts";
import { GraphBuilder, type Value } from "../../ir/graph.ts";
import { standardOps } from "../../ir/ops/index.ts";
import { weightStore } from "../../ir/weights.ts";
import type { ArtifactFiles } from "../../runtime/artifact.ts";
import { load } from "../../runtime/index.ts";
import { webgpuSkipped } from "../support/webgpu.ts";

const skipped = webgpuSkipped() !== undefined;

/** Compiles what `build` makes of parameters of one shape. */
async function compiled(
  inputs: number,
  shape: readonly number[],
  build: (b: GraphBuilder, xs: readonly Value[]) => Value,
): Promise<ArtifactFiles> {
  const weights = weightStore();
  const b = new GraphBuilder(standardOps, weights);
  const params = Array.from({ length: inputs }, (_, k) => b.param(`x${k}`, "f32", shape));
  const graph = { ops: standardOps, name: "limits", params, outputs: [build(b, params)], weights };
  return (await compileGraph(graph, ["y"], { backends: [webgpu] })).artifact;
}

describe("limits", () => {
  it("of bindings and buffers are asked for where the defaults are too small, and done without where they are not to be had", async () => {
    const variants = async (n: number) => {
      const { variants } = (await compiled(1, [n], (b, [x]) => b.value("relu", [x!]))).manifest;
      return variants.map((v) => [v.name, ...v.needs]);
    };
    expect(await variants(2 ** 24)).toEqual([["base", "webgpu"]]);
    expect(await variants(2 ** 25)).toEqual([
      ["base-large", "webgpu", `limit:maxStorageBufferBindingSize=${2 ** 27 + 16}`],
      ["base", "webgpu"],
    ]);
    const large = 2 ** 26 + 64;
    expect(await variants(large)).toEqual([
      ["base-large", "webgpu", `limit:maxStorageBufferBindingSize=${4 * large + 16}`, `limit:maxBufferSize=${4 * large + 256}`],
      ["base", "webgpu"],
    ]);
  });

  it.skipIf(skipped)("of workgroups along an axis: more are folded into rows", { timeout: 60_000 }, async () => {
    const n = 4 * 64 * 65535 + 4001;
    const artifact = await compiled(1, [n], (b, [x]) => b.value("neg", [x!]));
    expect(artifact.manifest.variants[0]!.schedule!.kernels[0]!.workgroups).toBeGreaterThan(65535);
    using model = await load(artifact, { device: "webgpu" });
    const x = Float32Array.from({ length: n }, (_, i) => i % 1021);
    const y = (await model.run({ x0: x }))["y"]!.data as Float32Array;
    expect(y.every((v, i) => v === -x[i]!)).toBe(true);
  });

  it.skipIf(skipped)("of buffers in one kernel: a sum of eleven is computed by several", { timeout: 60_000 }, async () => {
    const artifact = await compiled(11, [5, 7], (b, xs) => xs.slice(1).reduce((sum, x) => b.value("add", [sum, x]), xs[0]!));
    const { kernels, commands } = artifact.manifest.variants[0]!.schedule!;
    expect(commands.length).toBeGreaterThan(1);
    for (const { access } of kernels) expect(access.length).toBeLessThanOrEqual(8);
    using model = await load(artifact, { device: "webgpu" });
    const feed = Object.fromEntries(Array.from({ length: 11 }, (_, k) => [`x${k}`, new Float32Array(35).fill(2 ** k)]));
    const y = (await model.run(feed))["y"]!.data as Float32Array;
    expect(y.every((v) => v === 2 ** 11 - 1)).toBe(true);
  });
});
