// How the zeros of a constant matrix lie: counts them, and finds the pattern that describes them best.

import { isZero, type MatrixView } from "../../ir/layouts/layout.ts";
import type { Tensor } from "../../ir/tensor.ts";
import type { Pattern } from "./finding.ts";

export interface Analysis {
  /** Zeros as a fraction of all elements. */
  readonly zeros: number;
  readonly nonzeros: number;
  readonly pattern: Pattern;
}

/** One byte for each element, row-major: 1 where it is not zero. */
export function nonzeroMask(t: Tensor, m: MatrixView): Uint8Array {
  const mask = new Uint8Array(m.rows * m.columns);
  for (let r = 0, at = 0; r < m.rows; r++) {
    for (let c = 0; c < m.columns; c++, at++) mask[at] = isZero(t.dtype, t.data[r * m.rowStride + c * m.columnStride]!) ? 0 : 1;
  }
  return mask;
}

interface Mask {
  readonly bits: Uint8Array;
  readonly rows: number;
  readonly columns: number;
  readonly nonzeros: number;
}

/** Blocks worth looking for, as rows x columns; larger ones first: they cost less when both fit. */
const SHAPES: readonly (readonly [number, number])[] = [
  [8, 8],
  [16, 1],
  [1, 16],
  [4, 4],
  [8, 1],
  [1, 8],
  [4, 1],
  [1, 4],
  [2, 2],
  [2, 1],
  [1, 2],
];
const N_OF_M: readonly (readonly [number, number])[] = [
  [1, 4],
  [2, 8],
  [1, 2],
  [2, 4],
  [4, 8],
];

/** A block pattern fits when its kept blocks are nearly full: chance fills no more than the density. */
const LEAST_FILL = 0.9;

function occupiedBlocks({ bits, rows, columns }: Mask, height: number, width: number): number {
  const across = Math.ceil(columns / width);
  const seen = new Uint8Array(Math.ceil(rows / height) * across);
  let occupied = 0;
  for (let r = 0, at = 0; r < rows; r++) {
    for (let c = 0; c < columns; c++, at++) {
      if (bits[at] === 0) continue;
      const block = Math.floor(r / height) * across + Math.floor(c / width);
      if (seen[block] === 0) occupied += seen[block] = 1;
    }
  }
  return occupied;
}

function block(m: Mask): Pattern | undefined {
  for (const [rows, columns] of SHAPES) {
    if (rows > m.rows || columns > m.columns) continue;
    const fill = m.nonzeros / (occupiedBlocks(m, rows, columns) * rows * columns);
    if (fill >= LEAST_FILL) return { kind: "block", rows, columns, fill };
  }
  return undefined;
}

function nOfM({ bits, rows, columns, nonzeros }: Mask): Pattern | undefined {
  for (const [n, m] of N_OF_M) {
    // Below three quarters of what the pattern allows, few zeros would satisfy it by chance.
    if (columns % m !== 0 || nonzeros < 0.75 * ((rows * columns) / m) * n) continue;
    let fits = true;
    for (let at = 0; at < bits.length && fits; at += m) {
      let kept = 0;
      for (let p = 0; p < m; p++) kept += bits[at + p]!;
      fits = kept <= n;
    }
    if (fits) return { kind: "n-of-m", n, m };
  }
  return undefined;
}

function banded({ bits, rows, columns }: Mask): Pattern | undefined {
  let below = 0;
  let above = 0;
  for (let r = 0, at = 0; r < rows; r++) {
    for (let c = 0; c < columns; c++, at++) {
      if (bits[at] === 0) continue;
      below = Math.max(below, r - c);
      above = Math.max(above, c - r);
    }
  }
  const bandwidth = below + above + 1;
  if (bandwidth === 1) return { kind: "diagonal" };
  return rows > 8 && bandwidth * 4 <= Math.min(rows, columns) ? { kind: "banded", bandwidth } : undefined;
}

/** Empty rows or columns, where everything else is nearly full. */
function lines({ bits, rows, columns, nonzeros }: Mask): Pattern | undefined {
  const rowUsed = new Uint8Array(rows);
  const columnUsed = new Uint8Array(columns);
  for (let r = 0, at = 0; r < rows; r++) for (let c = 0; c < columns; c++, at++) if (bits[at] !== 0) rowUsed[r] = columnUsed[c] = 1;
  const count = (used: Uint8Array) => used.reduce((a, b) => a + b, 0);
  const [usedRows, usedColumns] = [count(rowUsed), count(columnUsed)];
  if (nonzeros < LEAST_FILL * usedRows * usedColumns) return undefined;
  if (usedRows < rows) return { kind: "rows", empty: rows - usedRows };
  return usedColumns < columns ? { kind: "columns", empty: columns - usedColumns } : undefined;
}

/** Comparing rows is the dearest question, and large matrices have never been seen to answer it with yes. */
const MOST_COMPARED = 2 ** 20;

function repeated(t: Tensor, m: MatrixView): Pattern | undefined {
  if (m.rows < 4 || m.columns < 2 || m.rows * m.columns > MOST_COMPARED) return undefined;
  const seen = new Set<string>();
  for (let r = 0; r < m.rows; r++) {
    let row = "";
    for (let c = 0; c < m.columns; c++) row += `${t.data[r * m.rowStride + c * m.columnStride]},`;
    // More than half distinct is no repetition; most matrices end here early.
    if (seen.add(row).size * 2 > m.rows) return undefined;
  }
  return { kind: "repeated", distinct: seen.size };
}

/** Fewer zeros than this are no pattern. */
const LEAST_ZEROS = 0.05;

/** Counts the zeros of `t`, seen as the matrix `view`, and names their pattern. */
export function analyze(t: Tensor, view: MatrixView): Analysis {
  const bits = nonzeroMask(t, view);
  const nonzeros = bits.reduce((a, b) => a + b, 0);
  const zeros = bits.length === 0 ? 0 : 1 - nonzeros / bits.length;
  const mask: Mask = { bits, rows: view.rows, columns: view.columns, nonzeros };
  const pattern = (): Pattern => {
    if (nonzeros === 0) return { kind: "zero" };
    if (zeros < LEAST_ZEROS) return repeated(t, view) ?? { kind: "dense" };
    return banded(mask) ?? lines(mask) ?? block(mask) ?? nOfM(mask) ?? repeated(t, view) ?? { kind: "unstructured" };
  };
  return { zeros, nonzeros, pattern: pattern() };
}
