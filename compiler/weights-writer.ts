// Packs weights.bin: aligned pieces, each content once.

import { createHash } from "node:crypto";

/** Bytes that every piece starts at a multiple of; enough for any typed array or vector over it. */
const ALIGNMENT = 16;

export interface WeightsWriter {
  /** Where the piece lies in weights.bin; one that is there already is not stored again. */
  append(piece: ArrayBufferView): number;
  /** Bytes so far. */
  size(): number;
  /** The bytes of weights.bin. */
  finish(): Uint8Array;
}

export const createWeightsWriter = (): WeightsWriter => {
  const pieces: { readonly at: number; readonly bytes: Uint8Array }[] = [];
  const places = new Map<string, number>();
  let end = 0;
  return {
    append: (piece) => {
      const bytes = new Uint8Array(piece.buffer, piece.byteOffset, piece.byteLength);
      const key = createHash("sha256").update(bytes).digest("base64");
      const place = places.get(key);
      if (place !== undefined) return place;
      const at = Math.ceil(end / ALIGNMENT) * ALIGNMENT;
      places.set(key, at);
      pieces.push({ at, bytes });
      end = at + bytes.length;
      return at;
    },
    size: () => end,
    finish: () => {
      const whole = new Uint8Array(end);
      for (const { at, bytes } of pieces) whole.set(bytes, at);
      return whole;
    },
  };
};
