// Recurrent layers against plain code, as loops and as straight code; and what `iterate` promises.

import { describe, expect, test } from "vitest";
import { topological } from "../../ir/graph.ts";
import { composer } from "../../ir/ops/compose.ts";
import { iterate } from "../../ir/ops/iterate.ts";
import { type Tensor, tensorOf, zeros } from "../../ir/tensor.ts";
import { runGraph, runOp } from "../support/run-op.ts";

/** Reproducible values in -1..1. */
function values(count: number, seed: number): number[] {
  let x = seed;
  return Array.from({ length: count }, () => {
    x = (Math.imul(x, 1664525) + 1013904223) >>> 0;
    return Math.fround(x / 2 ** 31 - 1);
  });
}
const filled = (shape: readonly number[], seed: number): Tensor =>
  tensorOf(
    "f32",
    shape,
    values(
      shape.reduce((a, b) => a * b, 1),
      seed,
    ),
  );
const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));

const [B, I, H] = [2, 3, 4];

interface Weights {
  readonly w: Tensor;
  readonly r: Tensor;
  readonly bias: Tensor;
  readonly h0: Tensor;
  readonly c0: Tensor;
  readonly p: Tensor;
}
const lstmWeights = (directions: number): Weights => ({
  w: filled([directions, 4 * H, I], 1),
  r: filled([directions, 4 * H, H], 2),
  bias: filled([directions, 8 * H], 3),
  h0: filled([directions, B, H], 4),
  c0: filled([directions, B, H], 5),
  p: filled([directions, 3 * H], 6),
});

/** One direction and batch element, by the book: gates i, o, f, c. */
function plainLstm(
  x: Tensor,
  k: Weights,
  d: number,
  b: number,
  length: number,
  reverse: boolean,
): { y: number[][]; h: number[]; c: number[] } {
  const steps = x.shape[0]!;
  const at = (t: Tensor, ...i: number[]): number => Number(t.data[i.reduce((flat, v, a) => flat * t.shape[a]! + v, 0)]);
  let h = Array.from({ length: H }, (_, j) => at(k.h0, d, b, j));
  let c = Array.from({ length: H }, (_, j) => at(k.c0, d, b, j));
  const y = Array.from({ length: steps }, () => Array.from({ length: H }, () => 0));
  for (let n = 0; n < length; n++) {
    const t = reverse ? length - 1 - n : n;
    const gate = (g: number, j: number): number => {
      let sum = at(k.bias, d, g * H + j) + at(k.bias, d, 4 * H + g * H + j);
      for (let i = 0; i < I; i++) sum += at(x, t, b, i) * at(k.w, d, g * H + j, i);
      for (let i = 0; i < H; i++) sum += h[i]! * at(k.r, d, g * H + j, i);
      return sum;
    };
    const next = c.map(
      (cj, j) => sigmoid(gate(2, j) + at(k.p, d, 2 * H + j) * cj) * cj + sigmoid(gate(0, j) + at(k.p, d, j) * cj) * Math.tanh(gate(3, j)),
    );
    const fresh = next.map((cj, j) => sigmoid(gate(1, j) + at(k.p, d, H + j) * cj) * Math.tanh(cj));
    [h, c] = [fresh, next];
    y[t] = fresh;
  }
  return { y, h, c };
}

const ACTIVATIONS = [
  ["sigmoid", 0, 0],
  ["tanh", 0, 0],
  ["tanh", 0, 0],
] as const;

describe("lstm", () => {
  test.each([
    [1, "forward"],
    [1, "reverse"],
    [5, "forward"],
    [5, "reverse"],
    [5, "bidirectional"],
  ] as const)("%i steps, %s, with peepholes and lengths", (steps, direction) => {
    const directions = direction === "bidirectional" ? 2 : 1;
    const k = lstmWeights(directions);
    const x = filled([steps, B, I], 7);
    const lengths = [steps, Math.max(0, steps - 2)];
    const attrs = {
      direction,
      activations: [...ACTIVATIONS, ...(directions === 2 ? ACTIVATIONS : [])],
      linear_before_reset: false,
      input_forget: false,
      peepholes: true,
    };
    const [y, h, c] = runOp("lstm", [x, k.w, k.r, k.bias, k.h0, k.c0, k.p, tensorOf("i32", [B], lengths)], attrs);
    for (let d = 0; d < directions; d++) {
      for (let b = 0; b < B; b++) {
        const plain = plainLstm(x, k, d, b, lengths[b]!, direction === "reverse" || d === 1);
        for (let j = 0; j < H; j++) {
          expect(h!.data[(d * B + b) * H + j]).toBeCloseTo(plain.h[j]!, 5);
          expect(c!.data[(d * B + b) * H + j]).toBeCloseTo(plain.c[j]!, 5);
          for (let t = 0; t < steps; t++) expect(y!.data[((t * directions + d) * B + b) * H + j]).toBeCloseTo(plain.y[t]![j]!, 5);
        }
      }
    }
  });
});

describe("iterate", () => {
  const run = (trips: number, unroll: number): { readonly outputs: readonly Tensor[]; readonly loops: number } => {
    let loops = 0;
    const outputs = runGraph([filled([3], 8), zeros("f32", [3])], (b, [x, start]) => {
      const { state, scanned } = iterate(b, { trips, state: [start!], captured: [x!], loc: undefined, unroll }, (inner, i, [sum], [v]) => {
        const e = composer(inner, undefined);
        const next = e.op("add", [sum!, e.op("mul", [v!, e.op("cast", [i], { to: "f32" })])]);
        return { state: [next], scanned: [e.op("neg", [next])] };
      });
      const results = [...state, ...scanned];
      loops = topological(results).filter((n) => n.op === "loop").length;
      return results;
    });
    return { outputs, loops };
  };

  test("straight code and loops give the same bits", () => {
    for (const trips of [1, 2, 3, 6]) {
      const [straight, loop] = [run(trips, trips), run(trips, 0)];
      expect([straight.loops, loop.loops]).toEqual([0, 1]);
      expect(straight.outputs).toEqual(loop.outputs);
      expect(loop.outputs[1]!.shape).toEqual([trips, 3]);
    }
  });
});
