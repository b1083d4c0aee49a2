// Which weights are sparse on a device, and what whole graphs with such weights give: in the interpreter, and as valid WGSL.

import { expect, test } from "vitest";
import { webgpu } from "../../backends/index.ts";
import type { CostFile } from "../../compiler/cost/costs.ts";
import { compileGraph } from "../../compiler/index.ts";
import { lowerGraph } from "../../compiler/lower/lower.ts";
import { passContext, runPass } from "../../compiler/pass.ts";
import { fuse } from "../../compiler/passes/fuse.ts";
import { type Graph, GraphBuilder } from "../../ir/graph.ts";
import { interpret } from "../../ir/interpret.ts";
import { standardOps } from "../../ir/ops/index.ts";
import { type Tensor, tensorOf } from "../../ir/tensor.ts";
import { weightStore } from "../../ir/weights.ts";
import { load } from "../../runtime/index.ts";
import { compareModel } from "../support/compare.ts";
import { runLowered } from "../support/run-lowered.ts";
import { nullDevice, webgpuSkipped, wgslProblem } from "../support/webgpu.ts";
import { random } from "./conv-cases.ts";

const { can } = webgpu.variants.at(-1)!;

/** Blocks of rows x columns of a matrix, seen by its first axis or by its last, are kept by chance. */
function weights(
  shape: readonly number[],
  density: number,
  [rows, columns]: readonly number[] = [1, 1],
  by: "first" | "last" = "first",
): Tensor {
  const next = random(shape.length + Math.round(density * 1000));
  const count = shape.reduce((a, d) => a * d, 1);
  const first = by === "first" ? shape[0]! : count / shape.at(-1)!;
  const across = count / first;
  const kept = new Map<string, boolean>();
  const isKept = (i: number): boolean => {
    const [r, c] = [Math.floor(i / across), i % across];
    const key =
      by === "first" ? `${Math.floor(r / rows!)} ${Math.floor(c / columns!)}` : `${Math.floor(c / rows!)} ${Math.floor(r / columns!)}`;
    if (!kept.has(key)) kept.set(key, (next() + 1) / 2 < density);
    return kept.get(key)!;
  };
  return tensorOf(
    "f32",
    shape,
    Array.from({ length: count }, (_, i) => (isKept(i) ? next() : 0)),
  );
}

type Side = "left" | "right";
/** A product of `k` by `n` columns (or tokens) with sparse weights, and what follows it. */
function productGraph(side: Side, n: number, w: Tensor, epilogue = true): Graph {
  const b = new GraphBuilder(standardOps, weightStore());
  const constant = b.constant(w, { layout: side === "left" ? "csr" : "csc" });
  const depth = side === "left" ? w.shape[1]! : w.shape[0]!;
  const x = b.param("x", "f32", side === "left" ? [depth, n] : [n, depth]);
  const [product] = b.add("matmul", side === "left" ? [constant, x] : [x, constant], {}).results as [typeof x];
  if (!epilogue) return { ops: b.ops, name: "net", params: [x], outputs: [product], weights: b.weights };
  const r = b.param("r", "f32", product.type.shape as number[]);
  const [sum] = b.add("add", [product, r], {}).results as [typeof x];
  const [out] = b.add("relu", [sum], {}).results as [typeof x];
  return runPass(fuse, { ops: b.ops, name: "net", params: [x, r], outputs: [out], weights: b.weights }, passContext());
}

const kernels = (g: Graph) => lowerGraph(g, can).steps.flatMap((s) => (s.kind === "kernel" ? [s.lowered] : []));

function agree(g: Graph): void {
  expect(kernels(g).map((k) => k.kernel)).toEqual(["matmul_f32_sparse"]);
  const inputs = g.params.map((p, k) => weights(p.type.shape as number[], 1 - k / 1e6));
  const want = interpret(g, inputs)[0]!.data as Float32Array;
  const got = runLowered(g, inputs, can)[0]!.data as Float32Array;
  got.forEach((x, i) => expect(Math.abs(x - want[i]!)).toBeLessThan(1e-5));
}

test.each<[Side, number]>([
  ["left", 1],
  ["left", 7],
  ["left", 16],
  ["left", 300],
  ["right", 1],
  ["right", 3],
  ["right", 21],
])("products, weights on the %s, %d columns", (side, n) => {
  agree(productGraph(side, n, weights([40, 48], 0.05)));
});

test("blocks are chosen by what they hold and cost", () => {
  const chosen = (density: number, block: readonly number[], side: Side = "left", n = 64): string | undefined =>
    kernels(productGraph(side, n, weights([128, 128], density, block, side === "left" ? "first" : "last"), false))[0]!.format;
  expect(chosen(0.05, [1, 1])).toBe("csr");
  expect(chosen(0.05, [1, 1], "right")).toBe("csc");
  expect(chosen(0.1, [1, 4])).toBe("bsr-1x4");
  expect(chosen(0.1, [4, 1])).toBe("bsr-4x1");
  expect(chosen(0.2, [4, 4])).toBe("bsr-4x4");
  expect(chosen(0.2, [8, 8], "right")).toBe("bsc-8x8");
  expect(chosen(0.25, [16, 16])).toBe("bsr-16x16");
});

test("what is as fast dense is dense, and says so", () => {
  const [kernel] = kernels(productGraph("left", 64, weights([64, 64], 0.4), false));
  expect(kernel!.format).toBeUndefined();
  expect(kernel!.why).toMatch(/% zeros, .* dense weights are taken to be faster on the device/);
});

test("measured rates decide where there are some", async () => {
  const rates = (many: number): CostFile => ({
    version: 1,
    machine: "a test's",
    variants: {},
    devices: { "webgpu:base": [{ block: [1, 1], many, few: many }] },
  });
  const g = productGraph("left", 64, weights([64, 64], 0.4), false);
  const formats = await Promise.all(
    [0.3, 0.5].map(async (many) => (await compileGraph(g, ["y"], { backends: [webgpu], cost: rates(many) })).report.variants[0]!.nodes[0]!),
  );
  expect(formats.map((n) => n.format)).toEqual(["dense", "csr"]);
  expect(formats[1]!.why).toMatch(/by measured rates/);
});

test("what would take much memory dense stays sparse", () => {
  const w = weights([2100, 2100], 0.2, [1, 2100]);
  const [kernel] = kernels(productGraph("left", 64, w, false));
  expect(kernel!.why).toMatch(/too large to be dense/);
});

test.skipIf(webgpuSkipped() !== undefined)("kernels are valid WGSL", async () => {
  const device = await nullDevice();
  for (const [side, n] of [
    ["left", 1],
    ["left", 7],
    ["left", 256],
    ["right", 9],
  ] as const)
    for (const block of [
      [1, 1],
      [4, 4],
      [16, 16],
    ]) {
      const g = productGraph(side, n, weights([64, 64], 0.05, block, side === "left" ? "first" : "last"));
      const { artifact } = await compileGraph(g, ["y"], { backends: [webgpu], report: false });
      const text = new TextDecoder().decode(artifact.files.get("model.wgsl"));
      for (const module of text.split(/^\/\/\/\/ .*$/m).slice(1)) expect(await wgslProblem(device, module), module).toBeUndefined();
    }
  device.destroy();
});

test.skipIf(webgpuSkipped() !== undefined)("a driver gives what the reference gives", async () => {
  for (const [side, n, block] of [
    ["left", 6, [1, 1]],
    ["left", 64, [16, 16]],
    ["right", 9, [4, 1]],
  ] as const) {
    const g = productGraph(side, n, weights([80, 96], 0.1, block, side === "left" ? "first" : "last"));
    const inputs = g.params.map((p, k) => weights(p.type.shape as number[], 1 - k / 1e6));
    const [want] = interpret(g, inputs);
    const { artifact } = await compileGraph(g, ["y"], { backends: [webgpu], report: false });
    using model = await load(artifact, { device: "webgpu" });
    const { y } = await model.run({ x: inputs[0]!.data, r: inputs[1]!.data });
    expect(compareModel(y!, want!)).toBeUndefined();
  }
});

test.skipIf(webgpuSkipped() !== undefined)("so do convolutions, at the borders of their images too", async () => {
  for (const [shape, strides, pads] of [
    [
      [12, 16, 3, 3],
      [1, 1],
      [1, 1, 1, 1],
    ],
    [
      [12, 16, 3, 3],
      [2, 2],
      [0, 1, 1, 0],
    ],
    [
      [16, 64, 1, 1],
      [1, 1],
      [0, 0, 0, 0],
    ],
  ] as const) {
    const b = new GraphBuilder(standardOps, weightStore());
    const w = weights(shape, 0.08);
    const x = b.param("x", "f32", [2, shape[1], 10, 12]);
    const attrs = { strides: [...strides], pads: [...pads], dilations: [1, 1], group: 1 };
    const [conv] = b.add("conv", [x, b.constant(w, { layout: "csr" })], attrs).results as [typeof x];
    const g: Graph = { ops: b.ops, name: "net", params: [x], outputs: [conv], weights: b.weights };
    expect(kernels(g).map((k) => k.kernel)).toEqual(["conv_f32_sparse"]);
    const input = weights(x.type.shape as number[], 1);
    const { artifact } = await compileGraph(g, ["y"], { backends: [webgpu], report: false });
    using model = await load(artifact, { device: "webgpu" });
    const { y } = await model.run({ x: input.data });
    expect(compareModel(y!, interpret(g, [input])[0]!)).toBeUndefined();
  }
});
