// The costs that ship: measured by `sparsec calibrate` on a server core of about 3.5 GHz, on Node 20 (baseline, js) and Node 24 (relaxed); those of GPUs are assumed.

import type { Costs, Transfer } from "./costs.ts";

/**
 * Sparse against dense: the same for both variants, so that one choice of layouts serves an artifact. They are relaxed's, whose dense kernels
 * gain more from fused operations: baseline's sparse ones would pay at fewer zeros.
 */
const sparse = {
  // In chains at N >= 49, relaxed: 0.98x at 20 %, 1.02x at 25 %, 1.15x at 35 %, 1.4x at 50 %, 2.4x at 70 %; baseline 1.1x at 20 %.
  single: [
    [4, 0.45],
    [8, 0.52],
    [16, 0.64],
    [32, 0.75],
    [49, 0.8],
  ],
  shared: [
    [4, 0.54],
    [8, 0.68],
    [16, 0.8],
    [49, 0.9],
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

/** Assumed until they are measured on a GPU: writing a buffer, or submitting, waiting and mapping one, over a bus. */
export const TRANSFER: Transfer = { latency: 300, rate: 5 };

/**
 * Assumed until they are measured on a GPU: a small one, of 1 TFLOP/s in kernels and 100 GB/s. What hangs on the zeros of weights is wasm's, so
 * that one choice of layouts serves an artifact.
 */
const gpu: Costs = {
  ...sparse,
  dense: [
    [1, 50],
    [4, 150],
    [16, 400],
    [49, 700],
    [196, 1000],
  ],
  denseFar: 50,
  grouped: 200,
  vectors: 100,
  elements: 100,
  memory: 100,
  functions: 0.01,
  start: 5,
  transfer: TRANSFER,
};

export const DEFAULTS: ReadonlyMap<string, Costs> = new Map([
  ["wasm:baseline", baseline],
  ["wasm:relaxed", relaxed],
  ["js:es2022", js],
  ["webgpu:base", gpu],
]);
