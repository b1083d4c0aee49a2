// N:M structured sparsity: of every M neighbours along a row, at most N are kept; a constant number of elements, so no counts.

import { arrayOf } from "../dtype.ts";
import { zeros } from "../tensor.ts";
import { checkNames, defineLayout, firstAxisRows, holds, isZero, type Layout, lastAxisRows, type MatrixView } from "./layout.ts";

/** `nm-N-M` (rows by first axis) and `nmc-N-M` (by last axis). Packing a tensor with a fuller group is an error (RangeError). */
export function nOfM(n: number, m: number, by: "first" | "last" = "first"): Layout {
  const name = `${by === "first" ? "nm" : "nmc"}-${n}-${m}`;
  const view: (shape: readonly number[]) => MatrixView = by === "first" ? firstAxisRows : lastAxisRows;
  return defineLayout({
    name,
    doc:
      `At most ${n} of ${m} neighbours along a row, rows by the ${by} axis. Streams: positions (u8, in its group of ${m}, ascending; ` +
      `${n} for each group, row after row), values (0 where a group holds fewer).`,
    pack(t) {
      const { rows, columns, rowStride, columnStride } = view(t.shape);
      const groups = Math.ceil(columns / m);
      const positions = new Uint8Array(rows * groups * n);
      const values = arrayOf(t.dtype, positions.length);
      for (let g = 0; g < rows * groups; g++) {
        const [r, start] = [Math.floor(g / groups), (g % groups) * m];
        const kept: number[] = [];
        for (let p = 0; p < m && start + p < columns; p++) {
          if (!isZero(t.dtype, t.data[r * rowStride + (start + p) * columnStride]!)) kept.push(p);
        }
        if (kept.length > n) throw new RangeError(`${name}: row ${r} keeps ${kept.length} of the ${m} elements from column ${start}`);
        // Fill a short group with zeros at free positions, so that positions always ascend.
        for (let p = 0; p < m && kept.length < n; p++) if (!kept.includes(p)) kept.push(p);
        kept
          .sort((a, b) => a - b)
          .forEach((p, i) => {
            positions[g * n + i] = p;
            if (start + p < columns) values[g * n + i] = t.data[r * rowStride + (start + p) * columnStride]!;
          });
      }
      return {
        layout: name,
        dtype: t.dtype,
        shape: t.shape,
        streams: new Map<string, typeof values>([
          ["positions", positions],
          ["values", values],
        ]),
      };
    },
    unpack(p) {
      const { rows, columns, rowStride, columnStride } = view(p.shape);
      const groups = Math.ceil(columns / m);
      const out = zeros(p.dtype, p.shape);
      const [positions, values] = [p.streams.get("positions") as Uint8Array, p.streams.get("values") as Uint32Array];
      for (let i = 0; i < rows * groups * n; i++) {
        const g = Math.floor(i / n);
        const c = (g % groups) * m + positions[i]!;
        if (c < columns && !isZero(p.dtype, values[i]!)) out.data[Math.floor(g / groups) * rowStride + c * columnStride] = values[i]!;
      }
      return out;
    },
    verify(p) {
      const named = checkNames(p, name, ["positions", "values"]);
      if (named) return named;
      const { rows, columns } = view(p.shape);
      const [positions, values] = [p.streams.get("positions"), p.streams.get("values")];
      if (!(positions instanceof Uint8Array)) return "positions must be u8";
      if (!holds(p.dtype, values)) return `values must be ${p.dtype}`;
      const expected = rows * Math.ceil(columns / m) * n;
      if (positions.length !== expected || values.length !== expected)
        return `${positions.length} positions and ${values.length} values, expected ${expected}`;
      for (let i = 0; i < expected; i++) {
        if (positions[i]! >= m) return `position ${positions[i]} in a group of ${m}`;
        if (i % n > 0 && positions[i]! <= positions[i - 1]!) return `position ${positions[i]} follows ${positions[i - 1]} in its group`;
      }
      return undefined;
    },
  });
}
