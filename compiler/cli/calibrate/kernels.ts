// The kernels that calibration measures, as graphs of one node each.

import { type Graph, GraphBuilder } from "../../../ir/graph.ts";
import { standardOps } from "../../../ir/ops/index.ts";
import { type Tensor, tensorOf } from "../../../ir/tensor.ts";
import { weightStore } from "../../../ir/weights.ts";

/** Elements that are kept or left out together, and the layout that holds them. */
export interface Sparse {
  readonly layout: string;
  readonly block: readonly [rows: number, columns: number];
}

/** The part of a sparse matrix that is kept. */
export const DENSITY = 0.1;

/** A matrix [rows, columns] with the same part of each band of rows kept, at places that look random; `transposed` as [columns, rows]. */
function weights(rows: number, columns: number, sparse: Sparse | undefined, transposed: boolean): Tensor {
  const [height, width] = sparse?.block ?? [1, 1];
  const data = new Float32Array(rows * columns);
  for (let r = 0; r < rows; r++)
    for (let c = 0; c < columns; c++) {
      const place = Math.imul(Math.floor(r / height) * 7919 + Math.floor(c / width), 0x9e3779b1) >>> 0;
      const kept = !sparse || place < DENSITY * 2 ** 32;
      data[transposed ? c * rows + r : r * columns + c] = kept ? 0.5 + ((r * 31 + c * 17) % 64) / 64 : 0;
    }
  return tensorOf("f32", transposed ? [columns, rows] : [rows, columns], data);
}

const graphOf = (build: (b: GraphBuilder) => Pick<Graph, "params" | "outputs">): Graph => {
  const b = new GraphBuilder(standardOps, weightStore());
  return { ops: standardOps, name: "kernel", ...build(b), weights: b.weights };
};

/** A 1x1 convolution of `height` x `width` pixels from and to `channels`. */
export const pointwise = (channels: number, height: number, width: number, sparse?: Sparse): Graph =>
  graphOf((b) => {
    const x = b.param("x", "f32", [1, channels, height, width]);
    const w = { ...weights(channels, channels, sparse, false), shape: [channels, channels, 1, 1] };
    const constant = b.constant(w, sparse ? { layout: sparse.layout } : {});
    const attrs = { strides: [1, 1], dilations: [1, 1], pads: [0, 0, 0, 0], group: 1 };
    return { params: [x], outputs: [b.add("conv", [x, constant], attrs).results[0]!] };
  });

/** A depthwise convolution, 3x3. */
export const depthwise = (channels: number, size: number): Graph =>
  graphOf((b) => {
    const x = b.param("x", "f32", [1, channels, size, size]);
    const w = b.constant({ ...weights(channels, 9, undefined, false), shape: [channels, 1, 3, 3] });
    const attrs = { strides: [1, 1], dilations: [1, 1], pads: [1, 1, 1, 1], group: channels };
    return { params: [x], outputs: [b.add("conv", [x, w], attrs).results[0]!] };
  });

/** A row of `inputs` times a matrix. */
export const vector = (inputs: number, outputs: number, sparse?: Sparse): Graph =>
  graphOf((b) => {
    const x = b.param("x", "f32", [1, inputs]);
    const w = b.constant(weights(outputs, inputs, sparse, true), sparse ? { layout: sparse.layout } : {});
    return { params: [x], outputs: [b.add("matmul", [x, w]).results[0]!] };
  });

/** One operator on a matrix. */
export const unary = (op: string, rows: number, columns: number, attrs: Readonly<Record<string, readonly number[]>> = {}): Graph =>
  graphOf((b) => {
    const x = b.param("x", "f32", [rows, columns]);
    return { params: [x], outputs: [b.add(op, [x], attrs).results[0]!] };
  });
