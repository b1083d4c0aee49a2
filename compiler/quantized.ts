// Quantized values of a graph: activations, where a last bit may become a whole step, and what constants are made of.

import { type Graph, isGraph, topological } from "../ir/graph.ts";
import type { Quantized } from "../ir/quantized.ts";

/** Whether it rounds values to steps, in regions and fused kernels too: then every variant must compute the same bits. */
export const isQuantized = (g: Graph): boolean =>
  topological(g.outputs).some((n) => n.op === "quantize" || Object.values(n.attrs).some((a) => isGraph(a) && isQuantized(a)));

/** What constants of the graph, and of its regions, are made of. */
export function quantizedConstants(g: Graph): readonly Quantized[] {
  const found = new Set<Quantized>();
  for (const n of topological(g.outputs)) {
    const made = n.op === "const" ? g.weights.get(n.attrs.ref as string).made : undefined;
    if (made) found.add(made);
    for (const a of Object.values(n.attrs)) if (isGraph(a)) for (const q of quantizedConstants(a)) found.add(q);
  }
  return [...found];
}
