// Products of small integers in blocks on a device against the reference: of 4 and 8 bits, with scales and zero points of all kinds.

import { describe, expect, test } from "vitest";
import { wasm, webgpu } from "../../backends/index.ts";
import { compileGraph } from "../../compiler/compile.ts";
import { roundedRows } from "../../compiler/rules/row-blocks.ts";
import { type Graph, GraphBuilder, type Value } from "../../ir/graph.ts";
import { standardOps } from "../../ir/ops/index.ts";
import { weightStore } from "../../ir/weights.ts";
import { WEIGHTS } from "../../runtime/artifact.ts";
import { webgpuExecutor } from "../../runtime/executors/webgpu.ts";
import { load } from "../../runtime/index.ts";
import type { Sketch } from "../conformance/sketch.ts";
import { noise } from "../support/noise.ts";
import { webgpuSkipped } from "../support/webgpu.ts";
import { checkDevice, deviceCase, testOnDriver } from "./device-cases.ts";

interface Case {
  readonly rows: number;
  readonly depth: number;
  readonly features: number;
  readonly bits: 4 | 8;
  readonly scaled: boolean;
  readonly centred?: "blocks" | "rows";
}

const CASES: readonly Case[] = [
  { rows: 1, depth: 64, features: 12, bits: 4, scaled: true },
  { rows: 1, depth: 64, features: 12, bits: 8, scaled: true },
  { rows: 1, depth: 32, features: 4, bits: 8, scaled: false },
  { rows: 3, depth: 96, features: 20, bits: 4, scaled: false, centred: "rows" },
  { rows: 2, depth: 160, features: 36, bits: 8, scaled: true, centred: "blocks" },
  { rows: 1, depth: 2080, features: 8, bits: 4, scaled: true, centred: "blocks" },
  { rows: 2, depth: 288, features: 300, bits: 8, scaled: false, centred: "rows" },
];

const numbers = (n: number, low: number, high: number, seed: number): number[] =>
  Array.from({ length: n }, (_, i) => low + ((i * 131 + ((i * i + seed) % 97) * 7 + seed) % (high - low + 1)));

function product(s: Sketch, { rows, depth, features, bits, scaled, centred }: Case): Value {
  const [dtype, blocks] = [bits === 4 ? "u4" : "u8", depth / 32] as const;
  const top = 2 ** bits - 1;
  const scales = (n: number): number[] => numbers(n, 1, 64, 5).map((q) => q / 4096);
  const own = scaled ? blocks : 1;
  const zeros =
    centred &&
    s.constant(dtype, [features, centred === "rows" ? 1 : blocks], numbers(features * (centred === "rows" ? 1 : blocks), 0, top, 3));
  const operands = [
    s.input("i8", [rows, depth], numbers(rows * depth, -127, 127, 1)),
    s.input("f32", [rows, blocks], scales(rows * blocks)),
    s.constant(dtype, [features, depth], numbers(features * depth, 0, top, 2)),
    s.constant("f32", [features, own], scales(features * own)),
    ...(zeros ? [zeros] : []),
  ];
  const y = s.op("block_product", operands, { block: 32, zero: zeros ? 0 : bits === 4 ? 8 : 77, limit: 127 });
  return s.op("relu", [s.op("add", [y, s.constant("f32", [features], scales(features))])]);
}

const named = ({ rows, depth, features, bits, scaled, centred }: Case): string =>
  `${rows} x ${depth} by ${features} of ${bits} bits, ${scaled ? "scales of blocks" : "scales of rows"}, ${centred ?? "one zero point"}`;

describe("products in blocks", () => {
  for (const c of CASES)
    test(named(c), () =>
      checkDevice(
        deviceCase((s) => product(s, c)),
        [`matmul_i8_u${c.bits}_blocks`],
      ),
    );
  testOnDriver(CASES.map((c) => (s: Sketch) => product(s, c)));
});

describe("models of few rows for hosts and devices", () => {
  const [rows, depth, features] = [2, 128, 256];
  const graphs = ([4, 8] as const).map((bits): Graph => {
    const b = new GraphBuilder(standardOps, weightStore());
    const x = b.param("x", "f32", [rows, depth]);
    const integers = Int8Array.from(numbers(depth * features, bits === 4 ? -8 : -127, bits === 4 ? 7 : 127, 2));
    const scales = b.constant({
      dtype: "f32",
      shape: [depth / 32, features],
      data: Float32Array.from(numbers((depth / 32) * features, 1, 64, 5), (q) => q / 4096),
    });
    const w = b.value("dequantize", [b.constant({ dtype: bits === 4 ? "i4" : "i8", shape: [depth, features], data: integers }), scales], {
      axis: 0,
      block: 32,
      to: "f32",
    });
    const y = b.value("matmul", [roundedRows(b, x, { block: 32, limit: bits === 4 ? 127 : 63 }), w]);
    return { ops: standardOps, name: "g", params: [x], outputs: [y], weights: b.weights };
  });
  const names = ["of 4 bits", "of 8 bits"];

  test.each(names)("hold weights %s once", async (name) => {
    const g = graphs[names.indexOf(name)]!;
    const of = async (backends: Parameters<typeof compileGraph>[2]["backends"]) => (await compileGraph(g, ["y"], { backends })).artifact;
    const [one, both] = [await of([wasm]), await of([wasm, webgpu])];
    expect(both.files.get(WEIGHTS)!.length).toBe(one.files.get(WEIGHTS)!.length);
    expect(one.files.get(WEIGHTS)!.length).toBeLessThan(0.4 * 4 * depth * features);
  });

  const reason = webgpuSkipped();
  test.skipIf(reason !== undefined).each(names)(
    `compute the same by weights %s${reason ? ` (${reason})` : ""}`,
    { timeout: 60_000 },
    async (name) => {
      const { artifact } = await compileGraph(graphs[names.indexOf(name)]!, ["y"], { backends: [wasm, webgpu] });
      const x = noise([rows, depth], 4).data as Float32Array;
      const run = async (device: string): Promise<Float32Array> => {
        const model = await load(artifact, { device, executors: [webgpuExecutor] });
        try {
          return (await model.run({ x }))["y"]!.data as Float32Array;
        } finally {
          model.dispose();
        }
      };
      const expected = await run("wasm:baseline");
      const largest = Math.max(...expected.map(Math.abs));
      for (const { name: variant } of artifact.manifest.variants.filter((v) => v.backend === "webgpu")) {
        const y = await run(`webgpu:${variant}`);
        // Integers are the same; floats of blocks are added up in another order.
        expect(Math.max(...y.map((v, i) => Math.abs(v - expected[i]!)))).toBeLessThan(1e-5 * largest);
      }
    },
  );
});
