// SHA-256 in hexadecimal: Node's or WebCrypto's where there is one, and a small one of our own for pages that are no secure context.

import { builtin } from "./builtin.ts";

/** SHA-256 of FIPS 180-4, about 70 MB/s. */
export const sha256Portable = (bytes: Uint8Array): string => {
  const state = new Int32Array(ROOTS2);
  const schedule = new Int32Array(64);
  const whole = bytes.length & ~63;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = 0; at < whole; at += 64) block(view, at, state, schedule);

  const rest = bytes.length - whole;
  const tail = new Uint8Array(rest < 56 ? 64 : 128);
  tail.set(bytes.subarray(whole));
  tail[rest] = 0x80;
  const last = new DataView(tail.buffer);
  last.setUint32(tail.length - 8, Math.floor(bytes.length / 0x20000000));
  last.setUint32(tail.length - 4, bytes.length << 3);
  for (let at = 0; at < tail.length; at += 64) block(last, at, state, schedule);
  return Array.from(state, (word) => (word >>> 0).toString(16).padStart(8, "0")).join("");
};

/** Rejects where WebCrypto does; the bytes must not change while it works. */
export const sha256 = async (bytes: Uint8Array): Promise<string> => {
  // Node's own takes no copy of the bytes, and is ready sooner than its WebCrypto.
  const crypto = builtin("node:crypto");
  if (crypto) return crypto.createHash("sha256").update(bytes).digest("hex");
  const subtle = globalThis.crypto?.subtle;
  // WebCrypto refuses shared memory.
  if (!subtle || !(bytes.buffer instanceof ArrayBuffer)) return sha256Portable(bytes);
  const digest = await subtle.digest("SHA-256", bytes as Uint8Array<ArrayBuffer>);
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
};

/** The first 32 bits of the fractional part of a positive number. */
const fraction = (x: number): number => ((x - Math.floor(x)) * 0x100000000) | 0;
const primes = (count: number): readonly number[] => {
  const found: number[] = [];
  for (let n = 2; found.length < count; n++) if (found.every((p) => n % p)) found.push(n);
  return found;
};
// The standard's constants, by their definition: fractional parts of square and cube roots of the first primes.
const ROOTS2 = Int32Array.from(primes(8), (p) => fraction(Math.sqrt(p)));
const ROOTS3 = Int32Array.from(primes(64), (p) => fraction(Math.cbrt(p)));

const rotate = (x: number, by: number): number => (x >>> by) | (x << (32 - by));

const block = (view: DataView, at: number, state: Int32Array, w: Int32Array): void => {
  for (let i = 0; i < 16; i++) w[i] = view.getInt32(at + i * 4);
  for (let i = 16; i < 64; i++) {
    const x = w[i - 15]!;
    const y = w[i - 2]!;
    const s0 = rotate(x, 7) ^ rotate(x, 18) ^ (x >>> 3);
    const s1 = rotate(y, 17) ^ rotate(y, 19) ^ (y >>> 10);
    w[i] = (w[i - 16]! + s0 + w[i - 7]! + s1) | 0;
  }
  let [a, b, c, d, e, f, g, h] = state as unknown as [number, number, number, number, number, number, number, number];
  for (let i = 0; i < 64; i++) {
    const s1 = rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25);
    const t1 = (h + s1 + ((e & f) ^ (~e & g)) + ROOTS3[i]! + w[i]!) | 0;
    const s0 = rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22);
    const t2 = (s0 + ((a & b) ^ (a & c) ^ (b & c))) | 0;
    [h, g, f, e, d, c, b, a] = [g, f, e, (d + t1) | 0, c, b, a, (t1 + t2) | 0];
  }
  [a, b, c, d, e, f, g, h].forEach((value, i) => {
    state[i] = (state[i]! + value) | 0;
  });
};
