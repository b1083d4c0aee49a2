// NumPy's .npy files: reads versions 1 to 3, writes version 1; little-endian, C order.

import { SparsecError } from "../ir/diagnostics.ts";
import { bytesOf, DTYPES, type DType } from "../ir/dtype.ts";
import { elementCount, type Tensor, tensorFromBytes } from "../ir/tensor.ts";

/** 4-bit integers have no type in NumPy: they are written as the 8-bit ones that hold them, and read back as those. */
const DESCR: Readonly<Record<DType, string>> = {
  f32: "<f4",
  f16: "<f2",
  f64: "<f8",
  i8: "|i1",
  u8: "|u1",
  i16: "<i2",
  u16: "<u2",
  i32: "<i4",
  u32: "<u4",
  i64: "<i8",
  u64: "<u8",
  bool: "|b1",
  i4: "|i1",
  u4: "|u1",
};

const DTYPE_OF: ReadonlyMap<string, DType> = new Map(
  (Object.keys(DESCR) as DType[])
    .filter((d) => DTYPES[d].bits >= 8)
    .flatMap(
      (d) =>
        [
          [DESCR[d], d],
          [DESCR[d].replace("|", "<"), d],
        ] as const,
    ),
);

const MAGIC = "\u0093NUMPY";
const ALIGNMENT = 64;
const MAX_RANK = 16;

const latin1 = (bytes: Uint8Array): string => Array.from(bytes, (b) => String.fromCharCode(b)).join("");

const bad = (file: string, why: string, hint?: string): SparsecError => new SparsecError("bad-npy", why, { file, name: "" }, hint);

/** The literal of one key of the header, which is a Python dictionary of three known keys. */
function headerValue(header: string, key: string, literal: string, file: string): string {
  const found = new RegExp(`['"]${key}['"]\\s*:\\s*${literal}`).exec(header)?.[1];
  if (found === undefined) throw bad(file, `its header has no well-formed '${key}'`);
  return found;
}

/**
 * Reads a .npy file; `file` is its name in errors. The data is a view of `bytes` where alignment allows.
 * Throws `bad-npy`, `unsupported-dtype` (strings, complex numbers, big-endian, ...) or `too-large`.
 */
export function readNpy(bytes: Uint8Array, file = "array.npy"): Tensor {
  if (bytes.length < 10 || latin1(bytes.subarray(0, 6)) !== MAGIC) throw bad(file, "it does not start as a .npy file does");
  const major = bytes[6]!;
  if (major < 1 || major > 3) throw bad(file, `version ${major} of the format, and 1 to 3 are read`);
  const lengthBytes = major === 1 ? 2 : 4;
  const start = 8 + lengthBytes;
  if (bytes.length < start) throw bad(file, "it is cut off in its header");
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const end = start + (major === 1 ? view.getUint16(8, true) : view.getUint32(8, true));
  // The header of a plain array takes a hundred bytes; 64 KB leaves room for any and none for a hostile one.
  if (end > bytes.length || end - start > 65536)
    throw bad(file, `its header is ${end - start} bytes long, and ${bytes.length - start} are left`);
  const header = latin1(bytes.subarray(start, end));

  const descr = headerValue(header, "descr", `['"]([^'"]{1,32})['"]`, file);
  const dtype = DTYPE_OF.get(descr);
  if (!dtype)
    throw new SparsecError(
      "unsupported-dtype",
      `elements of NumPy type '${descr}'`,
      { file, name: "" },
      "save it little-endian, as one of sparsec's types",
    );
  if (headerValue(header, "fortran_order", "(True|False)", file) === "True")
    throw bad(file, "it is in Fortran order", "save numpy.ascontiguousarray(a)");
  const extents = headerValue(header, "shape", "\\(([0-9,\\sL]{0,400})\\)", file)
    .split(",")
    .map((s) => s.trim().replace(/L$/, ""));
  const given = extents.filter((s, i) => s !== "" || i < extents.length - 1);
  if (given.length > MAX_RANK || given.some((s) => !/^[0-9]+$/.test(s)))
    throw bad(file, `its shape (${extents.join(", ")}) is not well-formed`);
  const shape = given.map(Number);
  const size = elementCount(shape, { file, name: "" }) * DTYPES[dtype].bytes;
  const data = bytes.subarray(end);
  if (data.length !== size) throw bad(file, `it holds ${data.length} bytes of data, and ${dtype}[${shape}] takes ${size}`);
  const tensor = tensorFromBytes(dtype, shape, data);
  if (dtype === "bool" && data.some((b) => b > 1)) throw bad(file, "a bool is neither 0 nor 1");
  return tensor;
}

/** The bytes of a .npy file; the same tensor gives the same bytes. Throws `bad-npy` where data and shape disagree. */
export function writeNpy({ dtype, shape, data }: Tensor): Uint8Array {
  const size = elementCount(shape) * DTYPES[dtype].bytes;
  if (data.byteLength !== size) throw bad("writeNpy", `${data.byteLength} bytes of data, and ${dtype}[${shape}] takes ${size}`);
  const tuple = shape.length === 1 ? `(${shape[0]},)` : `(${shape.join(", ")})`;
  const header = `{'descr': '${DESCR[dtype]}', 'fortran_order': False, 'shape': ${tuple}, }`;
  // Rank is at most 16 in all of sparsec, so that the header always fits version 1's 16-bit length.
  const total = Math.ceil((10 + header.length + 1) / ALIGNMENT) * ALIGNMENT;
  const out = new Uint8Array(total + size);
  const text = `${MAGIC}\u0001\u0000${String.fromCharCode((total - 10) & 255, (total - 10) >> 8)}${header.padEnd(total - 11)}\n`;
  for (let i = 0; i < total; i++) out[i] = text.charCodeAt(i);
  out.set(bytesOf(data), total);
  return out;
}
