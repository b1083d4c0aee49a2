// The layouts of constants that the compiler knows, by name.

import { bitmap } from "./bitmap.ts";
import { blocks } from "./blocks.ts";
import { csc, csr } from "./compressed.ts";
import type { Layout } from "./layout.ts";
import { nOfM } from "./n-of-m.ts";

const SIDES = ["first", "last"] as const;
const BLOCKS: readonly (readonly [number, number])[] = [
  [1, 2],
  [1, 4],
  [1, 8],
  [1, 16],
  [2, 1],
  [4, 1],
  [8, 1],
  [16, 1],
  [2, 2],
  [4, 4],
  [8, 4],
  [8, 8],
];
const N_OF_M: readonly (readonly [number, number])[] = [
  [1, 2],
  [1, 4],
  [2, 4],
  [2, 8],
  [4, 8],
];

export const layouts: readonly Layout[] = [
  csr,
  csc,
  ...SIDES.flatMap((by) => BLOCKS.map(([r, c]) => blocks(r, c, by))),
  ...SIDES.flatMap((by) => N_OF_M.map(([n, m]) => nOfM(n, m, by))),
  bitmap,
];

export { bitmap } from "./bitmap.ts";
export { blockOf, blocks } from "./blocks.ts";
export { csc, csr } from "./compressed.ts";
export { defineLayout, firstAxisRows, isZero, type Layout, lastAxisRows, type MatrixView, type PackedTensor } from "./layout.ts";
export { nOfM } from "./n-of-m.ts";
