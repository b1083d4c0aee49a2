// A bit for each element: what is kept of it says nothing of rows or columns, so that whoever multiplies may choose how.

import { arrayOf, type TypedArray } from "../dtype.ts";
import { elementCount, zeros } from "../tensor.ts";
import { checkNames, defineLayout, holds, isZero } from "./layout.ts";

export const bitmap = defineLayout({
  name: "bitmap",
  doc: "The elements that are not zero. Streams: bits (u8, one bit for each element in order, the lowest first), values (those of set bits).",
  pack(t) {
    const bits = new Uint8Array(Math.ceil(t.data.length / 8));
    const kept: number[] = [];
    for (let i = 0; i < t.data.length; i++) {
      if (isZero(t.dtype, t.data[i]!)) continue;
      bits[i >> 3]! |= 1 << (i & 7);
      kept.push(i);
    }
    const values = arrayOf(t.dtype, kept.length);
    kept.forEach((i, k) => {
      values[k] = t.data[i]!;
    });
    const streams = new Map<string, TypedArray>([
      ["bits", bits],
      ["values", values],
    ]);
    return { layout: "bitmap", dtype: t.dtype, shape: t.shape, streams };
  },
  unpack(p) {
    const out = zeros(p.dtype, p.shape);
    const [bits, values] = [p.streams.get("bits") as Uint8Array, p.streams.get("values")!];
    for (let i = 0, k = 0; i < out.data.length; i++) if (bits[i >> 3]! & (1 << (i & 7))) out.data[i] = values[k++]!;
    return out;
  },
  verify(p) {
    const named = checkNames(p, "bitmap", ["bits", "values"]);
    if (named) return named;
    const [bits, values] = [p.streams.get("bits"), p.streams.get("values")];
    const elements = elementCount(p.shape);
    if (!(bits instanceof Uint8Array)) return "bits must be u8";
    if (!holds(p.dtype, values)) return `values must be ${p.dtype}`;
    if (bits.length !== Math.ceil(elements / 8)) return `${bits.length} bytes of bits for ${elements} elements`;
    if (elements % 8 && bits.at(-1)! >> (elements % 8)) return `bits are set past the ${elements} elements`;
    let set = 0;
    for (const byte of bits) for (let b = byte; b !== 0; b &= b - 1) set++;
    return set === values.length ? undefined : `${values.length} values for ${set} bits`;
  },
});
