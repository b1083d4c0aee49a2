// Depth-first execution of a chain of convolutions: which rows of each member are computed when, so that a few rows of each intermediate
// are in memory at a time. (Fused-layer execution with reuse of overlapping rows: Alwani et al. 2016; measured in NETWORKS.md 7.)

/** How the rows of a convolution's result follow from those of its input. */
export interface RowReach {
  /** Rows of the result, and of the input. */
  readonly height: number;
  readonly inputHeight: number;
  readonly stride: number;
  /** Rows of zeros above the input. */
  readonly top: number;
  /** Input rows from the first to the last tap of one output row. */
  readonly taps: number;
}

/** Rows [from, to) of a member's result, to be computed from a window of its input. */
export interface Part {
  readonly member: number;
  readonly from: number;
  readonly to: number;
  /** The window of the result that the next member reads: its first row, negative above the image. Absent for the last member. */
  readonly window?: {
    readonly base: number;
    readonly rows: number;
    /** Rows that the last part left and this window needs, moved up by `by`. */
    readonly keep?: { readonly rows: number; readonly by: number };
  };
}

export interface StripePlan {
  /** Parts in the order of execution, grouped by stripe. */
  readonly stripes: readonly (readonly Part[])[];
  /** Rows that the memory of each intermediate holds. */
  readonly windows: readonly number[];
}

/** `rows` rows of the last member at a time; every row of every member is computed at most once. */
export function planStripes(chain: readonly RowReach[], rows: number): StripePlan {
  const last = chain.length - 1;
  const done = chain.map(() => 0);
  const bases = chain.map((_, j) => (j < last ? -chain[j + 1]!.top : 0));
  const windows = chain.slice(0, -1).map(() => 0);
  const stripes: Part[][] = [];
  for (let end = Math.min(rows, chain[last]!.height); done[last]! < chain[last]!.height; end = Math.min(end + rows, chain[last]!.height)) {
    const parts: Part[] = [];
    let [from, to] = [done[last]!, end];
    parts.push({ member: last, from, to });
    done[last] = to;
    for (let j = last - 1; j >= 0; j--) {
      const reader = chain[j + 1]!;
      const base = from * reader.stride - reader.top;
      const window = (to - from - 1) * reader.stride + reader.taps;
      const kept = done[j]! - base;
      const by = base - bases[j]!;
      windows[j] = Math.max(windows[j]!, window);
      from = Math.max(done[j]!, base);
      to = Math.max(from, Math.min(chain[j]!.height, base + window));
      parts.push({
        member: j,
        from,
        to,
        window: { base, rows: window, ...(kept > 0 && by > 0 ? { keep: { rows: kept, by } } : {}) },
      });
      bases[j] = base;
      done[j] = Math.max(done[j]!, to);
      if (from === to) break;
    }
    stripes.push(parts.reverse());
  }
  return { stripes, windows };
}
