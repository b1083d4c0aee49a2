// Chains of equal layers, one after the other in a model: what a layer costs without the copying of inputs and outputs.

import { createGraph } from "./graph.mjs";

/**
 * Eight layers that turn k features into m and back. `form` tells how layers other than 3x3 are written: conv or matmul.
 * `patterns` are what the weights are multiplied by, in turn, instead of being pruned.
 *
 * @returns the bytes of the model, the shapes of its inputs, its form, and the weights of each layer: [outputs, inputs, rows]
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
  return { bytes: g.finish({ y: x }), shapes: { x: shape }, form, constants: g.constants };
}
