// How the pixels of images are cut into tiles for sparse products of bytes: vectors of four neighbours, a few or several rows of them.

import type { BytesShape, BytesSpec } from "./bytes-spec.ts";

/** Pixels of a vector. */
export const LANES = 4;

export interface Tiling {
  /** Lines of pixels that lie side by side, in inputs and in results: rows, or whole images. */
  readonly lines: number;
  readonly pixels: number;
  /** Whether a line is a whole image. */
  readonly flat: boolean;
  /** Lines of a tile, and where its vectors begin in each. */
  readonly down: number;
  readonly starts: readonly number[];
  /** Tiles above each other, and side by side; the last ones begin early enough to end with the image. */
  readonly rows: number;
  readonly columns: number;
}

/** Vectors of a tile. */
export const vectorsOf = (t: Tiling): number => t.down * t.starts.length;

/** Pixels of a line of a tile. */
export const extentOf = (t: Tiling): number => t.starts.at(-1)! + LANES;

/** Tiles of at most `most` vectors; undefined where a line is shorter than one. */
export function tilingOf(spec: BytesSpec, s: BytesShape, most: number): Tiling | undefined {
  const [kh, kw] = spec.kernel;
  const gapless = ({ row, pixel }: { readonly row: number; readonly pixel: number }): boolean => row === s.wo * pixel;
  const flat = kh * kw === 1 && gapless(s.from) && gapless(s.to);
  const [lines, pixels] = flat ? [1, s.ho * s.wo] : [s.ho, s.wo];
  if (pixels < LANES) return undefined;
  const vectors = Math.ceil(pixels / LANES);
  const columns = Math.ceil(vectors / most);
  const across = Math.ceil(vectors / columns);
  const rows = Math.ceil(lines / Math.max(1, Math.floor(most / across)));
  // In one tile the last vector ends with the line; in several, the last tile does.
  const starts = Array.from({ length: across }, (_, i) => (columns === 1 ? Math.min(LANES * i, pixels - LANES) : LANES * i));
  return { lines, pixels, flat, down: Math.ceil(lines / rows), starts, rows, columns };
}
