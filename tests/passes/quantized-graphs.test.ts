// Random graphs of quantized values: products, what moves and what joins them. Every scale is a power of two, so that floats are as exact as
// integers are, and what integer products make of a graph must give its very bits, by the kernels of every variant.

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { wasm, webgpu } from "../../backends/index.ts";
import type { Capabilities } from "../../compiler/backend.ts";
import { passContext, runPass } from "../../compiler/pass.ts";
import { expand } from "../../compiler/passes/expand.ts";
import { fuse } from "../../compiler/passes/fuse.ts";
import { integerProducts } from "../../compiler/passes/integer-products.ts";
import { arrayOf, DTYPES, type DType } from "../../ir/dtype.ts";
import { type Graph, GraphBuilder, topological, type Value } from "../../ir/graph.ts";
import { interpret } from "../../ir/interpret.ts";
import { standardOps } from "../../ir/ops/index.ts";
import { print } from "../../ir/print.ts";
import { elementCount, type Tensor } from "../../ir/tensor.ts";
import { weightStore } from "../../ir/weights.ts";
import { difference } from "../support/equal.ts";
import { type Choices, choices } from "../support/random-graph.ts";
import { runLowered } from "../support/run-lowered.ts";

/** Set SPARSEC_RUNS for a longer search; a failure prints its seed and its smallest graph. */
const RUNS = Number(process.env["SPARSEC_RUNS"] ?? 120);
const parameters = { numRuns: RUNS, seed: Number(process.env["SPARSEC_SEED"] ?? 20261122) };

interface Subject {
  readonly graph: Graph;
  readonly inputs: readonly Tensor[];
}

/** Integers of all magnitudes that the type has, many of them zero. */
function integers(c: Choices, dtype: DType, shape: readonly number[], zero = 0, zeros = 0.2): Tensor {
  const { min, max } = DTYPES[dtype];
  const data = arrayOf(dtype, elementCount(shape)) as Int8Array;
  for (let i = 0; i < data.length; i++) data[i] = c.chance(zeros) ? zero : Number(min) + c.below(Number(max) - Number(min) + 1);
  return { dtype, shape, data };
}

const shapeOf = (v: Value): readonly number[] => v.type.shape as readonly number[];

/** What a step of a graph is made with. */
interface Maker {
  readonly b: GraphBuilder;
  readonly c: Choices;
}

const powers = ({ b, c }: Maker, shape: readonly number[], from: number, span: number): Value =>
  b.constant({ dtype: "f32", shape, data: Float32Array.from({ length: elementCount(shape) }, () => 2 ** -(from + c.below(span))) });

/** A constant as a model holds its weights: of any type, symmetric or not, with scales of all, of each output, or of blocks. */
function weights(m: Maker, shape: readonly number[], outputs: number, summed: number): Value {
  const { b, c } = m;
  const dtype = c.of<DType>(["i8", "i8", "u8", "i4"]);
  const kind = c.below(3);
  const block = kind === 2 && shape[summed]! % 4 === 0 ? 4 : 0;
  const axis = block ? summed : outputs;
  const scales = block ? shape.map((d, k) => (k === summed ? d / block : d)) : kind === 1 ? [shape[outputs]!] : [];
  const zero = dtype === "u8" ? c.of([0, 100, 128, 255]) : 0;
  const zeros = zero === 0 ? [] : [b.constant({ dtype, shape: scales, data: new Uint8Array(elementCount(scales)).fill(zero) })];
  const values = b.constant(integers(c, dtype, shape, zero, c.of([0.1, 0.9])));
  return b.value("dequantize", [values, powers(m, scales, 4, 3), ...zeros], { axis, block });
}

/** Rounds a value to steps again. */
function rounded(m: Maker, v: Value): Value {
  const { b, c } = m;
  const dtype = c.of<DType>(["u8", "u8", "i8"]);
  const scale = powers(m, [], -2, 6);
  const zero = b.constant({ dtype, shape: [], data: dtype === "u8" ? Uint8Array.of(c.of([0, 128, 7])) : Int8Array.of(c.of([0, -5])) });
  const q = b.value("quantize", [v, scale, zero], { axis: 0, block: 0, to: dtype });
  return b.value("dequantize", [q, scale, zero], { axis: 0, block: 0 });
}

function product(m: Maker, x: Value): Value | undefined {
  const { b, c } = m;
  const shape = shapeOf(x);
  const n = c.of([1, 3, 4, 9, 16]);
  if (shape.length === 2) return b.value("matmul", [x, weights(m, [shape[1]!, n], 1, 0)]);
  if (shape.length !== 4) return undefined;
  const [, channels, h, w] = shape as [number, number, number, number];
  const group = c.chance(0.3) ? channels : 1;
  const kernel = [h, w].map((d) => c.of([1, Math.min(3, d)]));
  const pads = [0, 1, 2, 3].map((k) => (kernel[k % 2] === 1 ? 0 : c.below(2)));
  const outputs = group === 1 ? n : channels;
  const of = weights(m, [outputs, channels / group, ...kernel], 0, 1);
  const bias = c.chance(0.5) ? [powers(m, [outputs], 0, 6)] : [];
  return b.value("conv", [x, of, ...bias], { strides: [1 + c.below(2), 1 + c.below(2)], dilations: [1, 1], pads, group });
}

function moved({ b, c }: Maker, x: Value): Value | undefined {
  const shape = shapeOf(x);
  const rank = shape.length;
  switch (c.below(5)) {
    case 0:
      return b.value("relu", [x]);
    case 1:
      return b.value("reshape", [x], { shape: rank === 4 ? [shape[0]!, shape.slice(1).reduce((p, d) => p * d, 1)] : [1, ...shape, 1] });
    case 2:
      return b.value("transpose", [x], { perm: rank === 4 ? [0, 1, 3, 2] : shape.map((_, k) => rank - 1 - k) });
    case 3:
      return b.value("concat", [x, x], { axis: c.below(rank) });
    default: {
      if (rank !== 4) return undefined;
      const kernel = shape.slice(2).map((d) => Math.min(2, d));
      const out = shape.slice(2).map((d, k) => d - kernel[k]! + 1);
      const around = { strides: [1, 1], dilations: [1, 1], pads: [0, 0, 0, 0] };
      return b.value("pool", [x], { op: "max", kernel, ...around, shape: out, count_include_pad: false, p: 2 });
    }
  }
}

const SHAPES: readonly (readonly number[])[] = [
  [1, 8, 5, 6],
  [2, 3, 4, 4],
  [1, 16, 2, 9],
  [5, 24],
  [1, 32],
];
const MOST_ELEMENTS = 1500;

function decode(seeds: readonly number[]): Subject {
  const b = new GraphBuilder(standardOps, weightStore());
  const first = choices(seeds[0] ?? 0);
  const [dtype, shape] = [first.of<DType>(["u8", "u8", "i8"]), first.of(SHAPES)];
  const input = integers(first, dtype, shape);
  const param = b.param("x", dtype, shape);
  const zero = b.constant({ dtype, shape: [], data: dtype === "u8" ? Uint8Array.of(first.of([0, 128])) : Int8Array.of(0) });
  const values = [b.value("dequantize", [param, powers({ b, c: first }, [], 3, 4), zero], { axis: 0, block: 0 })];
  for (const seed of seeds.slice(1)) {
    const c = choices(seed);
    const m = { b, c };
    const x = c.chance(0.7) ? values.at(-1)! : c.of(values);
    const beside = values.find((v) => v !== x && shapeOf(v).join() === shapeOf(x).join());
    const made = c.chance(0.5) ? product(m, x) : beside && c.chance(0.5) ? b.value("add", [x, beside]) : moved(m, x);
    if (made && elementCount(shapeOf(made)) <= MOST_ELEMENTS && shapeOf(made).every((d) => d > 0)) values.push(rounded(m, made));
  }
  const outputs = [...new Set([values.at(-1)!, choices(seeds.at(-1) ?? 0).of(values)])];
  const graph: Graph = { ops: standardOps, name: "quantized", params: [param], outputs, weights: b.weights };
  // What a failing property prints.
  return Object.assign({ graph, inputs: [input] }, { [fc.toStringMethod]: () => print(graph) });
}

const graphs = fc.array(fc.nat(), { minLength: 2, maxLength: 7, size: "max" }).map(decode);

function same(graph: Graph, actual: readonly Tensor[], inputs: readonly Tensor[]): void {
  const wrong = difference(actual, interpret(graph, inputs), "exact");
  if (wrong !== undefined) throw new Error(wrong);
}

const lowered = (graph: Graph): Graph => [integerProducts, expand, fuse].reduce((g, pass) => runPass(pass, g, passContext()), graph);

describe("graphs of quantized values", () => {
  test("mean the same as products of integers", { timeout: 120_000 }, () => {
    const check = fc.property(graphs, ({ graph, inputs }) => same(graph, interpret(lowered(graph), inputs), inputs));
    fc.assert(check, { ...parameters, numRuns: 3 * RUNS });
  });

  test("have products that are taken of integers, more than half of them", () => {
    const found = { integers: 0, floats: 0 };
    for (const { graph } of fc.sample(graphs, parameters))
      for (const { op, results } of topological(runPass(integerProducts, graph, passContext()).outputs))
        if (op === "conv" || op === "matmul") found[results[0]!.type.dtype === "i32" ? "integers" : "floats"]++;
    expect(found.integers).toBeGreaterThan(found.floats);
    expect(found.floats).toBeGreaterThan(0);
  });

  const targets = [...wasm.variants.map((v) => [`wasm:${v.name}`, v.can] as const), ["webgpu", webgpu.variants.at(-1)!.can] as const];
  test.each<readonly [string, Capabilities]>(targets)("have the same bits on %s", { timeout: 300_000 }, (_, can) => {
    const check = fc.property(graphs, ({ graph, inputs }) => same(graph, runLowered(lowered(graph), inputs, can), inputs));
    fc.assert(check, { ...parameters, numRuns: Math.ceil(RUNS / 4) });
  });
});
