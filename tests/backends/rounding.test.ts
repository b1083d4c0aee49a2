// Sums of products on WebGPU within the bound that docs/rounding.md states, whatever kernel computes them.

import { expect, it } from "vitest";
import { webgpu } from "../../backends/index.ts";
import { compileGraph } from "../../compiler/compile.ts";
import { type Graph, GraphBuilder } from "../../ir/graph.ts";
import { interpret } from "../../ir/interpret.ts";
import { standardOps } from "../../ir/ops/index.ts";
import type { Tensor } from "../../ir/tensor.ts";
import { weightStore } from "../../ir/weights.ts";
import { load } from "../../runtime/index.ts";
import { choices, randomTensor } from "../support/random-graph.ts";
import { webgpuSkipped } from "../support/webgpu.ts";

const C = 1;
const EPS = 2 ** -23;

interface Contraction {
  readonly name: string;
  /** Products in each sum. */
  readonly k: number;
  readonly x: readonly number[];
  readonly w: readonly number[];
  readonly op: "matmul" | "conv";
  readonly attrs?: Readonly<Record<string, number | readonly number[]>>;
  readonly zeros?: number;
}

const window = { strides: [1, 1], dilations: [1, 1], pads: [1, 1, 1, 1], group: 1 };
const CASES: readonly Contraction[] = [
  { name: "a tiled product", k: 300, x: [70, 300], w: [300, 65], op: "matmul" },
  { name: "a product of few and long sums", k: 5000, x: [2, 5000], w: [5000, 3], op: "matmul" },
  { name: "one row", k: 1031, x: [1, 1031], w: [1031, 77], op: "matmul" },
  { name: "a sparse product", k: 512, x: [33, 512], w: [512, 64], op: "matmul", zeros: 0.95 },
  { name: "a convolution", k: 9 * 40, x: [1, 40, 13, 17], w: [33, 40, 3, 3], op: "conv", attrs: window },
  { name: "a sparse convolution", k: 9 * 64, x: [1, 64, 9, 9], w: [64, 64, 3, 3], op: "conv", attrs: window, zeros: 0.95 },
];

/** The graph of a contraction of `x` with the constant `w`. */
function graphOf({ op, attrs = {} }: Contraction, x: Tensor, w: Tensor): Graph {
  const weights = weightStore();
  const b = new GraphBuilder(standardOps, weights);
  const p = b.param("x", "f32", x.shape);
  return { ops: standardOps, name: "contraction", params: [p], outputs: [b.value(op, [p, b.constant(w)], attrs)], weights };
}

const absolute = (t: Tensor): Tensor => ({ ...t, data: (t.data as Float32Array).map(Math.abs) });

it.skipIf(webgpuSkipped() !== undefined).each(CASES)("$name", { timeout: 60_000 }, async (c) => {
  const random = choices(20261121);
  const [x, w] = [randomTensor(random, "f32", c.x), randomTensor(random, "f32", c.w, { zeros: c.zeros ?? 0 })];
  const graph = graphOf(c, x, w);
  const { artifact } = await compileGraph(graph, ["y"], { backends: [webgpu] });
  using model = await load(artifact, { device: "webgpu" });
  const found = (await model.run({ x: { data: x.data as Float32Array, shape: x.shape } }))["y"]!.data as Float32Array;
  // The reference sums in f64 and rounds once: half an eps of the sum itself.
  const exact = interpret(graph, [x])[0]!.data as Float32Array;
  const magnitude = interpret(graphOf(c, absolute(x), absolute(w)), [absolute(x)])[0]!.data as Float32Array;
  const worst = Math.max(...Array.from(found, (y, i) => Math.abs(y - exact[i]!) / (c.k * EPS * magnitude[i]! + EPS * Math.abs(exact[i]!))));
  console.log(`${c.name}: ${artifact.manifest.variants[0]!.steps.map((s) => s.kernel)}: c = ${worst.toExponential(1)}`);
  expect(worst).toBeLessThanOrEqual(C);
  expect(worst).toBeGreaterThan(0);
});
