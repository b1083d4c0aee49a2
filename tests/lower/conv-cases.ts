// Convolution problems with their answers in f64, in any storage: what the template tests and benches run.

import type { Capabilities } from "../../compiler/backend.ts";
import { flat, type Margin, rows, type Storage } from "../../compiler/lower/storage.ts";
import { noEpilogue } from "../../compiler/lower/template.ts";
import type { ConvSpec } from "../../compiler/lower/templates/conv-spec.ts";

export const baseline: Capabilities = {
  vectors: ["f32x4", "i32x4", "i16x8", "i8x16", "f64x2", "i64x2"],
  f16: false,
  fma: false,
  maths: ["sqrt"],
  accumulators: 7,
};
export const relaxed: Capabilities = { ...baseline, fma: true, accumulators: 10 };
export const scalars: Capabilities = { ...baseline, vectors: [], accumulators: 16 };

/** Numbers in [-1, 1) from a seed. */
export function random(seed: number): () => number {
  let state = seed >>> 0 || 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 31 - 1;
  };
}

export interface ConvCase {
  readonly n?: number;
  readonly c: number;
  readonly h: number;
  readonly w: number;
  readonly m: number;
  readonly kernel: readonly [number, number];
  readonly strides?: readonly [number, number];
  readonly dilations?: readonly [number, number];
  readonly pads?: readonly [number, number, number, number];
  readonly groups?: number;
  readonly bias?: boolean;
  /** Part of the weights that is not zero. Default 1. */
  readonly density?: number;
  /** Rows and columns of the blocks in which the others are zero. */
  readonly block?: readonly [rows: number, columns: number];
  /** Padding of the operand's and the result's rows; flat where undefined. */
  readonly input?: Margin;
  readonly output?: Margin;
  readonly target?: Capabilities;
}

export interface ConvProblem {
  readonly spec: ConvSpec;
  readonly operand: Uint8Array;
  /** [N, M, Ho, Wo] in f64. */
  readonly expected: Float64Array;
}

/** Puts row-major values where a storage has them; the rest of the buffer is zero. */
export function place(values: ArrayLike<number>, storage: Storage): Uint8Array {
  const bytes = new Uint8Array(storage.bytes);
  const view = new DataView(bytes.buffer);
  each(storage, (at, i) => view.setFloat32(at, values[i]!, true));
  return bytes;
}

/** Every element's byte in the buffer and its row-major number. */
export function each(storage: Storage, visit: (at: number, i: number) => void): void {
  const { shape, strides } = storage;
  const count = shape.reduce((a, b) => a * b, 1);
  for (let i = 0; i < count; i++) {
    let rest = i;
    let at = storage.offset;
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      at += (rest % shape[axis]!) * strides[axis]!;
      rest = Math.floor(rest / shape[axis]!);
    }
    visit(at, i);
  }
}

const storageOf = (shape: readonly number[], margin: Margin | undefined): Storage =>
  margin ? rows({ dtype: "f32", shape }, margin) : flat({ dtype: "f32", shape });

export function convProblem(k: ConvCase, seed = 1): ConvProblem {
  const next = random(seed * 7919 + 17);
  const { n = 1, c, h, w, m, groups = 1, density = 1 } = k;
  const [kh, kw] = k.kernel;
  const [sy, sx] = k.strides ?? [1, 1];
  const [dy, dx] = k.dilations ?? [1, 1];
  const pads = k.pads ?? [0, 0, 0, 0];
  const [top, left, bottom, right] = pads;
  const ho = Math.floor((h + top + bottom - (kh - 1) * dy - 1) / sy) + 1;
  const wo = Math.floor((w + left + right - (kw - 1) * dx - 1) / sx) + 1;
  const [cg, mg] = [c / groups, m / groups];
  const x = Float32Array.from({ length: n * c * h * w }, next);
  const [depth, [rows, columns]] = [cg * kh * kw, k.block ?? [1, 1]];
  const across = Math.ceil(depth / columns);
  const kept = Array.from({ length: Math.ceil(m / rows) * across }, () => (next() + 1) / 2 < density);
  const isKept = (i: number): boolean => kept[Math.floor(Math.floor(i / depth) / rows) * across + Math.floor((i % depth) / columns)]!;
  const weights = Float32Array.from({ length: m * depth }, (_, i) => (isKept(i) ? next() : 0));
  const bias = k.bias ? Float32Array.from({ length: m }, next) : undefined;
  const expected = new Float64Array(n * m * ho * wo);
  for (let i = 0; i < n; i++)
    for (let o = 0; o < m; o++)
      for (let y = 0; y < ho; y++)
        for (let z = 0; z < wo; z++) {
          let sum = bias ? bias[o]! : 0;
          for (let a = 0; a < cg; a++)
            for (let ky = 0; ky < kh; ky++) {
              const iy = y * sy + ky * dy - top;
              if (iy < 0 || iy >= h) continue;
              for (let kx = 0; kx < kw; kx++) {
                const ix = z * sx + kx * dx - left;
                if (ix < 0 || ix >= w) continue;
                const channel = Math.floor(o / mg) * cg + a;
                sum += weights[((o * cg + a) * kh + ky) * kw + kx]! * x[((i * c + channel) * h + iy) * w + ix]!;
              }
            }
          expected[((i * m + o) * ho + y) * wo + z] = sum;
        }
  const input = storageOf([n, c, h, w], k.input);
  const spec: ConvSpec = {
    name: "conv",
    input,
    output: storageOf([n, m, ho, wo], k.output),
    weights,
    kernel: [kh, kw],
    strides: [sy, sx],
    dilations: [dy, dx],
    pads,
    groups,
    ...(k.block ? { block: k.block } : {}),
    ...(bias ? { bias } : {}),
    epilogue: noEpilogue,
    target: k.target ?? baseline,
  };
  return { spec, operand: place(x, input), expected };
}

/** A result buffer before a kernel runs: elements are NaN, the rest is what the storage promises. */
export function blank(storage: Storage): Uint8Array {
  const bytes = new Uint8Array(storage.bytes);
  const view = new DataView(bytes.buffer);
  each(storage, (at) => view.setUint32(at, 0x7fc00000, true));
  return bytes;
}

/** What is wrong with a result, in words: elements far from expected, or bytes beside the elements that are not zero. */
export function mismatch(result: Uint8Array, storage: Storage, expected: Float64Array): string | undefined {
  const view = new DataView(result.buffer, result.byteOffset, result.byteLength);
  const rest = result.slice();
  let largest = 0;
  let square = 0;
  let first: string | undefined;
  for (const e of expected) square += e * e;
  const norm = Math.sqrt(square / Math.max(1, expected.length));
  each(storage, (at, i) => {
    const d = Math.abs(view.getFloat32(at, true) - expected[i]!);
    if (!(d <= 1e-5 * norm + 1e-6)) first ??= `element ${i} is ${view.getFloat32(at, true)}, expected ${expected[i]}`;
    largest = Math.max(largest, d);
    rest.fill(0, at, at + 4);
  });
  const dirty = rest.findIndex((b) => b !== 0);
  if (first) return `${first} (largest difference ${largest})`;
  return dirty >= 0 ? `byte ${dirty} beside the elements is ${rest[dirty]}` : undefined;
}
