// Chains of equal layers, one after the other in a model: what a layer costs without the copying of inputs and outputs.

import { createGraph } from "./graph.mjs";

/**
 * Eight layers that turn k features into m and back. `kind`: pointwise (1x1 convolution of an image of side `size`), conv3x3 (m = k),
 * linear (tokens `size`, MatMul). `form` tells how a pointwise layer or a linear one is written: conv or matmul.
 * `patterns` are what the weights are multiplied by, in turn, instead of being pruned.
 *
 * @returns {{ bytes: Uint8Array, shapes: Record<string, number[]> }} with the shapes of the inputs
 */
export function chain({ kind, m, k, size }, { form = kind === "linear" ? "matmul" : "conv", layers = 8, patterns, ...pruning } = {}) {
  const g = createGraph(pruning);
  const places = kind === "linear" ? size : size * size;
  const shape = form === "matmul" ? [places, k] : kind === "linear" ? [1, k, 1, size] : [1, k, size, size];
  let x = g.input("x", shape);
  for (let i = 0; i < layers; i++) {
    const outputs = i % 2 === 0 ? m : k;
    const how = patterns ? { pattern: patterns[i % patterns.length] } : {};
    if (form === "matmul") x = g.linear(x, outputs, { ...how, biased: false });
    else x = g.conv(x, outputs, { ...how, kernel: kind === "conv3x3" ? 3 : 1, biased: false });
  }
  return { bytes: g.finish({ y: x }), shapes: { x: shape } };
}
