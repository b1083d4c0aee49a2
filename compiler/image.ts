// The weight image of one variant: constants and index streams, each once, and the sections from which a loader builds it.

import type { Section, Steps } from "../runtime/artifact.ts";
import { ROOM } from "./lower/storage.ts";
import { type Packed, packedBytes } from "./lower/template.ts";
import type { ImageWriter } from "./program.ts";
import type { WeightsWriter } from "./weights-writer.ts";

const WIDTH = { u16: 2, u32: 4 } as const;

const storedAs = (a: Uint8Array | Uint16Array | Uint32Array): "u8" | "u16" | "u32" =>
  a instanceof Uint8Array ? "u8" : a instanceof Uint16Array ? "u16" : "u32";

/** Floats of weights.bin, or integers there that they are made of. */
interface Source {
  readonly from: number;
  readonly steps?: Steps;
}

export interface Image extends ImageWriter {
  readonly sections: readonly Section[];
  /** Where its pieces start, ascending from 0. */
  readonly starts: readonly number[];
}

/** An image whose pieces are stored in `file`, the artifact's weights.bin; each starts at a multiple of `alignment` bytes. */
export function createImage(file: WeightsWriter, alignment = 16): Image {
  const sections: Section[] = [];
  const places = new Map<string, number>();
  const starts = [0];
  let end = 0;
  /** Reserves room once per key; `make` gives the section for its offset. */
  const place = (key: string, bytes: number, make: (at: number) => Section | readonly Section[]): number => {
    const known = places.get(key);
    if (known !== undefined) return known;
    const at = end;
    if (at > 0) starts.push(at);
    end += Math.ceil((bytes + ROOM) / alignment) * alignment;
    places.set(key, at);
    if (bytes > 0) sections.push(...[make(at)].flat());
    return at;
  };
  const copy = (piece: ArrayBufferView): number => {
    const made = file.integersOf(piece);
    if (made) {
      const count = piece.byteLength / 4;
      return place(`floats ${JSON.stringify(made)}`, piece.byteLength, (at) => ({ kind: "floats", at, count, ...made }));
    }
    const narrow = file.nibblesOf(piece);
    if (narrow) {
      const count = piece.byteLength;
      return place(`nibbles ${narrow.from} ${count}`, count, (at) => ({ kind: "nibbles", at, count, ...narrow }));
    }
    const from = file.append(piece);
    return place(`copy ${from} ${piece.byteLength}`, piece.byteLength, (at) => ({ kind: "copy", at, from, bytes: piece.byteLength }));
  };
  /** A matrix in the file, as floats or as what they are made of, from any of its rows on. */
  const matrix = (values: Float32Array, columns: number): { readonly key: string; rowsFrom(row: number): Source } => {
    const made = file.integersOf(values);
    if (made?.steps.columns === columns && !made.steps.turned) {
      const { from, steps } = made;
      const blocks = Math.ceil(columns / steps.block);
      const rowsFrom = (row: number): Source => ({
        from: from + (row * columns * steps.bits) / 8,
        steps: {
          ...steps,
          scales: steps.scales + 4 * row * blocks,
          ...(steps.zeros === undefined ? {} : { zeros: steps.zeros + row * blocks }),
        },
      });
      return { key: JSON.stringify(made), rowsFrom };
    }
    const start = file.append(values);
    return { key: String(start), rowsFrom: (row) => ({ from: start + 4 * row * columns }) };
  };
  return {
    sections,
    starts,
    get bytes() {
      return end;
    },
    constant: copy,
    packed(p: Packed) {
      if (p.kind === "bytes") return copy(p.bytes);
      if (p.kind === "widened") {
        const { values, to, plus = 0 } = p;
        const from = file.append(values);
        const count = values.length;
        const more = plus === 0 ? {} : { plus };
        return place(`widen ${from} ${count} ${to} ${plus}`, packedBytes(p), (at) => ({ kind: "widen", at, from, count, to, ...more }));
      }
      if (p.kind === "panels") {
        // The whole matrix once, however many variants cut it up.
        const { values, columns, runs } = p;
        const { key, rowsFrom } = matrix(values, columns);
        const bytes = runs.reduce((sum, r) => sum + 4 * r.rows * columns, 0);
        return place(`panels ${key} ${columns} ${JSON.stringify(runs)}`, bytes, (first) => {
          let at = first;
          return runs.map(({ first: row, ...run }): Section => {
            const section = { kind: "panels", at, ...rowsFrom(row), columns, ...run } as const;
            at += 4 * run.rows * columns;
            return section;
          });
        });
      }
      if (p.kind === "winograd") {
        const { values, tile, columns, runs } = p;
        const { key, rowsFrom } = matrix(values, 9 * columns);
        return place(`winograd ${key} ${tile} ${columns} ${JSON.stringify(runs)}`, packedBytes(p), (first) => {
          let at = first;
          return runs.map(({ first: row, ...run }): Section => {
            const section = { kind: "winograd", at, ...rowsFrom(row), tile, columns, ...run } as const;
            at += 4 * (tile + 2) ** 2 * run.rows * columns;
            return section;
          });
        });
      }
      if (p.kind === "indices") {
        const { columns, expanded, bound, radix } = p;
        const from = file.append(columns);
        const key = `indices ${from} ${columns.length} ${expanded} ${bound} ${JSON.stringify(radix)}`;
        return place(key, columns.length * WIDTH[expanded], (at) => ({
          kind: "indices",
          at,
          from,
          count: columns.length,
          stored: storedAs(columns),
          expanded,
          bound,
          radix,
        }));
      }
      const { counts, expanded, total } = p;
      const from = file.append(counts);
      return place(`counts ${from} ${counts.length} ${expanded} ${total}`, counts.length * WIDTH[expanded], (at) => ({
        kind: "counts",
        at,
        from,
        count: counts.length,
        stored: counts instanceof Uint16Array ? "u16" : "u32",
        expanded,
        total,
      }));
    },
  };
}
