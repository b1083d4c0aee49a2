// How the elements of inputs and outputs lie in memory and in JavaScript.

import type { PortDType } from "./artifact.ts";

/** The typed array of each dtype. f16 is its bits; bool is 0 or 1; i4 and u4 take a byte each. */
export const ARRAYS = {
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
} as const satisfies Record<PortDType, unknown>;

/** The array of a dtype, in memory of its own. */
export type ArrayOf<D extends PortDType> = InstanceType<(typeof ARRAYS)[D]>;
/** An array of any dtype, in any memory. */
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

/** A view of `count` elements from byte `offset` on, which must be aligned to the dtype. */
export const viewOf = (dtype: PortDType, buffer: ArrayBufferLike, offset: number, count: number): TypedArray =>
  new ARRAYS[dtype](buffer as ArrayBuffer, offset, count);

export const isDType = (value: unknown): value is PortDType => typeof value === "string" && Object.hasOwn(ARRAYS, value);

/** Values that a byte of the dtype may hold, where those are fewer than its array's. */
export const RANGES: Readonly<Partial<Record<PortDType, readonly [low: number, high: number]>>> = {
  bool: [0, 1],
  i4: [-8, 7],
  u4: [0, 15],
};
