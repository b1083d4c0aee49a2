// Which GPU buffers weights and arena lie in, and by which of their bytes a kernel binds them.

import type { Placement } from "../../compiler/backend.ts";
import type { Windows } from "./memory.ts";

export type Region = "weights" | "arena";

/** A pointer argument: bytes from a region's start. */
export interface Pointer {
  readonly region: Region;
  readonly offset: number;
}

/** What one binding would hold if it could be as large as it liked. */
export interface Stretch extends Pointer {
  readonly bytes: number;
  /** How it is bound, where one binding may not hold all. */
  readonly windows?: Windows | undefined;
}

/** Bytes that are bound as a whole or in part, but never with others: by its number, ascending from 0 in each region. */
export interface Buffers {
  /** The number of the buffer that a pointer points into, from 0 for the arena, below 0 for the weights. */
  numberOf(p: Pointer): number;
  /** What to bind so that the bytes `from` to `to` of one buffer are. */
  stretch(region: Region, from: number, to: number): Stretch;
  /** Where a region is cut into GPU buffers: large ones into several, of as many bytes as a binding may have. */
  readonly cuts: Readonly<Record<Region, readonly number[]>>;
}

const roundUp = (n: number, to: number): number => Math.ceil(n / to) * to;

/** Starts of as few buffers as hold all that lies between cuts, none larger than `window` unless one thing is. */
function joined(cuts: readonly number[], end: number, window: number): number[] {
  const starts = [0];
  for (const [k, cut] of cuts.entries()) {
    const next = cuts[k + 1] ?? end;
    if (cut > starts.at(-1)! && next - starts.at(-1)! > window) starts.push(cut);
  }
  return starts;
}

const windowsIn = (starts: readonly number[], end: number, window: number): number[] =>
  starts.flatMap((from, k) => {
    const bytes = (starts[k + 1] ?? end) - from;
    return Array.from({ length: Math.max(1, Math.ceil(bytes / window)) }, (_, n) => from + n * window);
  });

/** Buffers for bindings of up to `window` bytes that start at multiples of `alignment`. */
export function buffersFor({ weights, weightCuts, arena, cuts }: Placement, window: number, alignment: number): Buffers {
  const starts = { weights: joined(weightCuts, weights, window), arena: cuts };
  const indexOf = ({ region, offset }: Pointer): number => starts[region].findLastIndex((start) => start <= offset);
  return {
    numberOf: (p) => (p.region === "arena" ? indexOf(p) : -1 - indexOf(p)),
    stretch(region, from, to) {
      const start = starts[region][indexOf({ region, offset: from })]!;
      const [first, last] = [from, Math.max(from, to - 1)].map((at) => Math.floor((at - start) / window));
      const offset = first === last ? from - (from % alignment) : start + first! * window;
      const bytes = Math.max(16, roundUp(to - offset, 16));
      return { region, offset, bytes, ...(first === last ? {} : { windows: { count: last! - first! + 1, bytes: window } }) };
    },
    cuts: { weights: windowsIn(starts.weights, weights, window), arena: windowsIn(cuts, arena, window) },
  };
}

/** The bindings of a stretch, in order. */
export const bindingsOf = ({ windows, ...whole }: Stretch): readonly Stretch[] =>
  Array.from({ length: windows?.count ?? 1 }, (_, k) => {
    const from = k * (windows?.bytes ?? 0);
    return { ...whole, offset: whole.offset + from, bytes: Math.min(windows?.bytes ?? whole.bytes, whole.bytes - from) };
  });
