// Gram matrices of what layers read on samples: how much one input of a weight tells of another.

import { type Graph, GraphBuilder } from "../../ir/graph.ts";
import { standardOps } from "../../ir/ops/index.ts";
import type { Tensor } from "../../ir/tensor.ts";
import { weightStore } from "../../ir/weights.ts";
import type { Gram } from "./compensate.ts";
import type { Layer } from "./layers.ts";
import { type Opened, type OpenGraph, observe, type Sample } from "./observe.ts";

/** Vectors of inputs that each layer is shown, of all samples together. */
const VECTORS = 16384;
/** Vectors multiplied at once. */
const CHUNK = 512;
/** Columns of one matrix: beyond, columns that are far from each other count as independent. */
const MOST_COLUMNS = 1536;

/** Copies vectors of a layer's inputs from a tensor, `count` of them spread evenly: vector v to row v of `to`. */
type Reader = (x: Float32Array, count: number, to: Float32Array) => void;

interface Source {
  /** Vectors in one sample. */
  readonly vectors: number;
  readonly read: Reader;
}

/** Position `v` of `count` that are spread evenly over `total`. */
const spread = (v: number, count: number, total: number): number => Math.floor(((v + 0.5) * total) / count);

function convolutionSource({ node }: Layer): Source {
  const [, channels, height, width] = node.inputs[0]!.type.shape as [number, number, number, number];
  const [, , kh, kw] = node.inputs[1]!.type.shape as [number, number, number, number];
  const [batch, , rows, columns] = node.results[0]!.type.shape as [number, number, number, number];
  const { strides, dilations, pads } = node.attrs as { strides: readonly number[]; dilations: readonly number[]; pads: readonly number[] };
  const vectors = batch * rows * columns;
  return {
    vectors,
    read(x, count, to) {
      for (let v = 0, at = 0; v < count; v++) {
        const position = spread(v, count, vectors);
        const image = Math.floor(position / (rows * columns));
        const top = (Math.floor(position / columns) % rows) * strides[0]! - pads[0]!;
        const left = (position % columns) * strides[1]! - pads[1]!;
        for (let c = 0; c < channels; c++) {
          const plane = (image * channels + c) * height * width;
          for (let i = 0; i < kh; i++) {
            const y = top + i * dilations[0]!;
            for (let j = 0; j < kw; j++, at++) {
              const z = left + j * dilations[1]!;
              to[at] = y >= 0 && y < height && z >= 0 && z < width ? x[plane + y * width + z]! : 0;
            }
          }
        }
      }
    },
  };
}

/** Rows of a left operand, columns of a right one. */
function productSource({ node, data, matrix }: Layer): Source {
  const shape = node.inputs[data]!.type.shape as readonly number[];
  const columns = matrix.outer * matrix.inner;
  const vectors = shape.reduce((a, d) => a * d, 1) / columns;
  const across = data === 0 ? 1 : shape.at(-1)!;
  return {
    vectors,
    read(x, count, to) {
      for (let v = 0; v < count; v++) {
        const position = spread(v, count, vectors);
        const start = Math.floor(position / across) * across * columns + (position % across);
        for (let k = 0; k < columns; k++) to[v * columns + k] = x[start + k * across]!;
      }
    },
  };
}

/** Whether a layer's inputs can be gathered: channels of one group. */
export const hasGram = ({ node }: Layer): boolean =>
  node.op === "matmul" || (node.op === "conv" && node.attrs.group === 1 && node.inputs[0]!.type.shape.length === 4);

/** x^T x of x [CHUNK, columns], as a graph. */
function product(columns: number): Graph {
  const b = new GraphBuilder(standardOps, weightStore());
  const x = b.param("x", "f32", [CHUNK, columns]);
  const out = b.value("matmul", [b.value("transpose", [x], { perm: [1, 0] }), x]);
  return { ops: standardOps, name: "gram", params: [x], outputs: [out], weights: b.weights };
}

/** Gathers vectors and adds up their products, a chunk at a time. */
function accumulator(source: Source, columns: number, kernel: Opened, samples: number) {
  const quota = Math.min(source.vectors, Math.ceil(VECTORS / samples));
  const chunk = new Float32Array(CHUNK * columns);
  const vectors = new Float32Array(quota * columns);
  const sum = new Float64Array(columns * columns);
  let filled = 0;
  const flush = (): void => {
    if (filled === 0) return;
    chunk.fill(0, filled * columns);
    const { data } = kernel.run([{ dtype: "f32", shape: [CHUNK, columns], data: chunk }])[0]!;
    for (let i = 0; i < sum.length; i++) sum[i]! += data[i] as number;
    filled = 0;
  };
  return {
    add({ data }: Tensor): void {
      source.read(data as Float32Array, quota, vectors);
      for (let v = 0; v < quota; ) {
        const count = Math.min(quota - v, CHUNK - filled);
        chunk.set(vectors.subarray(v * columns, (v + count) * columns), filled * columns);
        filled += count;
        v += count;
        if (filled === CHUNK) flush();
      }
    },
    finish(): readonly Gram[] {
      flush();
      const parts = Math.ceil(columns / MOST_COLUMNS);
      const size = Math.ceil(columns / parts / 32) * 32;
      const grams: Gram[] = [];
      for (let from = 0; from < columns; from += size) {
        const own = Math.min(size, columns - from);
        const products = new Float64Array(own * own);
        for (let i = 0; i < own; i++) products.set(sum.subarray((from + i) * columns + from, (from + i) * columns + from + own), i * own);
        grams.push({ from, size: own, products });
      }
      return grams;
    },
  };
}

/** Of each layer that has any, the Gram matrices of what it reads on the samples. */
export async function gramsOf(
  open: OpenGraph,
  graph: Graph,
  layers: readonly Layer[],
  samples: readonly Sample[],
): Promise<ReadonlyMap<Layer, readonly Gram[]>> {
  const kernels = new Map<number, Opened>();
  try {
    const own = layers.filter(hasGram);
    const sums: ReturnType<typeof accumulator>[] = [];
    for (const layer of own) {
      const columns = layer.matrix.outer * layer.matrix.inner;
      if (!kernels.has(columns)) kernels.set(columns, await open(product(columns)));
      const source = layer.node.op === "conv" ? convolutionSource(layer) : productSource(layer);
      sums.push(accumulator(source, columns, kernels.get(columns)!, samples.length));
    }
    const inputs = own.map((l) => l.node.inputs[l.data]!);
    await observe(open, graph, inputs, samples, (found) => found.forEach((t, i) => void sums[i]!.add(t)));
    return new Map(own.map((l, i) => [l, sums[i]!.finish()]));
  } finally {
    for (const k of kernels.values()) k.dispose();
  }
}
