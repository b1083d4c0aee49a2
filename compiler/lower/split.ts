// How a kernel's work is shared out among the threads of a team: which of its loops are parallel.

/** Rounds of a loop, and what one costs in proportion to those beside it. */
export interface Rounds {
  readonly count: number;
  readonly cost: number;
}

/** Which loops of a convolution are shared out: its calls, each for a range of output channels, or the tiles of each call. */
export type Split = "calls" | "rows" | "vectors";

/** Sizes of teams that are reckoned with. */
const TEAMS = [2, 4];

/** How much of a team's time is put to use, from 0 to 1: the mean over teams of two and four. */
export function evenness(loops: readonly Rounds[]): number {
  const total = loops.reduce((sum, l) => sum + l.count * l.cost, 0);
  if (total === 0) return 0;
  const used = TEAMS.map((size) => {
    const bound = (rank: number): number => {
      let [done, before] = [0, 0];
      for (const { count, cost } of loops) {
        done += cost * Math.min(count, Math.max(0, Math.trunc((Math.floor((total * rank) / size) - before + Math.floor(cost / 2)) / cost)));
        before += count * cost;
      }
      return done;
    };
    const largest = Math.max(...Array.from({ length: size }, (_, rank) => bound(rank + 1) - bound(rank)));
    return total / (size * largest);
  });
  return used.reduce((sum, u) => sum + u, 0) / used.length;
}

/** What is as even as the best, or nearly so; the first such of a list in order of preference. */
export function mostEven<T>(options: readonly (readonly [T, readonly Rounds[]])[]): T {
  const rated = options.map(([choice, loops]) => ({ choice, even: evenness(loops) }));
  const best = Math.max(...rated.map((r) => r.even));
  return rated.find((r) => r.even >= best - 0.04)!.choice;
}

/** Pieces that a list of output channels is cut into where threads share them. */
export const PIECES = 4;
/** Vectors of an output image with fewer of which tiles are too few to share. */
const FEW_VECTORS = 64;

/**
 * Whether threads share a convolution's output channels, each with its own weights, rather than its rows, each with its own inputs: where
 * weights are more, or rows few. The same for every target, as the order of the weights hangs on it.
 */
export const sharesChannels = (weightBytes: number, inputBytes: number, vectors: number): boolean =>
  weightBytes > inputBytes || vectors < FEW_VECTORS;

/** Elements with fewer of which sharing takes longer than it saves. */
const FEW_ELEMENTS = 64;

/** Whether a loop nest over elements is shared out at all. */
export const isShared = (extents: readonly number[]): boolean => extents.reduce((product, n) => product * n, 1) >= FEW_ELEMENTS;

/** The axis of such a nest, outermost first, whose rounds are shared out: the outermost that is even. */
export const sharedAxis = (extents: readonly number[]): number | undefined =>
  isShared(extents) ? mostEven(extents.map((count, axis) => [axis, [{ count, cost: 1 }]])) : undefined;
