// What products of few rows by constant small integers are predicted to take, as products of integers or of floats.

/** Constant small integers, and what of them is not zero. */
export interface FewRowsWeights {
  /** Rows that are multiplied by them. */
  readonly rows: number;
  readonly elements: number;
  readonly nonzeros: number;
  /** Weights of four features, and of eight, for words of four neighbouring inputs in which any of them has one. */
  readonly four: number;
  readonly eight: number;
  /** Non-zeros of the blocks that sparse products of floats would keep, as a fraction; undefined where they keep them one by one. */
  readonly fill: number | undefined;
}

/**
 * Picoseconds for each row and weight that is read, 2048 x 2048, Node 24 on a core of 2.8 GHz: in blocks with scales of their own; by lists of
 * words; as floats, for up to three rows and for more, which are lanes. In a cache; beyond it what is fewer bytes gains.
 */
const COST = { blocks: 52, eight: 62, four: 80, single: { few: 440, more: 120 }, shared: { few: 200, more: 100 } };
const MOST_FEW = 3;

export interface FewRowsTimes {
  /** All weights, in blocks. */
  readonly blocks: number;
  /** Lists of the words of eight features, and of four. */
  readonly eight: number;
  readonly four: number;
  /** Floats that are not zero. */
  readonly floats: number;
}

/** Picoseconds a row. */
export function fewRowsTimes(w: FewRowsWeights): FewRowsTimes {
  const rows = w.rows > MOST_FEW ? "more" : "few";
  return {
    blocks: COST.blocks * w.elements,
    eight: COST.eight * w.eight,
    four: COST.four * w.four,
    floats: w.fill === undefined ? COST.single[rows] * w.nonzeros : (COST.shared[rows] * w.nonzeros) / w.fill,
  };
}
