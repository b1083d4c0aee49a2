// Deterministic values for tests of whole graphs.

import { type Tensor, tensorOf } from "../../ir/tensor.ts";

/** f32 in [-1, 1), a share `zeros` of them zero. */
export function noise(shape: readonly number[], seed: number, zeros = 0): Tensor {
  let state = seed;
  const next = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
  const n = shape.reduce((a, b) => a * b, 1);
  return tensorOf(
    "f32",
    shape,
    Array.from({ length: n }, () => (next() < zeros ? 0 : next() * 2 - 1)),
  );
}
