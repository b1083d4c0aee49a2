// Lists of the weights that are not zero, output by output: words of four neighbouring channels, or single ones.

import type { Packed } from "../template.ts";
import { bySingles, type Panel } from "./bytes-panel.ts";
import type { BytesShape, BytesSpec } from "./bytes-spec.ts";

/** For each block of channels of a panel, the lists of all outputs. */
export interface Lists {
  /** Steps of each output, the number of outputs rounded up to whole vectors. */
  readonly counts: Uint16Array;
  /** The number of each step: [row of the kernel][column][unit of the block]. Behind single weights there is room to take them in fours. */
  readonly columns: Uint32Array;
  /** A weight of each step, or four. */
  readonly weights: Int16Array;
}

/** The lists of all outputs; undefined where one has more than 2^16 steps. */
export function listsOf(spec: BytesSpec, s: BytesShape, p: Panel): Lists | undefined {
  const [kh, kw] = spec.kernel;
  const channels = bySingles(p.form) ? 1 : 4;
  const outputs = 4 * Math.ceil(s.m / 4);
  const counts = new Uint16Array(p.blocks * outputs);
  const [columns, weights]: [number[], number[]] = [[], []];
  for (let block = 0; block < p.blocks; block++)
    for (let m = 0; m < s.m; m++) {
      const before = columns.length;
      for (let tap = 0; tap < kh * kw; tap++)
        for (let unit = 0; unit < p.units; unit++) {
          const first = (block * p.units + unit) * channels;
          const of = (channel: number): number => (channel < s.c ? spec.weights[(m * s.c + channel) * kh * kw + tap]! : 0);
          let some = 0;
          for (let i = 0; i < channels; i++) some |= of(first + i);
          if (some === 0) continue;
          columns.push(tap * p.units + unit);
          for (let i = 0; i < channels; i++) weights.push(of(first + i));
        }
      if (columns.length - before > 65535) return undefined;
      counts[block * outputs + m] = columns.length - before;
    }
  if (channels === 1) {
    columns.push(0, 0, 0);
    weights.push(...new Array<number>(16).fill(0));
  }
  return { counts, columns: Uint32Array.from(columns), weights: Int16Array.from(weights) };
}

/** The streams of lists: weights as the panel's form wants them, and displacements in it. */
export function packLists(l: Lists, p: Panel, wide: boolean): { readonly weights: Packed; readonly taps: Packed; readonly counts: Packed } {
  const bound = p.radix.reduce((product, [extent]) => product * extent, 1);
  const expanded = p.bytes <= 65536 ? "u16" : "u32";
  const columns = bound <= 256 ? Uint8Array.from(l.columns) : bound <= 65536 ? Uint16Array.from(l.columns) : l.columns;
  const bytes = (data: ArrayLike<number> & ArrayBufferView): Packed => ({
    kind: "bytes",
    bytes: new Uint8Array(data.buffer, data.byteOffset, data.byteLength),
  });
  const narrow = (): Int8Array => Int8Array.from(l.weights);
  const weights = (): Packed => {
    if (p.form === "bytes" || p.form === "planes") return bytes(narrow());
    if (p.form === "pairs") return wide ? bytes(l.weights) : { kind: "widened", values: narrow(), to: "i16" };
    return wide ? bytes(Float32Array.from(l.weights)) : { kind: "widened", values: narrow(), to: "f32" };
  };
  return {
    weights: weights(),
    taps: { kind: "indices", columns, expanded, bound, radix: p.radix },
    counts: { kind: "counts", counts: l.counts, expanded: "u16", total: l.counts.reduce((a, b) => a + b, 0) },
  };
}

/** Bytes of a number in the stream of displacements. */
export const tapBytes = (p: Panel): 2 | 4 => (p.bytes <= 65536 ? 2 : 4);
