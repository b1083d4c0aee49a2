// A model's inner values on one device, and how far the values of two devices lie apart.

import { DTYPES } from "../../ir/dtype.ts";
import type { Graph, Node, Value } from "../../ir/graph.ts";
import { topological } from "../../ir/graph.ts";
import { interpret } from "../../ir/interpret.ts";
import type { Tensor } from "../../ir/tensor.ts";
import { sizeOf } from "../../ir/types.ts";
import type { Executor } from "../../runtime/executor.ts";
import { type Inputs, load } from "../../runtime/index.ts";
import { type Backend, compileGraph, type Pipeline } from "../index.ts";
import { runnable } from "./runnable.ts";
import { toDoubles } from "./summary.ts";

/** A graph ready to give some of its values, in order. */
export interface OpenedValues {
  run(inputs: readonly Tensor[]): Promise<readonly Tensor[]>;
  dispose(): void;
}

export interface Device {
  readonly name: string;
  /** Makes ready what gives the values `wanted` of a graph. */
  open(graph: Graph, wanted: readonly Value[]): Promise<OpenedValues>;
}

/** The values that `wanted` of a graph have on a device, in order. */
export async function valuesOn(
  device: Device,
  graph: Graph,
  wanted: readonly Value[],
  inputs: readonly Tensor[],
): Promise<readonly Tensor[]> {
  const opened = await device.open(graph, wanted);
  try {
    return await opened.run(inputs);
  } finally {
    opened.dispose();
  }
}

/** The device that defines what is right. */
export const reference: Device = {
  name: "reference",
  open: (graph, wanted) =>
    Promise.resolve({
      run(inputs) {
        const found = new Map<Value, Tensor>(graph.params.map((p, i) => [p, inputs[i]!]));
        interpret({ ...graph, outputs: wanted }, inputs, (n: Node, results) => n.results.forEach((r, i) => void found.set(r, results[i]!)));
        return Promise.resolve(wanted.map((v) => found.get(v)!));
      },
      dispose() {},
    }),
};

export interface HowToCompile {
  readonly pipeline: Pipeline;
  readonly sparsity: "auto" | "off" | undefined;
  readonly executors: readonly Executor[];
}

/** A backend's code in this engine. `name` may be one variant, `wasm:baseline`. */
export const compiled = (name: string, backend: Backend, { pipeline, sparsity, executors }: HowToCompile): Device => ({
  name,
  async open(graph, wanted) {
    const names = wanted.map((_, k) => `value${k}`);
    const { artifact } = await compileGraph({ ...graph, outputs: wanted }, names, {
      backends: [await runnable(backend, name, executors)],
      pipeline,
      sparsity,
      report: false,
    });
    const model = await load(artifact, { device: name, executors });
    return {
      async run(inputs) {
        // All of our arrays are on plain buffers, as the runtime asks.
        const given = Object.fromEntries(model.inputs.map((p, i) => [p.name, inputs[i]!])) as unknown as Inputs;
        const results = await model.run(given);
        return names.map((n) => results[n]! as Tensor);
      },
      dispose: () => model.dispose(),
    };
  },
});

/** The results of all nodes that compute, operands before users. */
export const innerValues = (graph: Graph): readonly Value[] =>
  topological(graph.outputs)
    .filter((n) => n.op !== "param" && n.op !== "const")
    .flatMap((n) => n.results);

const CHUNK_BYTES = 2 ** 27;

/** Runs of values that fit in memory together, one at least. */
export function chunks(values: readonly Value[], limit = CHUNK_BYTES): readonly (readonly Value[])[] {
  const out: Value[][] = [];
  let bytes = Number.POSITIVE_INFINITY;
  for (const v of values) {
    const size = sizeOf(v.type) * DTYPES[v.type.dtype].bytes;
    if (bytes + size > limit) {
      out.push([]);
      bytes = 0;
    }
    out.at(-1)!.push(v);
    bytes += size;
  }
  return out.length > 0 ? out : [[]];
}

/** ||actual - expected|| / ||expected||, 0 where equal; infinite where types, shapes, NaNs or infinities differ. */
export function relativeError(actual: Tensor, expected: Tensor): number {
  if (actual.dtype !== expected.dtype || actual.shape.join() !== expected.shape.join()) return Number.POSITIVE_INFINITY;
  const [a, e] = [toDoubles(actual), toDoubles(expected)];
  let [difference, size] = [0, 0];
  for (let i = 0; i < e.length; i++) {
    if (Object.is(a[i], e[i]) || a[i] === e[i]) {
      if (Number.isFinite(e[i]!)) size += e[i]! ** 2;
      continue;
    }
    if (!Number.isFinite(a[i]!) || !Number.isFinite(e[i]!)) return Number.POSITIVE_INFINITY;
    difference += (a[i]! - e[i]!) ** 2;
    size += e[i]! ** 2;
  }
  if (difference === 0) return 0;
  return size === 0 ? Math.sqrt(difference) : Math.sqrt(difference / size);
}
