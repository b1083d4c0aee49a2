// Packs weights.bin: aligned pieces, each content once.

import { createHash } from "node:crypto";
import { dequantized, packedIntegers, type Quantized } from "../ir/quantized.ts";
import type { Steps } from "../runtime/artifact.ts";

/** Bytes that every piece starts at a multiple of; enough for any typed array or vector over it. */
const ALIGNMENT = 16;

export interface WeightsWriter {
  /** Where the piece lies in weights.bin; one that is there already is not stored again. */
  append(piece: ArrayBufferView): number;
  /** Where the integers lie that the floats of a piece are made of, where they are known to be. */
  integersOf(piece: ArrayBufferView): { readonly from: number; readonly steps: Steps } | undefined;
  /** Where the bytes of a piece lie packed, where they are known to be integers of four bits. */
  nibblesOf(piece: ArrayBufferView): { readonly from: number } | undefined;
  /** Bytes so far. */
  size(): number;
  /** The bytes of weights.bin. */
  finish(): Uint8Array;
}

const viewOf = (a: ArrayBufferView): Uint8Array => new Uint8Array(a.buffer, a.byteOffset, a.byteLength);
const contentOf = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("base64");

/**
 * What pieces are going to hold: `made`, what some of the floats are made of, in rows or in columns; `nibbles`, integers of four bits, one to
 * a byte, in whole words.
 */
export interface KnownIntegers {
  readonly made: readonly Quantized[];
  readonly nibbles: readonly Uint8Array[];
}

export const createWeightsWriter = (known: KnownIntegers = { made: [], nibbles: [] }): WeightsWriter => {
  // Where columns are as rows, rows.
  const made = new Map(
    known.made.flatMap((q) => [true, false].map((turned) => [contentOf(viewOf(dequantized(q, turned))), { q, turned }] as const)),
  );
  const narrow = new Set(known.nibbles.map(contentOf));
  const pieces: { readonly at: number; readonly bytes: Uint8Array }[] = [];
  const places = new Map<string, number>();
  let end = 0;
  const writer: WeightsWriter = {
    append: (piece) => {
      const bytes = viewOf(piece);
      const key = contentOf(bytes);
      const place = places.get(key);
      if (place !== undefined) return place;
      const at = Math.ceil(end / ALIGNMENT) * ALIGNMENT;
      places.set(key, at);
      pieces.push({ at, bytes });
      end = at + bytes.length;
      return at;
    },
    integersOf: (piece) => {
      const found = made.size > 0 ? made.get(contentOf(viewOf(piece))) : undefined;
      if (!found) return undefined;
      const { q, turned } = found;
      const { bits, columns, block, zeros } = q;
      const scales = writer.append(q.scales);
      const points = zeros.length === 1 ? { zero: zeros[0]! } : { zeros: writer.append(zeros) };
      return {
        from: writer.append(packedIntegers(q.integers, bits)),
        steps: { bits, columns, block, scales, ...points, ...(turned ? { turned } : {}) },
      };
    },
    nibblesOf: (piece) =>
      narrow.size > 0 && narrow.has(contentOf(viewOf(piece))) ? { from: writer.append(packedIntegers(viewOf(piece), 4)) } : undefined,
    size: () => end,
    finish: () => {
      const whole = new Uint8Array(end);
      for (const { at, bytes } of pieces) whole.set(bytes, at);
      return whole;
    },
  };
  return writer;
};
