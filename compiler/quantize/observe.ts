// Runs of graphs on samples: what quantization learns from. How a graph is run is given to it, as values are.

import type { Graph, Value } from "../../ir/graph.ts";
import type { Tensor } from "../../ir/tensor.ts";

/** A tensor for each parameter of a graph, in order. */
export type Sample = readonly Tensor[];

/** A graph that can be run: gives its outputs, in order. */
export interface Opened {
  run(sample: Sample): readonly Tensor[];
  dispose(): void;
}

/** Makes a graph ready to run: the same results wherever this is. */
export type OpenGraph = (graph: Graph) => Promise<Opened>;

/** Ready to give `values` of a graph. Values may be parameters, and may come twice. */
export async function openValues(open: OpenGraph, graph: Graph, values: readonly Value[]): Promise<Opened> {
  const outputs = [...new Set(values.filter((v) => v.node.op !== "param"))];
  const at = new Map(outputs.map((v, i) => [v, i]));
  const parameter = new Map(graph.params.map((p, i) => [p, i]));
  const opened = outputs.length > 0 ? await open({ ...graph, outputs }) : undefined;
  return {
    run(sample) {
      const found = opened?.run(sample) ?? [];
      return values.map((v) => (v.node.op === "param" ? sample[parameter.get(v)!]! : found[at.get(v)!]!));
    },
    dispose: () => opened?.dispose(),
  };
}

/** Shows `see` what `values` of a graph are for each sample. */
export async function observe(
  open: OpenGraph,
  graph: Graph,
  values: readonly Value[],
  samples: readonly Sample[],
  see: (found: readonly Tensor[], k: number) => void,
): Promise<void> {
  const opened = await openValues(open, graph, values);
  try {
    for (const [k, sample] of samples.entries()) see(opened.run(sample), k);
  } finally {
    opened.dispose();
  }
}
