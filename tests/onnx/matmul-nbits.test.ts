// MatMulNBits becomes a product with a dequantized constant: packing, zero points, shorter last blocks; as onnxruntime computes it.

import { expect, test } from "vitest";
import { encodeModel, type GraphInit, type ModelInit, type NamedTensorInit } from "../../compiler/onnx/proto/encode.ts";
import { defaultPipeline, runPipeline } from "../../compiler/pipeline.ts";
import { bytesOf } from "../../ir/dtype.ts";
import { topological } from "../../ir/graph.ts";
import { interpret } from "../../ir/interpret.ts";
import { noise } from "../support/noise.ts";
import { openOracle } from "../support/onnxruntime.ts";
import { errorOf, importModel, runImported } from "../support/run-model.ts";
import { testTensor } from "../support/tensors.ts";

interface Case {
  readonly columns: number;
  readonly rows: number;
  readonly bits: 4 | 8;
  readonly block: number;
  readonly zeros?: "middle" | "own";
  readonly biased?: boolean;
}

const bytes = (count: number, seed: number): Uint8Array =>
  Uint8Array.from({ length: count }, (_, i) => (i * 73 + seed * 31 + (i >> 3)) & 255);

function model({ columns, rows, bits, block, zeros, biased }: Case): ModelInit & GraphInit {
  const blocks = Math.ceil(columns / block);
  const packed = Math.ceil((blocks * bits) / 8);
  const initializers: NamedTensorInit[] = [
    { name: "w", dtype: "u8", shape: [rows, blocks, (block * bits) / 8], data: bytes((rows * blocks * block * bits) / 8, 1) },
    { name: "s", dtype: "f32", shape: [rows * blocks], data: (noise([rows * blocks], 2).data as Float32Array).map((s) => 0.01 + s * s) },
    ...(zeros
      ? [
          {
            name: "z",
            dtype: "u8",
            shape: [rows * packed],
            data: zeros === "own" ? bytes(rows * packed, 5) : new Uint8Array(rows * packed).fill(bits === 4 ? 0x88 : 0x80),
          } as const,
        ]
      : []),
    ...(biased ? [{ name: "b", dtype: "f32", shape: [rows], data: noise([rows], 4).data } as const] : []),
  ];
  return {
    opset: { "": 21, "com.microsoft": 1 } as never,
    inputs: [{ name: "x", dtype: "f32", shape: [2, 3, columns] }],
    outputs: [{ name: "y", dtype: "f32", shape: [2, 3, rows] }],
    initializers,
    nodes: [
      {
        op: "MatMulNBits",
        domain: "com.microsoft",
        name: "product",
        inputs: ["x", "w", "s", zeros ? "z" : "", "", biased ? "b" : ""].slice(0, biased ? 6 : zeros ? 4 : 3),
        outputs: ["y"],
        attributes: { K: { int: columns }, N: { int: rows }, bits: { int: bits }, block_size: { int: block } },
      },
    ],
  };
}

test.each<Case>([
  { columns: 64, rows: 6, bits: 4, block: 32 },
  { columns: 64, rows: 5, bits: 4, block: 16, zeros: "own" },
  { columns: 96, rows: 4, bits: 4, block: 32, zeros: "own", biased: true },
  { columns: 72, rows: 3, bits: 4, block: 32, zeros: "middle" },
  { columns: 40, rows: 3, bits: 4, block: 16, zeros: "own" },
  { columns: 64, rows: 6, bits: 8, block: 32 },
])("$bits bits, $columns x $rows, blocks of $block, zero points $zeros", async (c) => {
  const init = model(c);
  const imported = importModel(init);
  const x = noise([2, 3, c.columns], 3);
  const oracle = await openOracle(encodeModel(init));
  const expected = (await oracle.run([testTensor("x", "f32", x.shape, bytesOf(x.data))])).get("y")!;
  await oracle.release();
  const actual = runImported(imported, { x }).get("y")!;
  expect(actual.shape).toEqual([2, 3, c.rows]);
  actual.data.forEach((value, i) => void expect(value).toBeCloseTo(Number(expected.data[i]), 3));
  const [weights] = topological(imported.graph.outputs).filter((n) => n.op === "dequantize");
  expect(weights!.inputs[0]!.type).toMatchObject({ dtype: `${c.zeros === "own" ? "u" : "i"}${c.bits}`, shape: [c.columns, c.rows] });
  expect(weights!.attrs).toMatchObject({ axis: 0, block: c.block });
});

test("few rows are rounded in blocks where accuracy_level allows it, and come close", async () => {
  const init = model({ columns: 64, rows: 8, bits: 4, block: 32 });
  const x = noise([2, 3, 64], 3);
  const rounded = importModel({
    ...init,
    nodes: init.nodes.map((n) => ({ ...n, attributes: { ...n.attributes, accuracy_level: { int: 4 } } })),
  });
  expect(topological(rounded.graph.outputs).filter((n) => n.op === "quantize")).toHaveLength(1);
  const [actual, expected] = [rounded, importModel(init)].map((m) => runImported(m, { x }).get("y")!);
  expect(actual!.shape).toEqual([2, 3, 8]);
  const norm = (xs: readonly number[]): number => Math.hypot(...xs);
  const error = norm(actual!.data.map((v, i) => v - expected!.data[i]!)) / norm(expected!.data);
  expect(error).toSatisfy((e: number) => e > 0 && e < 0.01);
});

const base: Case = { columns: 64, rows: 6, bits: 4, block: 32 };
const changed = (by: (m: ReturnType<typeof model>) => GraphInit): GraphInit => ({ ...model(base), ...by(model(base)) });
const attributes = (more: Readonly<Record<string, number>>): GraphInit =>
  changed((m) => ({
    ...m,
    nodes: m.nodes.map((n) => ({
      ...n,
      attributes: { ...n.attributes, ...Object.fromEntries(Object.entries(more).map(([k, v]) => [k, { int: v }])) },
    })),
  }));
const initializer = (t: NamedTensorInit): GraphInit =>
  changed((m) => ({ ...m, initializers: m.initializers!.map((i) => (i.name === t.name ? t : i)) }));

test.each([
  [4, 32, 1, 1],
  [8, 32, 1, 0],
  [4, 64, 1, 1],
  [4, 32, 0, 0],
] as const)("%i bits in blocks of %i: few rows are rounded where accuracy_level lets them, %i", async (bits, block, level, blocks) => {
  const init = model({ columns: 128, rows: 8, bits, block, zeros: "own" });
  const node = init.nodes[0]!;
  const leveled = { ...init, nodes: [{ ...node, attributes: { ...node.attributes, accuracy_level: { int: 4 * level } } }] };
  const { graph } = importModel(leveled);
  const { graph: better } = runPipeline(graph, defaultPipeline);
  expect(topological(better.outputs).filter((n) => n.op === "block_product")).toHaveLength(blocks);
  const x = noise([2, 3, 128], 3);
  const oracle = await openOracle(encodeModel(leveled));
  const expected = (await oracle.run([testTensor("x", "f32", x.shape, bytesOf(x.data))])).get("y")!;
  await oracle.release();
  const [y] = interpret(better, [x]);
  const largest = Math.max(...Array.from(expected.data as Float32Array, Math.abs));
  (y!.data as Float32Array).forEach((value, i) => {
    expect(Math.abs(value - Number(expected.data[i]))).toBeLessThan(0.01 * largest);
  });
});

test.each<[string, GraphInit, string, RegExp]>([
  ["a block size that is no power of two", attributes({ block_size: 48 }), "bad-model", /'block_size' is 48/],
  [
    "a block size that gives other blocks",
    attributes({ block_size: 64 }),
    "bad-model",
    /scale "s" is f32\[12\], and there are 6 rows of 1 blocks/,
  ],
  ["weights of three bits", attributes({ bits: 3 }), "unsupported", /weights of 3 bits/],
  ["a K that is not the activation's", attributes({ K: 60 }), "bad-model", /the activation is f32\[2,3,64\], and K is 60/],
  [
    "too few bytes",
    initializer({ name: "w", dtype: "u8", shape: [6, 2, 15], data: new Uint8Array(180) }),
    "bad-model",
    /"w"\) is u8\[6,2,15\]/,
  ],
  [
    "a scale that is no number",
    initializer({ name: "s", dtype: "f32", shape: [12], data: new Float32Array(12).fill(Number.NaN) }),
    "bad-model",
    /element 0 of scale "s" is NaN/,
  ],
])("%s is an error", (_, graph, code, message) => {
  const error = errorOf(() => importModel(graph));
  expect(error.code).toBe(code);
  expect(error.message).toContain("test.onnx (product): ");
  expect(error.message).toMatch(message);
});
