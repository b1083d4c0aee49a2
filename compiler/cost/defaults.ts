// The costs that ship: measured by `sparsec calibrate` on a server core of about 3.5 GHz, on Node 20 (baseline, js) and Node 24 (relaxed).

import type { Costs } from "./costs.ts";

/** Sparse against dense: the same for both variants, so that one choice of layouts serves an artifact. */
const sparse = {
  // At N >= 49 1.2x at 25 %, 1.7x at 50 %, 2.8x at 70 %, 8.7x at 90 % zeros.
  single: [
    [4, 0.5],
    [8, 0.58],
    [16, 0.7],
    [32, 0.82],
    [49, 0.87],
  ],
  shared: [
    [4, 0.6],
    [8, 0.75],
    [16, 0.9],
    [49, 1],
  ],
  // Beyond the cache the dense kernel waits for memory (1024 x 1024: 5x at 90 % zeros, 15x in 4x1 blocks, 19x in 16x1).
  few: [
    [1, 0.23, 0.45],
    [2, 0.3, 0.6],
    [4, 0.5, 1.2],
    [8, 0.65, 1.6],
    [16, 0.7, 1.8],
  ],
  along: { near: 0.45, far: 1.1 },
} satisfies Partial<Costs>;

const baseline: Costs = {
  ...sparse,
  dense: [
    [1, 27],
    [4, 30],
    [16, 36],
    [49, 38],
    [196, 42],
  ],
  denseFar: 18,
  grouped: 24,
  vectors: 45,
  elements: 13,
  memory: 9,
  functions: 1.5,
  start: 0.05,
};

const relaxed: Costs = {
  ...baseline,
  dense: [
    [1, 27],
    [4, 36],
    [16, 48],
    [49, 52],
    [196, 60],
  ],
};

/** Scalars only. */
const js: Costs = { ...baseline, dense: [[1, 1.5]], denseFar: 1.5, grouped: 1, vectors: 4, elements: 4, functions: 10 };

export const DEFAULTS: ReadonlyMap<string, Costs> = new Map([
  ["wasm:baseline", baseline],
  ["wasm:relaxed", relaxed],
  ["js:es2022", js],
]);
