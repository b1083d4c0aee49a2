// How much a model may ask for before decoding refuses it: limits that keep a small hostile file from costing a big machine.

export interface Budget {
  readonly nodes: number;
  readonly attributes: number;
  /** Messages of every kind and strings in lists: each becomes an object. */
  readonly objects: number;
  /** Elements of typed repeated fields (float_data and its like; raw data is not copied and not counted). */
  readonly typedElements: number;
  /** Messages inside one another; a nested graph takes three. */
  readonly depth: number;
  /** Bytes that all tensors declare, external ones included. */
  readonly tensorBytes: number;
}

export const DEFAULT_BUDGET: Budget = {
  nodes: 250_000,
  attributes: 1_000_000,
  objects: 4_000_000,
  typedElements: 2 ** 27,
  depth: 100,
  tensorBytes: 2 ** 33,
};

/** Most elements of a tensor, and most dimensions. */
export const MAX_ELEMENTS = 2 ** 31 - 1;
export const MAX_RANK = 16;
