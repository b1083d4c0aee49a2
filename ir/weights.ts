// The weight store: constant tensors by content, so that equal weights are one and the IR text stays small.

import { bytesOf } from "./dtype.ts";
import type { Tensor } from "./tensor.ts";

export interface WeightStore {
  /** A reference to the tensor's content; equal tensors get equal references. */
  put(t: Tensor): string;
  /** The tensor of a reference that `put` gave. */
  get(ref: string): Tensor;
}

/** 53 bits of a multiplicative hash over the bytes (after cyrb53's mixing constants, which are splitmix-like primes). */
function hash(bytes: Uint8Array, seed: number): number {
  let h1 = 0xdeadbeef ^ seed;
  let h2 = 0x41c6ce57 ^ seed;
  const words = new Uint32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + (bytes.byteLength & ~3)));
  for (const w of words) {
    h1 = Math.imul(h1 ^ w, 2654435761);
    h2 = Math.imul(h2 ^ w, 1597334677);
    h1 = (h1 << 13) | (h1 >>> 19);
  }
  for (let i = bytes.byteLength & ~3; i < bytes.byteLength; i++) {
    h1 = Math.imul(h1 ^ bytes[i]!, 2654435761);
    h2 = Math.imul(h2 ^ bytes[i]!, 1597334677);
  }
  h1 = Math.imul(h1 ^ (h1 >>> 16), 2246822507) ^ Math.imul(h2 ^ (h2 >>> 13), 3266489909);
  h2 = Math.imul(h2 ^ (h2 >>> 16), 2246822507) ^ Math.imul(h1 ^ (h1 >>> 13), 3266489909);
  return 4294967296 * (2097151 & h2) + (h1 >>> 0);
}

function equal(a: Tensor, b: Tensor): boolean {
  const x = bytesOf(a.data);
  const y = bytesOf(b.data);
  return (
    a.dtype === b.dtype &&
    a.shape.length === b.shape.length &&
    a.shape.every((d, i) => d === b.shape[i]) &&
    x.length === y.length &&
    x.every((v, i) => v === y[i])
  );
}

/** A store of its own. References depend on content alone; a collision of hashes is resolved by comparing. */
export function weightStore(): WeightStore {
  const tensors = new Map<string, Tensor>();
  const known = new WeakMap<Tensor, string>();
  return {
    put(t) {
      const seen = known.get(t);
      if (seen !== undefined) return seen;
      const base = `${t.dtype}_${t.shape.join("x")}_${hash(bytesOf(t.data), t.shape.length).toString(36)}`;
      let ref = base;
      for (let n = 1; ; n++) {
        const other = tensors.get(ref);
        if (!other) break;
        if (equal(other, t)) {
          known.set(t, ref);
          return ref;
        }
        ref = `${base}_${n}`;
      }
      tensors.set(ref, t);
      known.set(t, ref);
      return ref;
    },
    get(ref) {
      const t = tensors.get(ref);
      if (!t) throw new TypeError(`no weight '${ref}' in this store`);
      return t;
    },
  };
}
