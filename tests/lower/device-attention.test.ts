// Attention whole on a device, against the reference, over shapes with every kind of edge.

import { describe, expect, test } from "vitest";
import { webgpu } from "../../backends/webgpu/index.ts";
import { lowerGraph } from "../../compiler/lower/lower.ts";
import type { Lowered } from "../../compiler/lower/template.ts";
import { passContext } from "../../compiler/pass.ts";
import { expand } from "../../compiler/passes/expand.ts";
import { fuse } from "../../compiler/passes/fuse.ts";
import { type Graph, GraphBuilder, type Value } from "../../ir/graph.ts";
import { interpret } from "../../ir/interpret.ts";
import { standardOps } from "../../ir/ops/index.ts";
import { type Tensor, tensorOf } from "../../ir/tensor.ts";
import { weightStore } from "../../ir/weights.ts";
import type { Sketch } from "../conformance/sketch.ts";
import { runLowered } from "../support/run-lowered.ts";
import { checkDevice, deviceCase, runKernel, testOnDriver } from "./device-cases.ts";

const { can } = webgpu.variants.at(-1)!;
const WHOLE = /^attention whole/;

const count = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);
const noise = (shape: readonly number[], seed: number): Tensor =>
  tensorOf(
    "f32",
    shape,
    Array.from({ length: count(shape) }, (_, i) => Math.sin(seed + 12.9898 * (i + 1)) * 2.5),
  );

interface Case {
  readonly lead: readonly number[];
  readonly queries: number;
  readonly keys: number;
  readonly size: number;
  readonly depth: number;
  /** What is added to the scores. */
  readonly mask?: Tensor;
  /** Whether queries, keys and values lie [batch, token, head, element], as projections leave them. */
  readonly heads?: boolean;
}

function graphOf({ lead, queries, keys, size, depth, mask, heads }: Case, more: (b: GraphBuilder, y: Value) => Value = (_, y) => y): Graph {
  const b = new GraphBuilder(standardOps, weightStore());
  const param = (name: string, rows: number, columns: number): Value => {
    if (!heads) return b.param(name, "f32", [...lead, rows, columns]);
    return b.param(name, "f32", [lead[0]!, rows, lead[1]!, columns]);
  };
  const params = [param("q", queries, size), param("k", keys, size), param("v", keys, depth)];
  const [q, k, v] = params.map((x) => (heads ? b.value("transpose", [x], { perm: [0, 2, 1, 3] }) : x)) as [Value, Value, Value];
  const axes = [...lead.keys(), lead.length + 1, lead.length];
  const product = b.value("matmul", [q, b.value("transpose", [k], { perm: axes })]);
  const scaled = b.value("mul", [product, b.constant(tensorOf("f32", [], [1 / Math.sqrt(size)]))]);
  const scores = mask ? b.value("add", [scaled, b.constant(mask)]) : scaled;
  const y = more(b, b.value("matmul", [b.value("softmax", [scores], { axis: lead.length + 1 }), v]));
  const graph = { ops: b.ops, name: "net", params, outputs: [y], weights: b.weights };
  return fuse.run(expand.run(graph, passContext()), passContext());
}

const kernelsOf = (g: Graph): Lowered[] => lowerGraph(g, can).steps.flatMap((s) => (s.kind === "kernel" ? [s.lowered] : []));

function check(g: Graph): void {
  const xs = g.params.map((p, k) => noise(p.type.shape as readonly number[], k + 3));
  const want = interpret(g, xs)[0]!.data;
  const got = runLowered(g, xs, can)[0]!.data;
  expect(got.length).toBe(want.length);
  got.forEach((v, i) => {
    const [found, wanted] = [Number(v), Number(want[i])];
    expect(Object.is(found, wanted) ? 0 : Math.abs(found - wanted), `element ${i}`).toBeLessThan(1e-5);
  });
}

const causal = (queries: number, keys: number): Tensor => {
  const t = noise([queries, keys], 1);
  for (let i = 0; i < queries; i++) for (let j = 0; j < keys; j++) t.data[i * keys + j] = j <= i ? 0 : Number.NEGATIVE_INFINITY;
  return t;
};

describe("whole", () => {
  test.each<readonly [string, Case]>([
    ["whole tiles", { lead: [1, 2], queries: 64, keys: 64, size: 8, depth: 8 }],
    ["a block and a tile that are cut", { lead: [2], queries: 70, keys: 37, size: 8, depth: 4 }],
    ["fewer keys than a tile", { lead: [3], queries: 9, keys: 6, size: 4, depth: 12 }],
    ["two keys", { lead: [3], queries: 8, keys: 2, size: 4, depth: 4 }],
    ["no batch", { lead: [], queries: 16, keys: 40, size: 16, depth: 8 }],
    ["long rows", { lead: [1], queries: 10, keys: 20, size: 128, depth: 128 }],
    ["tokens before heads", { lead: [2, 3], queries: 20, keys: 36, size: 8, depth: 8, heads: true }],
    ["a mask of keys", { lead: [1, 2], queries: 12, keys: 33, size: 8, depth: 8, mask: noise([1, 1, 1, 33], 5) }],
    ["no later keys", { lead: [1, 2], queries: 40, keys: 40, size: 8, depth: 8, mask: causal(40, 40) }],
    ["a bias of every score", { lead: [2, 2], queries: 12, keys: 9, size: 8, depth: 8, mask: noise([2, 2, 12, 9], 5) }],
    [
      "no key at all for some",
      {
        lead: [1],
        queries: 8,
        keys: 34,
        size: 4,
        depth: 4,
        mask: (() => {
          const t = causal(8, 34);
          for (let j = 0; j < 34; j++) t.data[3 * 34 + j] = Number.NEGATIVE_INFINITY;
          t.data[5 * 34 + 1] = Number.NaN;
          t.data[6 * 34 + 33] = Number.POSITIVE_INFINITY;
          for (let j = 0; j < 33; j++) t.data[7 * 34 + j] = Number.NEGATIVE_INFINITY;
          t.data[7 * 34 + 33] = 1;
          return t;
        })(),
      },
    ],
  ])("%s", (_, c) => {
    const g = graphOf(c);
    check(g);
    expect(kernelsOf(g).map((k) => k.why)).toEqual([expect.stringMatching(WHOLE)]);
  });
});

test("a transposition of the result costs nothing", () => {
  const c: Case = { lead: [2, 3], queries: 20, keys: 10, size: 8, depth: 8 };
  const g = graphOf(c, (b, y) => b.value("reshape", [b.value("transpose", [y], { perm: [0, 2, 1, 3] })], { shape: [40, 24] }));
  check(g);
  expect(kernelsOf(g)).toHaveLength(1);
  const columns = graphOf(c, (b, y) => b.value("transpose", [y], { perm: [1, 3, 2, 0] }));
  check(columns);
  expect(kernelsOf(columns)).toHaveLength(1);
  const parts = graphOf({ ...c, size: 6 }, (b, y) => b.value("transpose", [y], { perm: [0, 2, 1, 3] }));
  check(parts);
});

describe("in parts", () => {
  const usual: Case = { lead: [2], queries: 12, keys: 9, size: 8, depth: 8 };
  test.each<readonly [string, Case]>([
    ["few queries", { ...usual, queries: 1 }],
    ["rows that are no vectors", { ...usual, size: 6 }],
    ["rows that are too long", { ...usual, depth: 132 }],
  ])("%s", (_, c) => {
    const g = graphOf(c);
    check(g);
    expect(kernelsOf(g).filter((k) => WHOLE.test(k.why))).toEqual([]);
  });
  test("probabilities that are asked for", () => {
    const g = graphOf(usual);
    const softmax = g.outputs[0]!.node.inputs[0]!;
    const both = { ...g, outputs: [...g.outputs, softmax] };
    check(both);
    expect(kernelsOf(both)).toHaveLength(3);
  });
  test("a product that goes on", () => {
    const g = graphOf(usual, (b, y) => b.value("relu", [y]));
    check(g);
    expect(kernelsOf(g).filter((k) => WHOLE.test(k.why))).toEqual([]);
  });
});

const onDevice = [
  [8, 8, 64, 37],
  [64, 32, 70, 20],
  [128, 128, 12, 18],
].map(([size, depth, queries, keys]) => (s: Sketch): Value => {
  const product = s.op("matmul", [s.input("f32", [2, queries!, size!]), s.input("f32", [2, size!, keys!])]);
  const scores = s.op("add", [s.op("mul", [product, s.constant("f32", [], [0.1])]), s.input("f32", [queries!, keys!])]);
  return s.op("matmul", [s.op("softmax", [scores], { axis: 2 }), s.input("f32", [2, keys!, depth!])]);
});
test.each(onDevice.map((build, k) => [k, build] as const))("WGSL of sample %i", (_, build) =>
  checkDevice(deviceCase(build), ["attention_f32"]),
);
// Software drivers take minutes to compile longer rows.
testOnDriver(onDevice.slice(0, 1));

test("keys and values are loaded once for each block of queries", () => {
  const c = deviceCase((s) => {
    const scores = s.op("matmul", [s.input("f32", [1, 128, 16]), s.input("f32", [1, 16, 96])]);
    return s.op("matmul", [s.op("softmax", [scores], { axis: 2 }), s.input("f32", [1, 96, 16])]);
  });
  const [kernel] = kernelsOf(c.graph);
  const { loads } = runKernel(kernel!);
  expect(loads).toBe(128 * 16 + 2 * (96 * 16 + 96 * 16));
});
