// Floats that were made of small integers: what an artifact stores in their place.

/** A matrix of (integer - zero point) * scale, each product rounded once to f32. */
export interface Quantized {
  /** Bits of the largest integer. */
  readonly bits: 4 | 8;
  readonly rows: number;
  readonly columns: number;
  /** Columns of a row that share a scale; the last ones may be fewer. */
  readonly block: number;
  /** [rows, columns], all from 0 on. */
  readonly integers: Uint8Array;
  /** [rows, blocks]. */
  readonly scales: Float32Array;
  /** One for all, or [rows, blocks]. */
  readonly zeros: Uint8Array;
}

/** The floats, row by row, or column by column where they are wanted `turned`. */
export function dequantized(q: Quantized, turned = false): Float32Array {
  const { rows, columns, block, integers, scales, zeros } = q;
  const out = new Float32Array(rows * columns);
  const blocks = Math.ceil(columns / block);
  const [down, right] = turned ? [1, rows] : [columns, 1];
  for (let row = 0; row < rows; row++)
    for (let column = 0; column < columns; column++) {
      const k = row * blocks + Math.floor(column / block);
      out[row * down + column * right] = (integers[row * columns + column]! - zeros[zeros.length === 1 ? 0 : k]!) * scales[k]!;
    }
  return out;
}

/** Integers of four bits two to a byte: of eight in a row, the first four in the low halves, the others in the high ones. */
export function packedIntegers(integers: Uint8Array, bits: 4 | 8): Uint8Array {
  if (bits === 8) return integers;
  return Uint8Array.from({ length: integers.length / 2 }, (_, i) => integers[i + (i & ~3)]! | (integers[i + (i & ~3) + 4]! << 4));
}
