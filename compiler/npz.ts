// NumPy's .npz files: zip archives of .npy files, stored or deflated.

import { inflateRawSync } from "node:zlib";
import { SparsecError } from "../ir/diagnostics.ts";
import type { Tensor } from "../ir/tensor.ts";
import { readNpy } from "./npy.ts";

const END = { signature: 0x06054b50, size: 22 };
const ENTRY = { signature: 0x02014b50, size: 46 };
const LOCAL = { signature: 0x04034b50, size: 30 };
/** The archive's comment, which comes last, is at most this long. */
const LONGEST_COMMENT = 65535;
const [STORED, DEFLATED] = [0, 8];

/** Reads a .npz file: arrays by name, without `.npy`. Throws `bad-npz`, and what `readNpy` throws. */
export function readNpz(bytes: Uint8Array, file = "arrays.npz"): ReadonlyMap<string, Tensor> {
  const bad = (why: string): SparsecError => new SparsecError("bad-npz", why, { file, name: "" });
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  /** A header of `size` bytes at `at`, or the error. */
  const header = (at: number, { signature, size }: typeof ENTRY): number => {
    if (at < 0 || at + size > bytes.length || view.getUint32(at, true) !== signature) throw bad(`there is no header at byte ${at}`);
    return at;
  };
  let end = bytes.length - END.size;
  while (end >= 0 && end >= bytes.length - END.size - LONGEST_COMMENT && view.getUint32(end, true) !== END.signature) end--;
  header(end, END);
  const count = view.getUint16(end + 10, true);
  const arrays = new Map<string, Tensor>();
  for (let k = 0, at = view.getUint32(end + 16, true); k < count; k++) {
    header(at, ENTRY);
    const [method, packed, size] = [view.getUint16(at + 10, true), view.getUint32(at + 20, true), view.getUint32(at + 24, true)];
    const [nameLength, extra, comment] = [28, 30, 32].map((o) => view.getUint16(at + o, true)) as [number, number, number];
    const name = new TextDecoder().decode(bytes.subarray(at + ENTRY.size, at + ENTRY.size + nameLength));
    const local = header(view.getUint32(at + 42, true), LOCAL);
    const start = local + LOCAL.size + view.getUint16(local + 26, true) + view.getUint16(local + 28, true);
    at += ENTRY.size + nameLength + extra + comment;
    if (!name.endsWith(".npy")) continue;
    if (start + packed > bytes.length) throw bad(`${name} is cut off`);
    const data = bytes.subarray(start, start + packed);
    let content = data;
    if (method === DEFLATED) {
      try {
        content = inflateRawSync(data, { maxOutputLength: Math.max(1, size) });
      } catch (e) {
        throw bad(`${name} cannot be inflated: ${(e as Error).message}`);
      }
    } else if (method !== STORED) throw bad(`${name} is packed by method ${method}`);
    if (content.length !== size) throw bad(`${name} has ${content.length} bytes, and ${size} are announced`);
    arrays.set(name.slice(0, -".npy".length), readNpy(content, `${file}/${name}`));
  }
  return arrays;
}
