// Small networks to quantize, samples for them, and what runs them.

import { wasm } from "../../backends/index.ts";
import { compileGraph } from "../../compiler/compile.ts";
import type { OpenGraph, Sample } from "../../compiler/quantize/observe.ts";
import type { Samples } from "../../compiler/quantize/samples.ts";
import { type Graph, GraphBuilder, topological, type Value } from "../../ir/graph.ts";
import { standardOps } from "../../ir/ops/index.ts";
import type { Tensor } from "../../ir/tensor.ts";
import { weightStore } from "../../ir/weights.ts";
import { type Inputs, load } from "../../runtime/index.ts";
import { noise } from "../support/noise.ts";

/** Runs graphs as wasm. */
export const open: OpenGraph = async (graph) => {
  const names = graph.outputs.map((_, k) => `y${k}`);
  const backends = [{ ...wasm, variants: wasm.variants.filter((v) => v.name === "baseline") }];
  const model = await load((await compileGraph(graph, names, { backends })).artifact);
  return {
    run(sample) {
      const inputs = Object.fromEntries(model.inputs.map((p, i) => [p.name, sample[i]!])) as unknown as Inputs;
      const results = model.runSync(inputs);
      return names.map((name) => results[name]! as Tensor);
    },
    dispose: () => model.dispose(),
  };
};

export const samplesFor = (graph: Graph, n: number, seed = 1): Samples => ({
  samples: Array.from(
    { length: n },
    (_, k): Sample => graph.params.map((p, i) => noise(p.type.shape as readonly number[], seed + 100 * k + i)),
  ),
  labels: undefined,
  file: "samples.npz",
});

export interface Built {
  readonly b: GraphBuilder;
  readonly conv: (x: Value, shape: readonly number[], options?: { readonly group?: number; readonly bias?: boolean }) => Value;
  readonly dense: (x: Value, columns: number, bias?: boolean) => Value;
}

/** A graph of what `build` makes of an input of the given shape. About a third of the weights are zero. */
export function network(shape: readonly number[], build: (x: Value, how: Built) => Value): Graph {
  const b = new GraphBuilder(standardOps, weightStore());
  const x = b.param("x", "f32", shape);
  let seed = 7;
  const weights = (of: readonly number[]): Value => b.constant(noise(of, seed++, 0.3), { loc: { file: "", name: `w${seed}` } });
  const conv: Built["conv"] = (v, of, { group = 1, bias = true } = {}) => {
    const pad = (of[2]! - 1) / 2;
    const attrs = { strides: [1, 1], dilations: [1, 1], pads: [pad, pad, pad, pad], group };
    const operands = [v, weights(of), ...(bias ? [b.constant(noise([of[0]!], seed++))] : [])];
    return b.value("conv", operands, attrs, { file: "", name: `conv${seed}` });
  };
  const dense: Built["dense"] = (v, columns, bias = true) => {
    const y = b.value("matmul", [v, weights([v.type.shape.at(-1) as number, columns])], {}, { file: "", name: `dense${seed}` });
    return bias ? b.value("add", [y, b.constant(noise([columns], seed++))]) : y;
  };
  const out = build(x, { b, conv, dense });
  return { ops: standardOps, name: "network", params: [x], outputs: [out], weights: b.weights };
}

/** Two convolutions with a sum over both, a depthwise one, pools, a join of two, and a classifier. */
export const residual = (): Graph =>
  network([1, 4, 8, 8], (x, { b, conv, dense }) => {
    const relu = (v: Value): Value => b.value("relu", [v]);
    const pool = (v: Value, op: string, k: number, out: number): Value =>
      b.value("pool", [v], {
        op,
        kernel: [k, k],
        strides: [k, k],
        dilations: [1, 1],
        pads: [0, 0, 0, 0],
        shape: [out, out],
        count_include_pad: false,
        p: 1,
      });
    const first = relu(conv(x, [8, 4, 3, 3]));
    const sum = relu(b.value("add", [conv(first, [8, 8, 3, 3]), first]));
    const depthwise = relu(conv(sum, [8, 1, 3, 3], { group: 8 }));
    const joined = b.value("concat", [pool(depthwise, "max", 2, 4), pool(sum, "max", 2, 4)], { axis: 1 });
    const last = relu(conv(joined, [16, 16, 1, 1], { bias: false }));
    const flat = b.value("reshape", [pool(last, "avg", 4, 1)], { shape: [1, 16] });
    return dense(flat, 10);
  });

export const nodesOf = (g: Graph, op: string) => topological(g.outputs).filter((n) => n.op === op);
export const constantOf = (g: Graph, v: Value): Tensor => g.weights.get(v.node.attrs["ref"] as string);
