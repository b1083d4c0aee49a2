// Graphs whose placement the tests know.

import type { Graph } from "../../ir/graph.ts";
import { standardOps } from "../../ir/ops/index.ts";
import { parse } from "../../ir/parse.ts";

/** Two products in f32, between them an exponential in f64, which WebGPU lacks; an input goes straight out, and a value twice. */
export const mixed: Graph = parse(
  `graph @mixed(%x: f32[8,8], %y: f32[8,8], %unused: f32[2]) {
  %w = const() {data: [0.5, -1, 0.25, 2, -0.125, 1, 0.75, -2]} : f32[8]
  %a = matmul(%x, %y) : f32[8,8]
  %b = add(%a, %w) : f32[8,8]
  %c = cast(%b) {to: "f64"} : f64[8,8]
  %d = exp(%c) : f64[8,8]
  %e = cast(%d) {to: "f32"} : f32[8,8]
  %f = matmul(%e, %y) : f32[8,8]
  return %f, %b, %b, %x
}`,
  standardOps,
  { file: "mixed.ir" },
);

/** The third is called like an input: no part can take it by that name. */
export const mixedOutputs = ["f", "y", "b", "x"] as const;

const wave = (n: number, by: number): Float32Array<ArrayBuffer> => Float32Array.from({ length: n }, (_, i) => Math.sin(by * i) / 2);
export const mixedInputs = { x: wave(64, 1), y: wave(64, 0.7), unused: wave(2, 1) };
