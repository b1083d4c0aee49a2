// Chains of convolutions computed a few rows at a time, against the reference; every access checked by the kernel interpreter.

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { lowerGraph } from "../../compiler/lower/lower.ts";
import { planStripes, type RowReach } from "../../compiler/lower/stripe-plan.ts";
import { passContext } from "../../compiler/pass.ts";
import { detectSparsity } from "../../compiler/passes/detect-sparsity.ts";
import { fuse } from "../../compiler/passes/fuse.ts";
import { fuseTilesFor } from "../../compiler/passes/fuse-tiles.ts";
import { type Graph, GraphBuilder, topological, type Value } from "../../ir/graph.ts";
import { interpret } from "../../ir/interpret.ts";
import { standardOps } from "../../ir/ops/index.ts";
import type { Tensor } from "../../ir/tensor.ts";
import { weightStore } from "../../ir/weights.ts";
import { difference } from "../support/equal.ts";
import { noise } from "../support/noise.ts";
import { runLowered, SCALAR_TARGET, VECTOR_TARGET } from "../support/run-lowered.ts";

/** So small that every chain is worth it. */
const small = (windows: number) => fuseTilesFor({ beyond: 1, along: 1, windows, weights: 1 << 20 });

interface Member {
  readonly kernel: readonly [number, number];
  readonly stride: readonly [number, number];
  readonly pads: readonly [number, number, number, number];
  readonly dilation: number;
  readonly depthwise: boolean;
  readonly channels: number;
  readonly zeros: number;
  readonly relu: boolean;
}

/** The chain as a graph of one input, its last member with a residual where `residual`; undefined where nothing is left of the image. */
function chain(images: number, size: readonly [number, number], members: readonly Member[], residual: boolean): Graph | undefined {
  const b = new GraphBuilder(standardOps, weightStore());
  const x = b.param("x", "f32", [images, 3, ...size]);
  let v: Value = x;
  for (const [i, m] of members.entries()) {
    const c = v.type.shape[1] as number;
    const out = m.depthwise ? c : m.channels;
    const [h, w] = [2, 3].map((axis, k) => {
      const padded = (v.type.shape[axis] as number) + m.pads[k]! + m.pads[k + 2]!;
      return Math.floor((padded - (m.kernel[k]! - 1) * m.dilation - 1) / m.stride[k]!) + 1;
    });
    if (h! < 1 || w! < 1) return undefined;
    const weights = b.constant(noise([out, m.depthwise ? 1 : c, ...m.kernel], i + 1, m.zeros));
    const attrs = { strides: m.stride, pads: m.pads, dilations: [m.dilation, m.dilation], group: m.depthwise ? c : 1 };
    v = b.value("conv", [v, weights, b.constant(noise([out], 50 + i))], attrs);
    if (m.relu) v = b.value("relu", [v]);
  }
  if (residual) v = b.value("add", [v, b.value("mul", [b.param("r", "f32", v.type.shape as number[]), b.constant(noise([1], 9))])]);
  const params = residual
    ? [
        x,
        ...topological([v])
          .filter((n) => n.op === "param" && n.results[0] !== x)
          .map((n) => n.results[0]!),
      ]
    : [x];
  return { ops: b.ops, name: "chain", params, outputs: [v], weights: b.weights };
}

const inputsOf = (g: Graph): Tensor[] => g.params.map((p, i) => noise(p.type.shape as number[], 99 + i));

function tiled(g: Graph, windows: number): Graph {
  const ctx = passContext();
  return small(windows).run(fuse.run(detectSparsity.run(g, ctx), ctx), ctx);
}

const one: Member = {
  kernel: [1, 1],
  stride: [1, 1],
  pads: [0, 0, 0, 0],
  dilation: 1,
  depthwise: false,
  channels: 5,
  zeros: 0.7,
  relu: true,
};
const three: Member = { ...one, kernel: [3, 3], pads: [1, 1, 1, 1] };
const depthwise: Member = { ...three, depthwise: true, zeros: 0 };

const CHAINS: readonly (readonly [string, readonly Member[]])[] = [
  ["expand, depthwise, project", [one, depthwise, { ...one, channels: 3, relu: false }]],
  ["with a stride", [one, { ...depthwise, stride: [2, 2] }, one]],
  ["two 3x3", [three, three]],
  ["strided first member", [{ ...three, stride: [2, 2] }, depthwise, one]],
  ["uneven padding", [one, { ...depthwise, pads: [0, 1, 1, 1], stride: [2, 2] }, one]],
  ["much padding", [one, { ...depthwise, kernel: [5, 5], pads: [4, 2, 3, 2] }, one]],
  ["rows that nobody reads", [one, { ...one, stride: [3, 1] }, one]],
  ["dilation", [one, { ...depthwise, dilation: 2, pads: [2, 2, 2, 2] }]],
  ["six members", [one, depthwise, one, one, { ...depthwise, stride: [2, 2] }, one]],
];

describe.each([
  ["vectors", VECTOR_TARGET],
  ["scalars", SCALAR_TARGET],
])("%s", (_, target) => {
  for (const [name, members] of CHAINS)
    test.each([
      [1, false],
      [2, true],
    ])(`${name}, %i images, residual %s`, (images, residual) => {
      const g = chain(images, [11, 9], members, residual)!;
      const better = tiled(g, 3000);
      expect(topological(better.outputs).some((n) => n.op === "tiles")).toBe(true);
      const steps = lowerGraph(better, target).steps;
      expect(steps.some((s) => s.kind === "tiles")).toBe(true);
      const inputs = inputsOf(g);
      const alone = runLowered(better, inputs, target);
      expect(difference(alone, interpret(g, inputs), "bounded")).toBeUndefined();
      expect(runLowered(better, inputs, { ...target, threads: 2 })).toEqual(alone);
    });
});

test("random chains", () => {
  const side = fc.integer({ min: 1, max: 3 });
  const pad = fc.integer({ min: 0, max: 2 });
  const member: fc.Arbitrary<Member> = fc.record({
    kernel: fc.tuple(side, side),
    stride: fc.tuple(side, fc.constant(1)),
    pads: fc.tuple(pad, pad, pad, pad),
    dilation: fc.integer({ min: 1, max: 2 }),
    depthwise: fc.boolean(),
    channels: fc.integer({ min: 1, max: 5 }),
    zeros: fc.constantFrom(0, 0.8),
    relu: fc.boolean(),
  });
  let fused = 0;
  const property = fc.property(
    fc.array(member, { minLength: 2, maxLength: 4 }),
    fc.tuple(fc.integer({ min: 3, max: 14 }), fc.integer({ min: 3, max: 9 })),
    fc.integer({ min: 500, max: 6000 }),
    fc.boolean(),
    (members, size, windows, residual) => {
      const g = chain(1, size, members, residual);
      if (!g) return;
      const better = tiled(g, windows);
      if (topological(better.outputs).some((n) => n.op === "tiles")) fused++;
      const inputs = inputsOf(g);
      expect(difference(runLowered(better, inputs, VECTOR_TARGET), interpret(g, inputs), "bounded")).toBeUndefined();
    },
  );
  fc.assert(property, { seed: 7, numRuns: 60 });
  expect(fused).toBeGreaterThan(20);
});

test("every row is computed once at most, and every row that is read is there", () => {
  const reach = (height: number, inputHeight: number, stride: number, top: number, taps: number): RowReach => ({
    height,
    inputHeight,
    stride,
    top,
    taps,
  });
  const plan = planStripes([reach(12, 12, 1, 0, 1), reach(6, 12, 2, 1, 3), reach(6, 6, 1, 1, 3)], 2);
  expect(plan.windows).toEqual([7, 4]);
  const rows = plan.stripes.flat().map((p) => [p.member, p.from, p.to]);
  expect(rows).toEqual([
    [0, 0, 6],
    [1, 0, 3],
    [2, 0, 2],
    [0, 6, 10],
    [1, 3, 5],
    [2, 2, 4],
    [0, 10, 12],
    [1, 5, 6],
    [2, 4, 6],
  ]);
});
