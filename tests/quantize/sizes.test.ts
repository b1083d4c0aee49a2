// Weights that are small integers stay so in artifacts, whichever kernels want them as floats, and come out as the very floats they stand for.

import { describe, expect, test } from "vitest";
import { js, wasm } from "../../backends/index.ts";
import { compileGraph } from "../../compiler/compile.ts";
import { compileModel } from "../../compiler/index.ts";
import type { SchemeOptions } from "../../compiler/quantize/scheme.ts";
import { arrayOf, type DType } from "../../ir/dtype.ts";
import { type Graph, GraphBuilder, type Value } from "../../ir/graph.ts";
import { standardOps } from "../../ir/ops/index.ts";
import type { Tensor } from "../../ir/tensor.ts";
import { weightStore } from "../../ir/weights.ts";
import { WEIGHTS } from "../../runtime/artifact.ts";
import { load } from "../../runtime/index.ts";
import { noise } from "../support/noise.ts";
import { sharedPath } from "../support/shared.ts";

const count = (shape: readonly number[]): number => shape.reduce((a, d) => a * d, 1);

const MIDDLE_AND_REACH: Readonly<Partial<Record<DType, readonly [number, number]>>> = {
  i8: [0, 128],
  u8: [128, 128],
  i4: [0, 8],
  u4: [8, 8],
};

/** Levels of the type that noise falls on. */
function levels(dtype: DType, shape: readonly number[], seed: number): Tensor {
  const data = arrayOf(dtype, count(shape)) as Int8Array;
  const [middle, reach] = MIDDLE_AND_REACH[dtype]!;
  noise(shape, seed).data.forEach((x, i) => {
    data[i] = Math.floor(middle + Number(x) * reach);
  });
  return { dtype, shape, data };
}

interface Case {
  readonly dtype: DType;
  readonly shape: readonly number[];
  /** Extents of scales and zero points; one alone for all, where empty. */
  readonly scales: readonly number[];
  readonly axis: number;
  readonly block: number;
  /** Of the float artifact's weights. */
  readonly size: number;
  readonly of: (b: GraphBuilder, x: Value, w: Value) => Value;
  readonly x: readonly number[];
}

const matmul = (b: GraphBuilder, x: Value, w: Value): Value => b.value("matmul", [x, w]);
const conv = (b: GraphBuilder, x: Value, w: Value): Value => {
  const pad = ((w.type.shape[2] as number) - 1) / 2;
  return b.value("conv", [x, w], { strides: [1, 1], dilations: [1, 1], pads: [pad, pad, pad, pad], group: 1 });
};
const rows = { x: [3, 256], of: matmul } as const;
const image = { x: [1, 64, 12, 12], of: conv } as const;

const CASES: readonly Case[] = [
  { dtype: "i8", shape: [256, 512], scales: [512], axis: 1, block: 0, size: 0.27, ...rows },
  { dtype: "u8", shape: [256, 512], scales: [512], axis: 1, block: 0, size: 0.27, ...rows },
  { dtype: "i8", shape: [256, 512], scales: [], axis: 0, block: 0, size: 0.27, ...rows },
  { dtype: "i4", shape: [256, 512], scales: [8, 512], axis: 0, block: 32, size: 0.16, ...rows },
  { dtype: "u4", shape: [256, 512], scales: [4, 512], axis: 0, block: 64, size: 0.16, ...rows },
  // The last block is shorter.
  { dtype: "u4", shape: [264, 512], scales: [9, 512], axis: 0, block: 32, size: 0.17, ...rows, x: [3, 264] },
  { dtype: "i4", shape: [96, 64, 1, 1], scales: [96, 2, 1, 1], axis: 1, block: 32, size: 0.17, ...image },
  { dtype: "i8", shape: [96, 64, 3, 3], scales: [96], axis: 0, block: 0, size: 0.27, ...image },
  { dtype: "i4", shape: [96, 64, 3, 3], scales: [96], axis: 0, block: 0, size: 0.16, ...image },
  { dtype: "i8", shape: [96, 64, 5, 5], scales: [], axis: 0, block: 0, size: 0.27, ...image },
];

function graphs({ dtype, shape, scales, axis, block, of, x }: Case): { readonly quantized: Graph; readonly float: Graph } {
  const b = new GraphBuilder(standardOps, weightStore());
  const input = b.param("x", "f32", x);
  const q = levels(dtype, shape, 1);
  const scale: Tensor = { ...noise(scales, 2), data: (noise(scales, 2).data as Float32Array).map((s) => 0.01 + s * s) };
  const zero = dtype.startsWith("u") ? [b.constant(levels(dtype, scales, 3))] : [];
  const w = b.value("dequantize", [b.constant(q), b.constant(scale), ...zero], { axis, block, to: "f32" });
  const graph = (y: Value): Graph => ({ ops: standardOps, name: "g", params: [input], outputs: [y], weights: b.weights });
  // A float more keeps the content apart from that of the integers.
  const plain = noise(shape, 5);
  return { quantized: graph(of(b, input, w)), float: graph(of(b, input, b.constant(plain))) };
}

const backends = [wasm, js];
const bytesOf = ({ artifact }: Awaited<ReturnType<typeof compileGraph>>): number => artifact.files.get(WEIGHTS)!.length;

describe("weights of small integers", () => {
  test.each(CASES)("$dtype $shape, scales $scales", { timeout: 60_000 }, async (c) => {
    const { quantized, float } = graphs(c);
    const packed = await compileGraph(quantized, ["y"], { backends });
    expect(bytesOf(packed) / bytesOf(await compileGraph(float, ["y"], { backends }))).toBeLessThanOrEqual(c.size);
    // The same floats without their history are stored as floats.
    const weights = { ...quantized.weights, get: (ref: string): Tensor => ({ ...packed.report.graph.weights.get(ref), made: undefined! }) };
    const unpacked = await compileGraph({ ...packed.report.graph, weights }, ["y"], { backends, pipeline: [] });
    expect(bytesOf(unpacked)).toBeGreaterThan(3 * bytesOf(packed));
    for (const device of ["wasm", "js"]) {
      const run = async ({ artifact }: typeof packed) => {
        const model = await load(artifact, { device });
        return Array.from((await model.run({ x: noise(c.x, 9).data as Float32Array })).y!.data as Float32Array);
      };
      const [a, e] = [await run(packed), await run(unpacked)];
      expect(a.findIndex((v, i) => v !== e[i])).toBe(-1);
    }
  });
});

const MODELS: readonly (readonly [model: string, scheme: SchemeOptions["scheme"], size: number])[] = [
  ["resnet20-cifar10", "int8-weights", 0.27],
  ["sst2-encoder-dense", "int8-weights", 0.27],
];

describe.skipIf(sharedPath("models") === undefined)("artifacts of models", () => {
  const bytes = async (name: string, options: object): Promise<number> =>
    (await compileModel(sharedPath("models", `${name}.onnx`)!, options)).artifact.files.get(WEIGHTS)!.length;

  test.each(MODELS)("%s, %s", { timeout: 120_000 }, async (name, scheme, size) => {
    const options = name.startsWith("sst2") ? { dims: { B: 1, T: 32 } } : {};
    const ratio = (await bytes(name, { ...options, quantize: { scheme } })) / (await bytes(name, options));
    console.log(name, scheme, ratio);
    expect(ratio).toBeLessThanOrEqual(size);
  });

  // Less their zero points, its weights need nine bits.
  test("mobilenetv2, unsigned weights", { timeout: 120_000 }, async () => {
    const floats = await bytes("mobilenetv2-1.0-224-fp32-dequantised", {});
    expect((await bytes("mobilenetv2-1.0-224-uint8-qdq", {})) / floats).toBeLessThanOrEqual(0.27);
  });
});
