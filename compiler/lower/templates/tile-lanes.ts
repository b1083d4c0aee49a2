// Four neighbouring tiles of a row in the four lanes: between vectors of columns and vectors that hold one column of each tile.

import { load, shuffle } from "../../../ir/kernel/build.ts";
import type { Expr } from "../../../ir/kernel/types.ts";
import type { TileSize } from "./winograd-matrices.ts";

type Keep = (value: Expr) => Expr;

/** Lane i of vector j becomes lane j of vector i. */
function transposed([a, b, c, d]: readonly [Expr, Expr, Expr, Expr], keep: Keep): Expr[] {
  const [ab, cd] = [
    [0, 4, 1, 5],
    [2, 6, 3, 7],
  ].map((lanes) => [keep(shuffle(a, b, lanes)), keep(shuffle(c, d, lanes))] as const) as [readonly [Expr, Expr], readonly [Expr, Expr]];
  return [ab, cd].flatMap(([x, y]) => [keep(shuffle(x, y, [0, 1, 4, 5])), keep(shuffle(x, y, [2, 3, 6, 7]))]);
}

/** Columns m * lane + j, j from 0 to m + 1, of the row behind `ptr`, which is read up to column 4m + 4. */
export function tileColumns(m: TileSize, ptr: Expr, keep: Keep): Expr[] {
  const row = Array.from({ length: m }, (_, i) => keep(load("f32x4", ptr, 16 * i)));
  const own =
    m === 4
      ? transposed(row as [Expr, Expr, Expr, Expr], keep)
      : [keep(shuffle(row[0]!, row[1]!, [0, 2, 4, 6])), keep(shuffle(row[0]!, row[1]!, [1, 3, 5, 7]))];
  // The first two of the next tile: one lane on, and behind the last lane the next four tiles' first.
  const next = [0, 1].map((j) => keep(shuffle(own[j]!, load("f32x4", ptr, 16 * m + 4 * j), [1, 2, 3, 4])));
  return [...own, ...next];
}

/** The other way: columns j of four tiles of m to m vectors of neighbours. */
export const tileRow = (m: TileSize, columns: readonly Expr[], keep: Keep): Expr[] =>
  m === 4
    ? transposed(columns as unknown as readonly [Expr, Expr, Expr, Expr], keep)
    : [keep(shuffle(columns[0]!, columns[1]!, [0, 4, 1, 5])), keep(shuffle(columns[0]!, columns[1]!, [2, 6, 3, 7]))];
