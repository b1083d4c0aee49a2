// What is sparse where: hosts and devices of one artifact decide for themselves, whichever others it is for, and say why.

import { describe, expect, test } from "vitest";
import { js, wasm, webgpu } from "../../backends/index.ts";
import type { Backend } from "../../compiler/backend.ts";
import type { CostFile } from "../../compiler/cost/costs.ts";
import { compileGraph } from "../../compiler/index.ts";
import { type Graph, GraphBuilder } from "../../ir/graph.ts";
import { standardOps } from "../../ir/ops/index.ts";
import { tensorOf } from "../../ir/tensor.ts";
import { weightStore } from "../../ir/weights.ts";
import { random } from "./conv-cases.ts";

/** A convolution of 32 channels with so many zeros; hosts have a dense kernel of fewer products for those of 3x3. */
function convolution(kernel: number, density: number): Graph {
  const next = random(kernel);
  const shape = [32, 32, kernel, kernel];
  const values = Array.from({ length: 1024 * kernel * kernel }, () => ((next() + 1) / 2 < density ? next() : 0));
  const b = new GraphBuilder(standardOps, weightStore());
  const x = b.param("x", "f32", [1, 32, 16, 16]);
  const pad = (kernel - 1) / 2;
  const attrs = { strides: [1, 1], pads: [pad, pad, pad, pad], dilations: [1, 1], group: 1 };
  const y = b.value("conv", [x, b.constant(tensorOf("f32", shape, values))], attrs, { file: "m.onnx", name: "Conv_1" });
  return { ops: b.ops, name: "net", params: [x], outputs: [y], weights: b.weights };
}

/** A device with kernels of single elements that are as fast as so much of its dense ones. */
const device = (rate: number): CostFile => ({
  version: 1,
  machine: "a test's",
  variants: {},
  devices: { "webgpu:base": [{ block: [1, 1], many: rate, few: rate }] },
});

async function explained(g: Graph, backends: readonly Backend[], cost?: CostFile, sparsity?: "off") {
  const { report, artifact } = await compileGraph(g, ["y"], { backends, cost, sparsity });
  const nodes = new Map(report.variants.map((v) => [v.backend, v.nodes.find((n) => n.op === "conv")!]));
  return { formats: Object.fromEntries([...nodes].map(([name, n]) => [name, n.format])), nodes, artifact };
}

describe("a constant's zeros", () => {
  test("are left out on a device alone where no host gains", async () => {
    const g = convolution(3, 0.5);
    for (const backends of [
      [wasm, js, webgpu],
      [webgpu, js, wasm],
    ]) {
      const { formats, nodes } = await explained(g, backends, device(0.9));
      expect(formats).toEqual({ wasm: "dense", js: "dense", webgpu: "csr" });
      expect(nodes.get("wasm")!.why).toMatch(/the dense kernel is predicted to be as fast/);
      expect(nodes.get("webgpu")!.why).toMatch(/by measured rates/);
      expect(nodes.get("webgpu")!.why).not.toMatch(/the dense kernel is predicted/);
    }
    expect((await explained(g, [webgpu], device(0.9))).formats).toEqual({ webgpu: "csr" });
  });

  test("are left out on hosts alone where no device gains", async () => {
    const { formats, nodes } = await explained(convolution(1, 0.5), [webgpu, wasm], device(0.4));
    expect(formats).toEqual({ webgpu: "dense", wasm: "csr" });
    expect(nodes.get("webgpu")!.why).toMatch(/dense weights are taken to be faster on the device \(gain 0\.[78]/);
    expect(nodes.get("wasm")!.why).toMatch(/% zeros, unstructured/);
  });

  test("are too few for anyone, or not asked for", async () => {
    const { formats, nodes } = await explained(convolution(3, 0.8), [wasm, webgpu], device(0.4));
    expect(formats).toEqual({ wasm: "dense", webgpu: "dense" });
    expect(nodes.get("webgpu")!.why).toMatch(/% zeros are too few for a device to gain from/);
    expect((await explained(convolution(3, 0.1), [wasm, webgpu], device(0.9), "off")).formats).toEqual({ wasm: "dense", webgpu: "dense" });
  });

  test("are the same to a host, whatever devices there are besides", async () => {
    for (const [kernel, density] of [
      [3, 0.5],
      [3, 0.1],
      [1, 0.5],
    ] as const) {
      const g = convolution(kernel, density);
      const [alone, beside] = await Promise.all([explained(g, [wasm]), explained(g, [webgpu, wasm], device(0.9))]);
      for (const { name, code } of alone.artifact.manifest.variants) {
        const other = beside.artifact.manifest.variants.find((v) => v.backend === "wasm" && v.name === name)!;
        expect(beside.artifact.files.get(other.code)).toEqual(alone.artifact.files.get(code));
      }
    }
  });
});
