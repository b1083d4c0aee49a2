// Buffers larger than one binding may be: bound in windows that kernels choose from by index. Limits here are tiny, so that tensors may be.

import { describe, expect, test } from "vitest";
import { compileGraph } from "../../compiler/compile.ts";
import type { DType, TypedArray } from "../../ir/dtype.ts";
import { GraphBuilder, type Value } from "../../ir/graph.ts";
import { interpret } from "../../ir/interpret.ts";
import { standardOps } from "../../ir/ops/index.ts";
import { weightStore } from "../../ir/weights.ts";
import type { Command, VariantManifest } from "../../runtime/artifact.ts";
import { webgpuExecutor } from "../../runtime/executors/webgpu.ts";
import { load } from "../../runtime/index.ts";
import { conformance } from "../conformance/index.ts";
import { bindAtMost } from "../support/bind-at-most.ts";
import { gpu, sharedDevice, webgpuSkipped } from "../support/webgpu.ts";

const skipped = webgpuSkipped() !== undefined;

/** Those of the suite's cases with tensors of more than 256 bytes, less some that take long. */
const LARGE = new Set(
  ["reduce f16", "reduce u32", "matmul", "matmul with weights, bias and activation", "conv", "conv of one and three spatial axes"]
    .concat(["conv with weights known at run time", "conv_transpose", "pool", "reshape, transpose, slice", "composite layer_norm"])
    .concat(["bounded extents", "sparse conv", "sparse matmul", "sparse blocks, rows, and nothing but zeros"])
    .map((name) => `webgpu:base ${name}`),
);
if (!skipped) {
  const chosen: string[] = [];
  const register = (name: string, body: () => Promise<void>): void => {
    if (!LARGE.has(name)) return;
    chosen.push(name);
    test(name, body);
  };
  await conformance(bindAtMost(256), webgpuExecutor, { test: register, without: ["f64"] });
  test("the suite has those cases", () => expect(new Set(chosen)).toEqual(LARGE));
}

type Dispatch = Command & { readonly kind: "dispatch" };
const dispatches = ({ schedule }: VariantManifest): readonly Dispatch[] => schedule!.commands.filter((c) => c.kind === "dispatch");

async function compiled(
  params: readonly (readonly [DType, readonly number[]])[],
  build: (b: GraphBuilder, xs: readonly Value[]) => Value,
  binding = 1024,
) {
  const weights = weightStore();
  const b = new GraphBuilder(standardOps, weights);
  const values = params.map(([dtype, shape], k) => b.param(`x${k}`, dtype, shape));
  const graph = { ops: standardOps, name: "windows", params: values, outputs: [build(b, values)], weights };
  const { artifact } = await compileGraph(graph, ["y"], { backends: [bindAtMost(binding)], sparsity: "off" });
  return { graph, artifact, variants: artifact.manifest.variants };
}

/** The base variant of a program gives what the reference does, and binds no more than it may. */
async function check({ graph, artifact, variants }: Awaited<ReturnType<typeof compiled>>, data: readonly TypedArray[]): Promise<void> {
  const base = variants.find((v) => v.name === "base")!;
  expect(base.needs).toEqual(["webgpu"]);
  for (const { bind } of dispatches(base)) {
    expect(bind.length).toBeLessThanOrEqual(8);
    for (const { bytes } of bind) expect(bytes).toBeLessThanOrEqual(1024);
  }
  if (skipped) return;
  const inputs = graph.params.map((p, i) => ({ dtype: p.type.dtype, shape: p.type.shape as readonly number[], data: data[i]! }));
  const [expected] = interpret(graph, inputs);
  using model = await load(artifact, { device: "webgpu:base", gpu: await sharedDevice() });
  const feed = Object.fromEntries(inputs.map(({ data }, i) => [`x${i}`, data]));
  expect((await model.run(feed))["y"]!.data).toEqual(expected!.data);
  const kept = (await model.run(feed, { output: "gpu" }))["y"]!;
  const device = await sharedDevice();
  const staging = device.createBuffer({ size: kept.buffer.size, usage: 9 });
  const encoder = device.createCommandEncoder();
  encoder.copyBufferToBuffer(kept.buffer, 0, staging, 0, staging.size);
  device.queue.submit([encoder.finish()]);
  await staging.mapAsync(1);
  const bytes = new Uint8Array(staging.getMappedRange());
  const all = expected!.data;
  expect(bytes.subarray(0, all.byteLength)).toEqual(new Uint8Array(all.buffer, all.byteOffset, all.byteLength));
}

const bytes = (n: number, of = 251): Uint8Array => Uint8Array.from({ length: n }, (_, i) => (i * 7919) % of);
const floats = (n: number): Float32Array => Float32Array.from({ length: n }, (_, i) => ((i * 7919) % 1021) - 500);

describe("windows", () => {
  test("of a weight: rows gathered from five bindings", async () => {
    const table = floats(39 * 32);
    const gather = (b: GraphBuilder, [x]: readonly Value[]): Value => {
      const embedding = b.constant({ dtype: "f32", shape: [39, 32], data: table });
      return b.value("gather", [embedding, x!], { axis: 0 });
    };
    const program = await compiled([["i64", [6]]], gather);
    expect(program.variants.map((v) => v.needs.length)).toEqual([2, 1]);
    expect(program.variants.map((v) => v.schedule!.weightCuts)).toEqual([undefined, [0, 1024, 2048, 3072, 4096]]);
    await check(program, [BigInt64Array.of(0n, 38n, 7n, 8n, 23n, 24n)]);
  });

  test("of what is read and written, an element or four of them at a time, wide and narrow", async () => {
    for (const n of [1020, 1019, 900]) await check(await compiled([["f32", [n]]], (b, [x]) => b.value("neg", [x!])), [floats(n)]);
    await check(await compiled([["u8", [4001]]], (b, [x]) => b.value("max", [x!, x!])), [bytes(4001)]);
    const logic = (b: GraphBuilder, [x]: readonly Value[]): Value => b.value("le", [x!, x!]);
    await check(await compiled([["i32", [700]]], logic), [Int32Array.from(floats(700))]);
    const wide = BigInt64Array.from(floats(400), BigInt);
    await check(await compiled([["i64", [400]]], (b, [x]) => b.value("mul", [x!, x!])), [wide]);
  });

  test("of halves, where the device has them as elements", async () => {
    const n = 1900;
    const { artifact, variants } = await compiled([["f16", [n]]], (b, [x]) => b.value("abs", [x!]));
    expect(variants.map((v) => v.name)).toEqual(["full-large", "full", "base-large", "base"]);
    if (skipped) return;
    const x = Uint16Array.from({ length: n }, (_, i) => 0x8000 + i);
    const halves = (await gpu().requestAdapter())!.features.has("shader-f16");
    if (!halves) console.log("variants with halves are not run: the adapter has no shader-f16");
    for (const device of [...(halves ? ["webgpu:full", "webgpu:full-large"] : []), "webgpu:base"]) {
      using model = await load(artifact, { device });
      expect((await model.run({ x0: x }))["y"]!.data).toEqual(x.map((bits) => bits & 0x7fff));
    }
  });

  test("of slices of a concatenation", async () => {
    const join = (b: GraphBuilder, xs: readonly Value[]): Value =>
      b.value("neg", [
        b.value(
          "concat",
          xs.map((x) => b.value("abs", [x])),
          { axis: 0 },
        ),
      ]);
    await check(
      await compiled(
        [
          ["f32", [300]],
          ["f32", [500]],
        ],
        join,
      ),
      [floats(300), floats(500)],
    );
  });

  test("are no smaller than it takes for a kernel to bind them all, and that is a need", async () => {
    const sum = (b: GraphBuilder, [x, y]: readonly Value[]): Value => b.value("add", [x!, y!]);
    const params = [
      ["f32", [700]],
      ["f32", [700]],
    ] as const;
    const { variants } = await compiled(params, sum, 512);
    expect(variants.map((v) => [v.name, ...v.needs.slice(1)])).toEqual([
      ["base-large", "limit:maxStorageBufferBindingSize=2816"],
      ["base", "limit:maxStorageBufferBindingSize=2048"],
    ]);
  });

  test("are none where nothing is large, but weights lie in several buffers", async () => {
    const chain = (b: GraphBuilder, [x]: readonly Value[]): Value =>
      [1, 2, 3].reduce(
        (value, k) => b.value(k === 2 ? "max" : "mul", [value, b.constant({ dtype: "f32", shape: [200], data: floats(200 + k).slice(k) })]),
        x!,
      );
    const program = await compiled([["f32", [200]]], chain);
    expect(program.variants.map((v) => v.name)).toEqual(["base"]);
    expect(program.variants[0]!.schedule!.weightCuts).toEqual([0, 1024, 2048]);
    await check(program, [floats(200)]);
  });
});
