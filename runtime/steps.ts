// Floats from the small integers that weights.bin holds in their place.

import type { Steps } from "./artifact.ts";

/** Eight to a word of four bytes: low halves first. */
const halves = (bytes: Uint8Array): Uint8Array => {
  const out = new Uint8Array(2 * bytes.length);
  for (let i = 0; i < bytes.length; i++) {
    const at = i + (i & ~3);
    out[at] = bytes[i]! & 15;
    out[at + 4] = bytes[i]! >> 4;
  }
  return out;
};

/** `count` integers at `from`, one to a byte. */
export const integersAt = (file: Uint8Array, from: number, count: number, bits: 4 | 8): Uint8Array =>
  bits === 4 ? halves(file.subarray(from, from + count / 2)) : file.subarray(from, from + count);

/** `count` floats that are made of the integers at `from`. `file` is 4-byte aligned. */
export const floatsAt = (file: Uint8Array, from: number, count: number, steps: Steps): Float32Array => {
  const { columns, block, turned } = steps;
  const rows = count / columns;
  const blocks = Math.ceil(columns / block);
  const integers = integersAt(file, from, count, steps.bits);
  const scales = new Float32Array(file.buffer, file.byteOffset + steps.scales, rows * blocks);
  const right = turned ? rows : 1;
  const out = new Float32Array(count);
  for (let k = 0, i = 0; k < scales.length; k++) {
    const row = Math.floor(k / blocks);
    const end = Math.min((row + 1) * columns, i + block);
    const scale = scales[k]!;
    const zero = steps.zeros === undefined ? steps.zero! : file[steps.zeros + k]!;
    let to = turned ? row + (i - row * columns) * rows : i;
    // The product is exact before it is rounded: 9 bits by 24.
    for (; i < end; i++, to += right) out[to] = (integers[i]! - zero) * scale;
  }
  return out;
};
