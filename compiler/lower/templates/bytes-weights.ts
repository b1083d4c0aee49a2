// The weights of dense products of bytes, in the order in which tiles take them.

import type { Packed } from "../template.ts";
import { type BytesShape, type BytesSpec, readsExactly } from "./bytes-spec.ts";
import { lanesOf } from "./bytes-store.ts";

/** Runs of neighbouring bytes that one output's window is made of: `down` by `across` of them, `length` bytes each. */
export interface Runs {
  readonly down: number;
  readonly downStep: number;
  readonly across: number;
  readonly acrossStep: number;
  readonly length: number;
  /** Channels that the bytes between two taps of a run hold. */
  readonly pitch: number;
  readonly taps: number;
}

export function runsOf(spec: BytesSpec, s: BytesShape): Runs {
  const { input, kernel, dilations } = spec;
  const pixel = s.matrix ? input.strides[0]! : input.strides[3]!;
  const row = s.matrix ? 0 : input.strides[2]!;
  const channels = Math.ceil(s.c / 4) * 4;
  const together = dilations[1] === 1 && kernel[1] > 1;
  return {
    down: kernel[0],
    downStep: row * dilations[0],
    across: together ? 1 : kernel[1],
    acrossStep: pixel * dilations[1],
    length: together ? (kernel[1] - 1) * pixel + channels : channels,
    pitch: pixel,
    taps: together ? kernel[1] : 1,
  };
}

/** Outputs of a group, in vectors of four; each group's weights lie together. */
export const GROUP = 4;

export interface Group {
  readonly first: number;
  readonly vectors: number;
  readonly count: number;
  /** Lanes of its last vector that are stored. */
  readonly lanes: number;
  /** Weights before its own. */
  readonly at: number;
}

/**
 * What is taken off all weights so that they fit in a signed byte, from -127 to 127; undefined where nothing does. Unsigned weights less a
 * zero point are brought back to bytes so.
 */
function excessOf(weights: Int16Array): number | undefined {
  let [least, most] = [0, 0];
  for (let i = 0; i < weights.length; i++) {
    least = Math.min(least, weights[i]!);
    most = Math.max(most, weights[i]!);
  }
  const excess = most > 127 ? most - 127 : Math.min(0, least + 128);
  return least - excess >= -128 && Math.abs(excess) <= 127 ? excess : undefined;
}

/** Weights as [group][run][word of inputs][output][4 inputs], `gap` between channels, and the sums of each output's. */
export function cut(
  spec: BytesSpec,
  s: BytesShape,
  runs: Runs,
  gap: number,
): { readonly groups: readonly Group[]; readonly values: Int16Array; readonly sums: Int32Array } {
  // A last vector that is stored in part is a group of its own.
  const lanes = lanesOf(spec, s);
  const all = lanes < 4 ? Math.floor(s.m / 4) : Math.ceil(s.m / 4);
  const words = runs.length / 4;
  const count = runs.down * runs.across;
  const groups: Group[] = [];
  let [first, at] = [0, 0];
  const take = (vectors: number, n: number, own: number): void => {
    if (n === 0) return;
    groups.push({ first, vectors, count: n, lanes: own, at });
    first += 4 * vectors * n;
    at += n * count * words * 16 * vectors;
  };
  for (const vectors of [GROUP, 2, 1]) take(vectors, Math.floor((all - first / 4) / vectors), 4);
  if (lanes < 4) take(1, 1, lanes);
  const values = new Int16Array(at).fill(gap);
  const sums = new Int32Array(s.m);
  let to = 0;
  const [kh, kw] = spec.kernel;
  for (const g of groups)
    for (let i = 0; i < g.count; i++)
      for (let run = 0; run < count; run++)
        for (let word = 0; word < words; word++)
          for (let output = 0; output < 4 * g.vectors; output++)
            for (let k = 0; k < 4; k++, to++) {
              const m = g.first + i * 4 * g.vectors + output;
              const byte = 4 * word + k;
              const [tap, channel] = [Math.floor(byte / runs.pitch), byte % runs.pitch];
              const ky = Math.floor(run / runs.across);
              const kx = (run % runs.across) + tap;
              if (m < s.m && channel < s.c && tap < runs.taps) values[to] = spec.weights[((m * s.c + channel) * kh + ky) * kw + kx]!;
              if (m < s.m) sums[m]! += values[to]!;
            }
  return { groups, values, sums };
}

/** Cut weights in as few bytes as they fit in. What lies between channels has none: with the excess, which is added to all, that is 0 too. */
export interface Stored {
  readonly packed: Packed;
  /** What is taken off weights that are bytes, and whether kernels read them as such. */
  readonly excess: number | undefined;
  readonly bytes: boolean;
}

export function stored(spec: BytesSpec, values: Int16Array): Stored {
  const excess = excessOf(spec.weights);
  if (excess === undefined) return { packed: { kind: "bytes", bytes: new Uint8Array(values.buffer) }, excess, bytes: false };
  // Millions of them: a callback for each takes seconds.
  const narrow = new Int8Array(values.length);
  for (let i = 0; i < narrow.length; i++) narrow[i] = values[i]! - excess;
  const bytes = spec.target.byteDots !== undefined && readsExactly(spec, narrow);
  const packed: Packed = bytes
    ? { kind: "bytes", bytes: new Uint8Array(narrow.buffer) }
    : { kind: "widened", values: narrow, plus: excess, to: "i16" };
  return { packed, excess, bytes };
}
