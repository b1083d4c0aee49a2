// What was decided about a graph's weights and activations, and the graph in which that is written: quantize, then dequantize.

import type { Loc } from "../../ir/diagnostics.ts";
import { arrayOf, type DType } from "../../ir/dtype.ts";
import { type Graph, GraphBuilder, type Node, type Value } from "../../ir/graph.ts";
import { rebuild } from "../../ir/rewrite.ts";
import { roundedItems } from "../rules/dynamic-scales.ts";
import { type RowRounding, roundedRows } from "../rules/row-blocks.ts";
import type { Rounded, Step } from "./grid.ts";
import { type Layer, scatterRows } from "./layers.ts";
import { rowRoundingOf } from "./row-rounding.ts";

/** Rows or runs of them, or all that one sum is made of by one scale, to bytes. */
export type OwnSteps = RowRounding | "item";

export interface Recipe {
  /** The graph that it was made for. */
  readonly graph: Graph;
  readonly weights: ReadonlyMap<Layer, Rounded>;
  /** Biases that differ from the graph's, one number for each channel. */
  readonly biases: ReadonlyMap<Layer, Float64Array>;
  /** Values that are rounded by limits that hold for every run. */
  readonly activations: ReadonlyMap<Value, Step>;
  /** Products that round what they read themselves, by limits found anew in every run. */
  readonly own: ReadonlyMap<Layer, OwnSteps>;
}

const f32 = (b: GraphBuilder, shape: readonly number[], xs: ArrayLike<number>, locs: readonly Loc[]): Value =>
  b.constant({ dtype: "f32", shape, data: Float32Array.from(xs) }, { loc: locs });

const dtypeOf = ({ levels }: Rounded): DType => (levels.low < 0 ? (levels.high > 7 ? "i8" : "i4") : levels.high > 15 ? "u8" : "u4");

/** The rounded weights in the place and shape of the float ones. */
function dequantized(b: GraphBuilder, layer: Layer, w: Rounded, weights: Value): Value {
  const { matrix } = layer;
  const { locs } = weights.node;
  const shape = weights.type.shape as readonly number[];
  const dtype = dtypeOf(w);
  const integers = arrayOf(dtype, w.integers.length) as Int8Array | Uint8Array;
  integers.set(w.integers);
  const data = scatterRows(integers, arrayOf(dtype, integers.length) as typeof integers, matrix);
  const blocks = w.steps.length / w.rows;
  const [first] = w.steps;
  const one = w.steps.every((s) => s.scale === first!.scale && s.zero === first!.zero);
  /** Of the steps, in an order and shape of their own. */
  const build = (of: readonly number[], steps: readonly Step[], extents: readonly number[], axis: number, block: number): Value => {
    const operands = [
      b.constant({ dtype, shape: of, data }, { loc: locs }),
      f32(
        b,
        extents,
        steps.map((s) => s.scale),
        locs,
      ),
    ];
    if (w.levels.low === 0) {
      const zeros = arrayOf(dtype, steps.length) as Uint8Array;
      zeros.set(steps.map((s) => s.zero));
      operands.push(b.constant({ dtype, shape: extents, data: zeros }, { loc: locs }));
    }
    return b.value("dequantize", operands, { axis, block, to: "f32" }, locs);
  };
  if (one) return build(shape, [first!], [], 0, 0);
  if (blocks === 1) return build(shape, w.steps, [w.rows], layer.axis, 0);
  if (matrix.outer > 1) {
    // Columns run along the first axis.
    const turned = Array.from({ length: w.steps.length }, (_, k) => w.steps[(k % w.rows) * blocks + Math.floor(k / w.rows)]!);
    return build(shape, turned, [blocks, w.rows], 0, w.block);
  }
  const trailing = shape.slice(2);
  if (trailing.every((d) => d === 1)) return build(shape, w.steps, [w.rows, blocks, ...trailing], 1, w.block);
  return b.value("reshape", [build([w.rows, w.columns], w.steps, [w.rows, blocks], 1, w.block)], { shape }, locs);
}

/** Whether blocks along the columns of a layer can be written at all: columns must be one axis, or adjacent ones. */
export const hasBlocks = ({ matrix }: Layer): boolean => matrix.outer === 1 || matrix.inner === 1;

/** Whether a product of activations of 8 bits by these weights is one of integers. */
function isIntegerProduct({ node, weights }: Layer, w: Rounded): boolean {
  const perOutput = w.steps.length === w.rows || w.steps.every((s) => s.scale === w.steps[0]!.scale && s.zero === w.steps[0]!.zero);
  if (!perOutput || w.levels.high - w.levels.low <= 15 || weights !== 1) return false;
  // Channels one by one are as fast in floats.
  return node.op === "matmul" || (node.op === "conv" && node.attrs.group === 1 && node.inputs[0]!.type.shape.length === 4);
}

/** How a layer had better round what it reads, in every run; undefined where it had not: `few` rows alone, or any. */
export function ownStepsOf(layer: Layer, w: Rounded, rows: "few" | "any"): OwnSteps | undefined {
  const rounding = rowRoundingOf(layer, w);
  if (rounding) return rounding;
  return rows === "any" && isIntegerProduct(layer, w) ? "item" : undefined;
}

/** What a layer reads, as it rounds it. */
function roundedInput(b: GraphBuilder, { node }: Layer, x: Value, steps: OwnSteps): Value {
  if (steps !== "item") return roundedRows(b, x, steps);
  const axes = x.type.shape.map((_, axis) => axis);
  return roundedItems(b, x, node.op === "matmul" ? axes.slice(-1) : axes.slice(1));
}

/** The value as it is once rounded to 8 bits. */
function rounded(b: GraphBuilder, x: Value, step: Step): Value {
  const { locs } = x.node;
  const [scale, zero] = [
    f32(b, [], [step.scale], locs),
    b.constant({ dtype: "u8", shape: [], data: Uint8Array.of(step.zero) }, { loc: locs }),
  ];
  const q = b.value("quantize", [x, scale, zero], { axis: 0, block: 0, to: "u8" }, locs);
  return b.value("dequantize", [q, scale, zero], { axis: 0, block: 0, to: "f32" }, locs);
}

export interface Applied {
  /** Outputs keep their floats; all other uses of a quantized value see it rounded. */
  readonly graph: Graph;
  /** What became of the results of the recipe's nodes. */
  readonly made: ReadonlyMap<Value, Value>;
}

/** Writes the recipe into its graph. */
export function applyRecipe({ graph, weights, biases, activations, own }: Recipe): Applied {
  const made = new Map<Value, Value>();
  const layerOf = new Map([...weights.keys(), ...biases.keys()].map((l) => [l.node, l]));
  const biasOf = new Map([...biases].flatMap(([l, bias]) => (l.bias ? [[l.bias.node, { operand: l.bias.operand, bias }] as const] : [])));
  const changed = (n: Node, inputs: readonly Value[], b: GraphBuilder): readonly Value[] => {
    const layer = layerOf.get(n);
    const integers = layer && weights.get(layer);
    const moved = biasOf.get(n);
    const operands = inputs.map((v, k) => {
      const fixed = activations.get(n.inputs[k]!);
      if (fixed) return rounded(b, v, fixed);
      if (layer && integers && k === layer.weights) return dequantized(b, layer, integers, v);
      const steps = layer && k === layer.data ? own.get(layer) : undefined;
      if (layer && steps) return roundedInput(b, layer, v, steps);
      if (moved?.operand === k) return f32(b, v.type.shape as readonly number[], moved.bias, v.node.locs);
      return v;
    });
    const extra = layer && !layer.bias ? biases.get(layer) : undefined;
    if (!layer || !extra) return b.add(n.op, operands, n.attrs, n.locs).results;
    if (n.op !== "matmul") return b.add(n.op, [...operands, f32(b, [extra.length], extra, n.locs)], n.attrs, n.locs).results;
    const plain = b.value(n.op, operands, n.attrs, n.locs);
    const shape = plain.type.shape.map((_, axis) => (axis === layer.channel ? extra.length : 1));
    return [b.value("add", [plain, f32(b, shape, extra, n.locs)], {}, n.locs)];
  };
  const out = rebuild(graph, new GraphBuilder(graph.ops, graph.weights), (n, inputs, b) => {
    const results = changed(n, inputs, b);
    n.results.forEach((r, i) => made.set(r, results[i]!));
    return results;
  });
  graph.params.forEach((p, i) => made.set(p, out.params[i]!));
  return { graph: out, made };
}
