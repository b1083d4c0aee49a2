// Block compressed sparse rows: zeros are left out by whole blocks of rows x columns, one index for each block.

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

/** Rows and columns of the blocks that a layout keeps or leaves out as a whole; single elements where it is none of blocks by that axis. */
export function blockOf(layout: string, by: "first" | "last"): readonly [rows: number, columns: number] {
  const [, kind, rows, columns] = /^(bs[rc])-(\d+)x(\d+)$/.exec(layout) ?? [];
  return kind === (by === "first" ? "bsr" : "bsc") ? [Number(rows), Number(columns)] : [1, 1];
}

/**
 * `bsr-RxC`: rows by first axis; `bsc-RxC`: by last axis. Where the matrix is no multiple of the block, the last blocks stick out
 * and are filled with zeros.
 */
export function blocks(height: number, width: number, by: "first" | "last" = "first"): Layout {
  const name = `${by === "first" ? "bsr" : "bsc"}-${height}x${width}`;
  const view: (shape: readonly number[]) => MatrixView = by === "first" ? firstAxisRows : lastAxisRows;
  const size = height * width;
  return defineLayout({
    name,
    doc:
      `Blocks of ${height} rows x ${width} columns, rows by the ${by} axis. Streams: counts (kept blocks of each row of blocks), ` +
      "columns (block column of each, ascending), values (block after block, row-major).",
    pack(t) {
      const m = view(t.shape);
      const [bands, across] = [Math.ceil(m.rows / height), Math.ceil(m.columns / width)];
      const at = (r: number, c: number) => (r < m.rows && c < m.columns ? t.data[r * m.rowStride + c * m.columnStride]! : undefined);
      const kept: { readonly band: number; readonly column: number }[] = [];
      const counts = indexArray(across + 1, bands);
      for (let band = 0; band < bands; band++) {
        for (let column = 0; column < across; column++) {
          let empty = true;
          for (let e = 0; e < size && empty; e++) {
            const x = at(band * height + Math.floor(e / width), column * width + (e % width));
            empty = x === undefined || isZero(t.dtype, x);
          }
          if (empty) continue;
          kept.push({ band, column });
          counts[band]!++;
        }
      }
      const values = arrayOf(t.dtype, kept.length * size);
      kept.forEach(({ band, column }, b) => {
        for (let e = 0; e < size; e++) {
          const x = at(band * height + Math.floor(e / width), column * width + (e % width));
          if (x !== undefined) values[b * size + e] = x;
        }
      });
      const columns = indexArray(across, kept.length);
      columns.set(kept.map(({ column }) => column));
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
      const m = view(p.shape);
      const out = zeros(p.dtype, p.shape);
      const [counts, columns, values] = ["counts", "columns", "values"].map((s) => p.streams.get(s)!) as [
        Uint32Array,
        Uint32Array,
        Uint32Array,
      ];
      let b = 0;
      for (let band = 0; band < counts.length; band++) {
        for (let end = b + counts[band]!; b < end; b++) {
          for (let e = 0; e < size; e++) {
            const [r, c] = [band * height + Math.floor(e / width), columns[b]! * width + (e % width)];
            if (r < m.rows && c < m.columns) out.data[r * m.rowStride + c * m.columnStride] = values[b * size + e]!;
          }
        }
      }
      return out;
    },
    verify(p) {
      const named = checkNames(p, name, ["counts", "columns", "values"]);
      if (named) return named;
      const m = view(p.shape);
      const [bands, across] = [Math.ceil(m.rows / height), Math.ceil(m.columns / width)];
      const [counts, columns, values] = [p.streams.get("counts"), p.streams.get("columns"), p.streams.get("values")];
      if (!isIndexArray(counts) || !isIndexArray(columns)) return "counts and columns must be u16 or u32";
      if (!holds(p.dtype, values)) return `values must be ${p.dtype}`;
      if (counts.length !== bands) return `${counts.length} counts for ${bands} rows of blocks`;
      if (columns.length * size !== values.length) return `${values.length} values for ${columns.length} blocks of ${size}`;
      let at = 0;
      for (let band = 0; band < bands; band++) {
        const end = at + counts[band]!;
        if (end > columns.length) return `the counts exceed the ${columns.length} blocks at row ${band}`;
        for (let previous = -1; at < end; at++) {
          const c = columns[at]!;
          if (c >= across) return `block column ${c} in row ${band} of a matrix ${across} blocks wide`;
          if (c <= previous) return `block column ${c} follows ${previous} in row ${band}`;
          previous = c;
        }
      }
      return at === columns.length ? undefined : `the counts sum to ${at}, there are ${columns.length} blocks`;
    },
  });
}
