// Whether a graph rounds values to steps: then a last bit may become a whole step, and every variant must compute the same bits.

import { type Graph, isGraph, topological } from "../ir/graph.ts";

/** Looks into regions and fused kernels too. */
export const isQuantized = (g: Graph): boolean =>
  topological(g.outputs).some((n) => n.op === "quantize" || Object.values(n.attrs).some((a) => isGraph(a) && isQuantized(a)));
