// Element types of tensors: storage, the scalar type they compute in, and their JavaScript arrays.

import type { ScalarType } from "./scalar/types.ts";

export type DType = "f32" | "f16" | "f64" | "i8" | "u8" | "i16" | "u16" | "i32" | "u32" | "i64" | "u64" | "bool" | "i4" | "u4";

export type TypedArray =
  | Float32Array
  | Float64Array
  | Int8Array
  | Uint8Array
  | Int16Array
  | Uint16Array
  | Int32Array
  | Uint32Array
  | BigInt64Array
  | BigUint64Array;

export interface DTypeInfo {
  /** Bytes of one stored element. 4-bit integers are stored one to a byte outside packed weights. */
  readonly bytes: number;
  readonly bits: number;
  readonly kind: "float" | "int" | "uint" | "bool";
  /** The scalar type in which arithmetic on such elements happens; results are rounded or wrapped back when stored. */
  readonly compute: ScalarType;
  /** Smallest and largest value, for integers. */
  readonly min?: bigint;
  readonly max?: bigint;
}

const int = (bits: number, compute: ScalarType): DTypeInfo => ({
  bytes: Math.max(1, bits / 8),
  bits,
  kind: "int",
  compute,
  min: -(1n << BigInt(bits - 1)),
  max: (1n << BigInt(bits - 1)) - 1n,
});
const uint = (bits: number, compute: ScalarType): DTypeInfo => ({
  bytes: Math.max(1, bits / 8),
  bits,
  kind: "uint",
  compute,
  min: 0n,
  max: (1n << BigInt(bits)) - 1n,
});

export const DTYPES: Readonly<Record<DType, DTypeInfo>> = {
  f32: { bytes: 4, bits: 32, kind: "float", compute: "f32" },
  f16: { bytes: 2, bits: 16, kind: "float", compute: "f32" },
  f64: { bytes: 8, bits: 64, kind: "float", compute: "f64" },
  i8: int(8, "i32"),
  u8: uint(8, "i32"),
  i16: int(16, "i32"),
  u16: uint(16, "i32"),
  i32: int(32, "i32"),
  u32: uint(32, "u32"),
  i64: int(64, "i64"),
  u64: uint(64, "u64"),
  bool: { bytes: 1, bits: 8, kind: "bool", compute: "bool" },
  i4: int(4, "i32"),
  u4: uint(4, "i32"),
};

export const isDType = (name: string): name is DType => Object.hasOwn(DTYPES, name);
export const isFloat = (d: DType): boolean => DTYPES[d].kind === "float";
export const isInteger = (d: DType): boolean => DTYPES[d].kind === "int" || DTYPES[d].kind === "uint";

type ArrayConstructor = new (buffer: ArrayBufferLike, byteOffset: number, length: number) => TypedArray;

const ARRAYS: Readonly<Record<DType, ArrayConstructor>> = {
  f32: Float32Array,
  f16: Uint16Array,
  f64: Float64Array,
  i8: Int8Array,
  u8: Uint8Array,
  i16: Int16Array,
  u16: Uint16Array,
  i32: Int32Array,
  u32: Uint32Array,
  i64: BigInt64Array,
  u64: BigUint64Array,
  bool: Uint8Array,
  i4: Int8Array,
  u4: Uint8Array,
};

/** A zeroed array for `length` elements: f16 as bits in a Uint16Array, bool and u4 as Uint8Array, i4 as Int8Array. */
export const arrayOf = (dtype: DType, length: number): TypedArray =>
  new ARRAYS[dtype](new ArrayBuffer(length * DTYPES[dtype].bytes), 0, length);

/** Views bytes as elements of `dtype`; copies only where the address is misaligned. */
export function viewAs(dtype: DType, bytes: Uint8Array): TypedArray {
  const size = DTYPES[dtype].bytes;
  // Not slice(): a Buffer is a Uint8Array whose slice is a view.
  const aligned = bytes.byteOffset % size === 0 ? bytes : new Uint8Array(bytes);
  return new ARRAYS[dtype](aligned.buffer, aligned.byteOffset, Math.floor(bytes.byteLength / size));
}

export const bytesOf = (a: TypedArray): Uint8Array => new Uint8Array(a.buffer, a.byteOffset, a.byteLength);
