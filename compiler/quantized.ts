// Quantized values of a graph: activations, where a last bit may become a whole step, and what constants are made of.

import { type Graph, isGraph, topological } from "../ir/graph.ts";
import type { Quantized } from "../ir/quantized.ts";
import type { KnownIntegers } from "./weights-writer.ts";

/** Whether it rounds values to steps, in regions and fused kernels too: then every variant must compute the same bits. */
export const isQuantized = (g: Graph): boolean =>
  topological(g.outputs).some((n) => n.op === "quantize" || Object.values(n.attrs).some((a) => isGraph(a) && isQuantized(a)));

/** Constants of the graph, and of its regions, that are integers or made of them, where artifacts can say it. */
export function integersIn(g: Graph): KnownIntegers {
  const [made, nibbles] = [new Set<Quantized>(), new Set<Uint8Array>()];
  const visit = (g: Graph): void => {
    for (const n of topological(g.outputs)) {
      const t = n.op === "const" ? g.weights.get(n.attrs.ref as string) : undefined;
      if (t?.made) made.add(t.made);
      if (t?.dtype === "u4" && t.data.length % 8 === 0) nibbles.add(t.data as Uint8Array);
      for (const a of Object.values(n.attrs)) if (isGraph(a)) visit(a);
    }
  };
  visit(g);
  return { made: [...made], nibbles: [...nibbles] };
}
