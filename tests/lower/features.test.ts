// Encoder blocks through the layout of features as rows of tokens, against the reference: no transpose between input and output.

import { describe, expect, test } from "vitest";
import { lowerGraph } from "../../compiler/lower/lower.ts";
import { passContext } from "../../compiler/pass.ts";
import { expand } from "../../compiler/passes/expand.ts";
import { fuse } from "../../compiler/passes/fuse.ts";
import { type Graph, GraphBuilder, type Value } from "../../ir/graph.ts";
import { interpret } from "../../ir/interpret.ts";
import { standardOps } from "../../ir/ops/index.ts";
import { type Tensor, tensorOf } from "../../ir/tensor.ts";
import { weightStore } from "../../ir/weights.ts";
import { noise } from "../support/noise.ts";
import { runLowered, SCALAR_TARGET, VECTOR_TARGET } from "../support/run-lowered.ts";

interface Encoder {
  readonly batch: number;
  readonly tokens: number;
  readonly heads: number;
  readonly size: number;
  readonly zeros: number;
  readonly mask: "none" | "keys" | "all" | "causal";
  readonly norm: "layer_norm" | "rms_norm";
}

/** One block: attention and a feed-forward part, each with its residual and norm. */
function encoder(e: Encoder): { readonly graph: Graph; readonly inputs: readonly Tensor[] } {
  const b = new GraphBuilder(standardOps, weightStore());
  const { batch, tokens, heads, size } = e;
  const width = heads * size;
  let seed = 1;
  const weight = (shape: readonly number[], zeros = 0) => b.constant(noise(shape, seed++, zeros));
  const linear = (x: Value, k: number, m: number): Value => {
    const w = b.constant(noise([k, m], seed++, e.zeros), e.zeros > 0 ? { layout: "csc" } : {});
    return b.value("add", [b.value("matmul", [x, w]), weight([m])]);
  };
  const split = (x: Value, perm: readonly number[]) =>
    b.value("transpose", [b.value("reshape", [x], { shape: [batch, tokens, heads, size] })], { perm });
  const norm = (x: Value) =>
    b.value(e.norm, e.norm === "rms_norm" ? [x, weight([width])] : [x, weight([width]), weight([width])], { axis: 1, epsilon: 1e-5 });
  const input = b.param("x", "f32", [batch, tokens, width]);
  const x = b.value("reshape", [input], { shape: [batch * tokens, width] });
  const [q, k, v] = [
    [0, 2, 1, 3],
    [0, 2, 3, 1],
    [0, 2, 1, 3],
  ].map((perm) => split(linear(x, width, width), perm)) as [Value, Value, Value];
  let scores = b.value("mul", [b.value("matmul", [q, k]), b.constant(tensorOf("f32", [], [size ** -0.5]))]);
  const shape = { none: [], keys: [batch, 1, 1, tokens], all: [1, 1, tokens, tokens], causal: [] }[e.mask];
  const mask = shape.length > 0 ? b.param("mask", "f32", shape) : undefined;
  if (mask) scores = b.value("add", [scores, mask]);
  if (e.mask === "causal") scores = b.value("attention_mask", [scores], { causal: true, masked: false, counted: false, past: 0 });
  const context = b.value("matmul", [b.value("softmax", [scores], { axis: 3 }), v]);
  const joined = b.value("reshape", [b.value("transpose", [context], { perm: [0, 2, 1, 3] })], { shape: [batch * tokens, width] });
  const middle = norm(b.value("add", [linear(joined, width, width), x]));
  const wide = b.value("gelu", [linear(middle, width, 2 * width)], { approximate: "none" });
  const y = norm(b.value("add", [linear(wide, 2 * width, width), middle]));
  const params = mask ? [input, mask] : [input];
  const graph = { ops: b.ops, name: "net", params, outputs: [y], weights: b.weights };
  const inputs = params.map((p, n) => noise(p.type.shape as readonly number[], 90 + n));
  return { graph: expand.run(graph, passContext()), inputs };
}

function check(graph: Graph, inputs: readonly Tensor[]): void {
  const want = interpret(graph, inputs)[0]!.data as Float32Array;
  for (const g of [graph, fuse.run(graph, passContext())]) {
    for (const can of [VECTOR_TARGET, SCALAR_TARGET]) {
      const got = runLowered(g, inputs, can)[0]!.data as Float32Array;
      expect(got.reduce((m, v, i) => Math.max(m, Math.abs(v - want[i]!)), 0)).toBeLessThan(2e-5);
    }
  }
}

const base: Encoder = { batch: 1, tokens: 8, heads: 2, size: 4, zeros: 0.7, mask: "none", norm: "layer_norm" };

describe("encoder blocks", () => {
  test.each<Partial<Encoder>>([
    {},
    { batch: 2, tokens: 6, mask: "keys" },
    { tokens: 9, heads: 3, mask: "all" },
    { batch: 2, tokens: 5, zeros: 0, norm: "rms_norm" },
    { tokens: 13, zeros: 0, mask: "causal" },
    { tokens: 40, heads: 1, size: 8, mask: "keys" },
  ])("%j", (part) => {
    const { graph, inputs } = encoder({ ...base, ...part });
    check(graph, inputs);
  });
});

test("only the input and the output are moved", () => {
  const { graph } = encoder({ ...base, tokens: 16, size: 8 });
  const kernels = lowerGraph(fuse.run(graph, passContext()), VECTOR_TARGET).steps.map((s) => (s.kind === "kernel" ? s.lowered : undefined));
  expect(kernels.filter((k) => k?.kernel.startsWith("relayout")).map((k) => k!.why)).toEqual([
    "moves flat to features",
    "moves features to flat",
  ]);
  expect(kernels.filter((k) => /transpose|pack/.test(k?.kernel ?? ""))).toEqual([]);
  expect(kernels.flatMap((k) => k?.functions.filter((f) => f.name.includes("pack")) ?? [])).toEqual([]);
});

test("one product of few tokens stays flat", () => {
  const b = new GraphBuilder(standardOps, weightStore());
  const x = b.param("x", "f32", [3, 16]);
  const y = b.value("relu", [b.value("matmul", [x, b.constant(noise([16, 16], 1))])]);
  const graph = { ops: b.ops, name: "net", params: [x], outputs: [y], weights: b.weights };
  const steps = lowerGraph(fuse.run(graph, passContext()), VECTOR_TARGET).steps;
  expect(steps.map((s) => (s.kind === "kernel" ? s.lowered.kernel : s.kind))).toEqual(["matmul_f32_dense"]);
});
