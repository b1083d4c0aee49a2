// Brings each channel of each layer back to the mean and deviation that it has in the float model, first layers first.

import { type Graph, GraphBuilder, type Node, type Value } from "../../ir/graph.ts";
import type { Tensor } from "../../ir/tensor.ts";
import type { Rounded } from "./grid.ts";
import type { Layer } from "./layers.ts";
import { type OpenGraph, observe, type Sample } from "./observe.ts";
import { applyRecipe, type Recipe } from "./recipe.ts";

/** How far a channel may be stretched: a channel that hardly varies says little. */
const [LEAST, MOST] = [0.3, 3];

/** Sums over one channel. */
interface Moments {
  readonly count: number;
  readonly sum: Float64Array;
  readonly squares: Float64Array;
}

function momentsOf(layer: Layer, tensors: readonly Tensor[]): Moments {
  const shape = layer.out.type.shape as readonly number[];
  const rows = shape[layer.channel]!;
  const inner = shape.slice(layer.channel + 1).reduce((a, d) => a * d, 1);
  const [sum, squares] = [new Float64Array(rows), new Float64Array(rows)];
  let count = 0;
  for (const { data } of tensors) {
    const outer = data.length / (rows * inner);
    count += outer * inner;
    for (let o = 0, at = 0; o < outer; o++)
      for (let r = 0; r < rows; r++) {
        let [s, q] = [0, 0];
        for (let i = 0; i < inner; i++, at++) {
          const x = data[at] as number;
          s += x;
          q += x * x;
        }
        sum[r]! += s;
        squares[r]! += q;
      }
  }
  return { count, sum, squares };
}

const added = (a: Moments | undefined, b: Moments): Moments =>
  a ? { count: a.count + b.count, sum: a.sum.map((x, i) => x + b.sum[i]!), squares: a.squares.map((x, i) => x + b.squares[i]!) } : b;

const meanOf = ({ count, sum }: Moments, r: number): number => sum[r]! / count;
const deviationOf = (m: Moments, r: number): number => Math.sqrt(Math.max(0, m.squares[r]! / m.count - meanOf(m, r) ** 2));

/** y -> factor * y + shift, for each channel. */
interface Affine {
  readonly factor: Float64Array;
  readonly shift: Float64Array;
}

function towards(reference: Moments, own: Moments): Affine {
  const factor = own.sum.map((_, r) => {
    const ratio = deviationOf(reference, r) / deviationOf(own, r);
    return Number.isFinite(ratio) ? Math.min(MOST, Math.max(LEAST, ratio)) : 1;
  });
  return { factor, shift: factor.map((f, r) => meanOf(reference, r) - f * meanOf(own, r)) };
}

function applied(layer: Layer, t: Tensor, { factor, shift }: Affine): Tensor {
  const shape = layer.out.type.shape as readonly number[];
  const inner = shape.slice(layer.channel + 1).reduce((a, d) => a * d, 1);
  const rows = factor.length;
  return {
    ...t,
    data: (t.data as Float32Array).map((y, at) => {
      const r = Math.floor(at / inner) % rows;
      return factor[r]! * y + shift[r]!;
    }),
  };
}

/** What leads to a value of a graph from values that are known: a graph whose parameters those are. */
interface Segment {
  readonly graph: Graph;
  readonly from: readonly Value[];
}

function segmentTo(g: Graph, end: Value, known: ReadonlySet<Value>): Segment {
  const b = new GraphBuilder(g.ops, g.weights);
  const map = new Map<Value, Value>();
  const from: Value[] = [];
  // Operands before users, no further than what is known.
  const order: Node[] = [];
  const seen = new Set<Node>();
  const stack: (readonly [Node, boolean])[] = [[end.node, false]];
  for (let next = stack.pop(); next; next = stack.pop()) {
    const [node, ready] = next;
    if (ready) order.push(node);
    if (ready || seen.has(node)) continue;
    seen.add(node);
    stack.push([node, true]);
    for (const v of [...node.inputs].reverse()) {
      if (!known.has(v)) stack.push([v.node, false]);
      else if (!map.has(v)) {
        map.set(v, b.param(`x${from.length}`, v.type.dtype, v.type.shape as readonly number[]));
        from.push(v);
      }
    }
  }
  for (const n of order) {
    const made = b.add(
      n.op,
      n.inputs.map((v) => map.get(v)!),
      n.attrs,
      n.locs,
    );
    n.results.forEach((r, i) => {
      if (!map.has(r)) map.set(r, made.results[i]!);
    });
  }
  return { graph: { ...g, name: "segment", params: from.map((v) => map.get(v)!), outputs: [map.get(end)!] }, from };
}

/** The layer's steps and bias with what makes its results those of `affine`. */
function folded(w: Rounded, bias: Float64Array, { factor, shift }: Affine): { readonly w: Rounded; readonly bias: Float64Array } {
  const blocks = w.steps.length / w.rows;
  const steps = w.steps.map(({ scale, zero }, k) => ({ scale: Math.fround(scale * factor[Math.floor(k / blocks)]!), zero }));
  return { w: { ...w, steps }, bias: bias.map((y, r) => y * factor[r]! + shift[r]!) };
}

/** The bias of a layer in its graph; zeros where it has none. */
function biasOf(g: Graph, { bias, matrix }: Layer): Float64Array {
  const v = bias?.node.inputs[bias.operand];
  const data = v && (g.weights.get(v.node.attrs.ref as string).data as Float32Array);
  return Float64Array.from({ length: matrix.rows }, (_, r) => (data ? data[data.length === 1 ? 0 : r]! : 0));
}

/** The recipe with every product's channels corrected. Each layer sees what corrected layers before it give. */
export async function correctChannels(open: OpenGraph, recipe: Recipe, samples: readonly Sample[]): Promise<Recipe> {
  const layers = [...recipe.weights.keys()].filter((l) => l.kind === "product");
  const reference = new Map<Layer, Moments>();
  await observe(
    open,
    recipe.graph,
    layers.map((l) => l.out),
    samples,
    (found) => layers.forEach((l, i) => void reference.set(l, added(reference.get(l), momentsOf(l, [found[i]!])))),
  );
  const { graph, made } = applyRecipe(recipe);
  const known = new Set<Value>(graph.params);
  const segments = layers.map((l) => {
    const end = made.get(l.out)!;
    const segment = segmentTo(graph, end, known);
    known.add(end);
    return { layer: l, end, ...segment };
  });
  const last = new Map<Value, number>();
  segments.forEach(({ from }, i) => from.forEach((v) => last.set(v, i)));
  const values = new Map<Value, readonly Tensor[]>(graph.params.map((p, i) => [p, samples.map((s) => s[i]!)]));
  const [weights, biases] = [new Map(recipe.weights), new Map(recipe.biases)];
  for (const [i, { layer, end, graph: segment, from }] of segments.entries()) {
    const results: Tensor[] = [];
    const inputs = samples.map((_, k) => from.map((v) => values.get(v)![k]!));
    await observe(open, segment, segment.outputs, inputs, ([found]) => void results.push(found!));
    const affine = towards(reference.get(layer)!, momentsOf(layer, results));
    const { w, bias } = folded(weights.get(layer)!, biasOf(recipe.graph, layer), affine);
    weights.set(layer, w);
    biases.set(layer, bias);
    if (last.has(end))
      values.set(
        end,
        results.map((t) => applied(layer, t, affine)),
      );
    for (const v of from) if (last.get(v) === i) values.delete(v);
  }
  return { ...recipe, weights, biases };
}
