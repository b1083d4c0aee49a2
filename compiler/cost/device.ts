// Sparse against dense on devices: from how few blocks on leaving out the others is taken to be faster.

/** Rows and columns of the blocks that are kept or left out as a whole; a row for each output channel. */
export type BlockShape = readonly [rows: number, columns: number];

/**
 * The rate of a sparse kernel on the elements of the blocks that it keeps, over the rate of the dense kernel: by shape, for products with many
 * right-hand sides, and with few of them, where memory is what products wait for.
 */
export interface BlockRate {
  readonly block: BlockShape;
  readonly many: number;
  readonly few: number;
}

/**
 * What ships: estimates, NOT MEASURED. Much tuned kernels of single elements reach 27 % of a GPU's f32 peak (Gale, Zaharia, Young, Elsen: Sparse GPU
 * Kernels for Deep Learning, SC 2020); plain ones are taken to reach a third of that, so that they pay from about 90 % zeros on. Blocks read fewer
 * indices and, where they have several rows, fewer inputs: squares are taken to pay from 60 to 70 %. Products with few right-hand sides wait for
 * memory, where an index is as many bytes as a value. `bench/gpu` measures what they are.
 */
export const BLOCK_RATES: readonly BlockRate[] = [
  { block: [1, 1], many: 0.1, few: 0.35 },
  { block: [1, 4], many: 0.15, few: 0.6 },
  { block: [4, 1], many: 0.2, few: 0.6 },
  { block: [4, 4], many: 0.3, few: 0.8 },
  { block: [8, 8], many: 0.35, few: 0.8 },
  { block: [16, 16], many: 0.4, few: 0.8 },
];

/** Right-hand sides up to which they are few. */
export const FEW = 3;

/** Bytes of dense weights from which on they are kept sparse wherever that takes a quarter of the memory. */
const LARGE = 16 * 2 ** 20;

export interface BlockChoice {
  readonly block: BlockShape;
  /** Dense time over sparse time. */
  readonly gain: number;
}

/** Whether leaving out the zeros may gain: it does not in blocks of any shape, were they all full. */
export const mayGain = (elements: number, nonzeros: number, columns: number, rates: readonly BlockRate[] = BLOCK_RATES): boolean =>
  isLarge(elements, nonzeros) || bestBlocks(elements, columns, () => nonzeros, rates).gain > 1;

/** Whether dense weights are so large, and what is kept so little of them, that it is kept sparse even if that is slower. */
export const isLarge = (elements: number, kept: number): boolean => 4 * elements >= LARGE && 4 * kept <= elements;

/** The shape that is predicted to be fastest; `stored` gives the elements of the blocks of a shape that are kept, undefined where there are none. */
export function bestBlocks(
  elements: number,
  columns: number,
  stored: (block: BlockShape) => number | undefined,
  rates: readonly BlockRate[] = BLOCK_RATES,
): BlockChoice {
  const choices = rates.flatMap(({ block, many, few }): BlockChoice[] => {
    const kept = stored(block);
    return kept === undefined ? [] : [{ block, gain: ((columns > FEW ? many : few) * elements) / Math.max(1, kept) }];
  });
  return choices.reduce((best, c) => (c.gain > best.gain ? c : best));
}
