// What leaving out zeros is predicted to gain in products of bytes, on hosts.

/** Constant small integers as [outputs, channels, taps], and what of them is not zero. */
export interface ByteWeights {
  readonly outputs: number;
  readonly channels: number;
  readonly taps: number;
  readonly nonzeros: number;
  /** Words of four neighbouring channels of a tap in which some weight is not zero. */
  readonly words: number;
}

/**
 * Vector instructions for each pixel, where dot products are of 16 bits: of a weight of dense products; of a word or a single weight of
 * sparse ones; of a channel and tap that is brought into a panel in either form; and of an output that lies by pixels first.
 */
const COST = { dense: 0.3, word: 1.7, single: 0.75, wordPanel: 0.5, singlePanel: 1.5, turned: 1.2 };

/** Dense time over sparse time, by words and by single weights. */
export function byteGains(w: ByteWeights): { readonly words: number; readonly singles: number } {
  const inputs = w.channels * w.taps;
  const dense = COST.dense * w.outputs * inputs;
  const turned = COST.turned * w.outputs;
  return {
    words: dense / (COST.word * w.words + COST.wordPanel * inputs + turned),
    singles: dense / (COST.single * w.nonzeros + COST.singlePanel * inputs + turned),
  };
}
