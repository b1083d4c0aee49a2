// Compressed sparse rows, by first axis (csr) or by last axis (csc): any pattern of zeros, 6 bytes for a kept f32 of a matrix up to 65,536 columns wide.

import { arrayOf } from "../dtype.ts";
import { zeros } from "../tensor.ts";
import {
  checkNames,
  defineLayout,
  firstAxisRows,
  holds,
  indexArray,
  isIndexArray,
  isZero,
  type Layout,
  lastAxisRows,
  type MatrixView,
} from "./layout.ts";

function compressed(name: string, doc: string, view: (shape: readonly number[]) => MatrixView): Layout {
  return defineLayout({
    name,
    doc: `${doc} Streams: counts (kept elements of each row), columns (of each kept element, ascending in a row), values.`,
    pack(t) {
      const { rows, columns: width, rowStride, columnStride } = view(t.shape);
      const counts = indexArray(width + 1, rows);
      let kept = 0;
      for (let r = 0; r < rows; r++) {
        let n = 0;
        for (let c = 0; c < width; c++) if (!isZero(t.dtype, t.data[r * rowStride + c * columnStride]!)) n++;
        counts[r] = n;
        kept += n;
      }
      const columns = indexArray(width, kept);
      const values = arrayOf(t.dtype, kept);
      let at = 0;
      for (let r = 0; r < rows; r++) {
        for (let c = 0; c < width; c++) {
          const x = t.data[r * rowStride + c * columnStride]!;
          if (isZero(t.dtype, x)) continue;
          columns[at] = c;
          values[at++] = x;
        }
      }
      return {
        layout: name,
        dtype: t.dtype,
        shape: t.shape,
        streams: new Map([
          ["counts", counts],
          ["columns", columns],
          ["values", values],
        ]),
      };
    },
    unpack(p) {
      const { rows, rowStride, columnStride } = view(p.shape);
      const out = zeros(p.dtype, p.shape);
      const [counts, columns, values] = ["counts", "columns", "values"].map((s) => p.streams.get(s)!) as [
        Uint32Array,
        Uint32Array,
        Uint32Array,
      ];
      let at = 0;
      for (let r = 0; r < rows; r++) {
        for (let end = at + counts[r]!; at < end; at++) out.data[r * rowStride + columns[at]! * columnStride] = values[at]!;
      }
      return out;
    },
    verify(p) {
      const named = checkNames(p, name, ["counts", "columns", "values"]);
      if (named) return named;
      const { rows, columns: width } = view(p.shape);
      const [counts, columns, values] = [p.streams.get("counts"), p.streams.get("columns"), p.streams.get("values")];
      if (!isIndexArray(counts) || !isIndexArray(columns)) return "counts and columns must be u16 or u32";
      if (!holds(p.dtype, values)) return `values must be ${p.dtype}`;
      if (counts.length !== rows) return `${counts.length} counts for ${rows} rows`;
      if (columns.length !== values.length) return `${columns.length} columns for ${values.length} values`;
      let at = 0;
      for (let r = 0; r < rows; r++) {
        const end = at + counts[r]!;
        if (end > columns.length) return `the counts exceed the ${columns.length} columns at row ${r}`;
        for (let previous = -1; at < end; at++) {
          const c = columns[at]!;
          if (c >= width) return `column ${c} in row ${r} of a matrix ${width} wide`;
          if (c <= previous) return `column ${c} follows ${previous} in row ${r}`;
          previous = c;
        }
      }
      return at === columns.length ? undefined : `the counts sum to ${at}, there are ${columns.length} columns`;
    },
  });
}

export const csr = compressed(
  "csr",
  "Compressed sparse rows: a row for each index of the first axis, the others flattened.",
  firstAxisRows,
);
export const csc = compressed(
  "csc",
  "Compressed sparse columns: a row of the packed matrix for each index of the last axis, the others flattened.",
  lastAxisRows,
);
