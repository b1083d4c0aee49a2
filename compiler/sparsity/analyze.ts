// How the zeros of a constant matrix lie: counts them, and finds the pattern that describes them best.

import { isZero, type MatrixView } from "../../ir/layouts/layout.ts";
import type { Tensor } from "../../ir/tensor.ts";
import { countZeros } from "./count-zeros.ts";
import type { Pattern } from "./finding.ts";

export interface Analysis {
  /** Zeros as a fraction of all elements. */
  readonly zeros: number;
  readonly nonzeros: number;
  readonly pattern: Pattern;
}

/** Where the non-zeros of a matrix are, in row-major order. */
interface Positions {
  readonly rows: number;
  readonly columns: number;
  readonly row: Uint32Array;
  readonly column: Uint32Array;
}

function positionsOf(t: Tensor, m: MatrixView, nonzeros: number): Positions {
  const [row, column] = [new Uint32Array(nonzeros), new Uint32Array(nonzeros)];
  for (let r = 0, at = 0; r < m.rows; r++) {
    for (let c = 0; c < m.columns; c++) {
      if (isZero(t.dtype, t.data[r * m.rowStride + c * m.columnStride]!)) continue;
      row[at] = r;
      column[at++] = c;
    }
  }
  return { rows: m.rows, columns: m.columns, row, column };
}

/** Blocks worth looking for, as rows x columns; larger ones first: they cost less when both fit. */
const SHAPES: readonly (readonly [number, number])[] = [
  [8, 8],
  [16, 1],
  [1, 16],
  [8, 4],
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

function occupiedBlocks(p: Positions, height: number, width: number): number {
  const across = Math.ceil(p.columns / width);
  const seen = new Uint8Array(Math.ceil(p.rows / height) * across);
  let occupied = 0;
  for (let k = 0; k < p.row.length; k++) {
    const block = Math.floor(p.row[k]! / height) * across + Math.floor(p.column[k]! / width);
    if (seen[block] === 0) occupied += seen[block] = 1;
  }
  return occupied;
}

function block(p: Positions): Pattern | undefined {
  for (const [rows, columns] of SHAPES) {
    if (rows > p.rows || columns > p.columns) continue;
    const fill = p.row.length / (occupiedBlocks(p, rows, columns) * rows * columns);
    if (fill >= LEAST_FILL) return { kind: "block", rows, columns, fill };
  }
  return undefined;
}

/** At most n of every m neighbours along a row; or, in each tap of a convolution, of m neighbouring input channels. */
function nOfM(p: Positions, taps: number): Pattern | undefined {
  for (const channels of taps > 1 ? [false, true] : [false]) {
    const line = channels ? p.columns / taps : p.columns;
    for (const [n, m] of N_OF_M) {
      // Below three quarters of what the pattern allows, few zeros would satisfy it by chance.
      if (line % m !== 0 || p.row.length < 0.75 * ((p.rows * p.columns) / m) * n) continue;
      const kept = new Uint8Array((p.rows * p.columns) / m);
      let fits = true;
      for (let k = 0; k < p.row.length && fits; k++) {
        const c = p.column[k]!;
        const along = channels ? (c % taps) * line + Math.floor(c / taps) : c;
        fits = ++kept[Math.floor((p.row[k]! * p.columns + along) / m)]! <= n;
      }
      if (fits) return { kind: "n-of-m", n, m, along: channels ? "channels" : "rows" };
    }
  }
  return undefined;
}

function banded(p: Positions): Pattern | undefined {
  let below = 0;
  let above = 0;
  for (let k = 0; k < p.row.length; k++) {
    below = Math.max(below, p.row[k]! - p.column[k]!);
    above = Math.max(above, p.column[k]! - p.row[k]!);
  }
  const bandwidth = below + above + 1;
  if (bandwidth === 1 && p.rows > 1 && p.columns > 1) return { kind: "diagonal" };
  return p.rows > 8 && bandwidth * 4 <= Math.min(p.rows, p.columns) ? { kind: "banded", bandwidth } : undefined;
}

const distinct = (numbers: Uint32Array, bound: number, group = 1): number => {
  const used = new Uint8Array(Math.ceil(bound / group));
  for (const n of numbers) used[Math.floor(n / group)] = 1;
  return used.reduce((a, b) => a + b, 0);
};

/** Empty rows, columns or input channels, where everything else is nearly full. */
function lines(p: Positions, taps: number): Pattern | undefined {
  const rows = distinct(p.row, p.rows);
  const columns = distinct(p.column, p.columns);
  if (p.row.length < LEAST_FILL * rows * columns) return undefined;
  if (rows < p.rows) return { kind: "rows", empty: p.rows - rows };
  if (columns === p.columns) return undefined;
  const channels = distinct(p.column, p.columns, taps);
  if (taps > 1 && channels * taps === columns) return { kind: "channels", empty: p.columns / taps - channels };
  return { kind: "columns", empty: p.columns - columns };
}

/** Fewer rows than this repeat by chance, or cost nothing to repeat. */
const LEAST_ROWS = 4;

function repeated(t: Tensor, m: MatrixView): Pattern | undefined {
  if (m.rows < LEAST_ROWS || m.columns < 2) return undefined;
  const float = new Float64Array(1);
  const words = new Uint32Array(float.buffer);
  const seen = new Set<number>();
  for (let r = 0; r < m.rows; r++) {
    let hash = 0;
    for (let c = 0; c < m.columns; c++) {
      float[0] = Number(t.data[r * m.rowStride + c * m.columnStride]);
      hash = Math.imul(hash ^ words[0]! ^ words[1]!, 0x9e3779b1);
      hash ^= hash >>> 15;
    }
    // More than half distinct is no repetition. Rows with one hash are taken for equal: this is a remark, no decision.
    if (seen.add(hash).size * 2 > m.rows) return undefined;
  }
  return { kind: "repeated", distinct: seen.size };
}

/** Fewer zeros than this are no pattern. */
const LEAST_ZEROS = 0.05;

/** Counts the zeros of `t`, seen as the matrix `view`, and names their pattern. `taps`: columns for each input channel. */
export function analyze(t: Tensor, view: MatrixView, taps = 1): Analysis {
  const nonzeros = t.data.length - countZeros(t);
  const zeros = t.data.length === 0 ? 0 : 1 - nonzeros / t.data.length;
  const pattern = (): Pattern => {
    if (nonzeros === 0) return { kind: "zero" };
    if (zeros < LEAST_ZEROS) return repeated(t, view) ?? { kind: "dense" };
    const p = positionsOf(t, view, nonzeros);
    return banded(p) ?? lines(p, taps) ?? block(p) ?? nOfM(p, taps) ?? repeated(t, view) ?? { kind: "unstructured" };
  };
  return { zeros, nonzeros, pattern: pattern() };
}
