// What a layout is: a way of storing a constant matrix that leaves out its zeros, as a value.

import { DTYPES, type DType, type TypedArray } from "../dtype.ts";
import { elementCount, type Tensor } from "../tensor.ts";

/** A packed constant: what it was, and the streams that hold it. */
export interface PackedTensor {
  readonly layout: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
  /** By name, as the layout documents them. */
  readonly streams: ReadonlyMap<string, TypedArray>;
}

/**
 * A layout of constants. `unpack(pack(t))` is `t`, save that a zero comes back as +0. Streams from outside go through `verify`
 * before anything reads by them.
 */
export interface Layout {
  readonly name: string;
  /** What each stream holds. */
  readonly doc: string;
  pack(t: Tensor): PackedTensor;
  /** Expects verified streams. */
  unpack(p: PackedTensor): Tensor;
  /** What is wrong with the streams, or undefined: every index inside, every length as the others say. */
  verify(p: PackedTensor): string | undefined;
}

export const defineLayout = (layout: Layout): Layout => Object.freeze(layout);

/** A constant as the matrix that kernels see: element (row, column) lies at `row * rowStride + column * columnStride`. */
export interface MatrixView {
  readonly rows: number;
  readonly columns: number;
  readonly rowStride: number;
  readonly columnStride: number;
}

/** The first axis against all others, flattened: the weights of a convolution, the left operand of a matmul. */
export function firstAxisRows(shape: readonly number[]): MatrixView {
  const rows = shape[0] ?? 1;
  const columns = elementCount(shape.slice(1));
  return { rows, columns, rowStride: columns, columnStride: 1 };
}

/** The last axis against all others, flattened: the right operand of a matmul, whose output features are its columns. */
export function lastAxisRows(shape: readonly number[]): MatrixView {
  const rows = shape.at(-1) ?? 1;
  return { rows, columns: elementCount(shape.slice(0, -1)), rowStride: 1, columnStride: rows };
}

/** A zero of either sign; f16 as bits. */
export const isZero = (dtype: DType, x: number | bigint): boolean => (dtype === "f16" ? ((x as number) & 0x7fff) === 0 : Number(x) === 0);

/** The smallest of u16 and u32 that holds numbers below `bound`. */
export const indexArray = (bound: number, length: number): Uint16Array | Uint32Array =>
  bound <= 0x10000 ? new Uint16Array(length) : new Uint32Array(length);

export const isIndexArray = (a: TypedArray | undefined): a is Uint16Array | Uint32Array =>
  a instanceof Uint16Array || a instanceof Uint32Array;

/** Whether an array can hold elements of `dtype`. */
export const holds = (dtype: DType, a: TypedArray | undefined): a is TypedArray => {
  if (!a || a.BYTES_PER_ELEMENT !== DTYPES[dtype].bytes) return false;
  const float = a instanceof Float32Array || a instanceof Float64Array;
  return float === (dtype === "f32" || dtype === "f64");
};

/** A sentence when the streams are not exactly those named. */
export function checkNames(p: PackedTensor, layout: string, names: readonly string[]): string | undefined {
  if (p.layout !== layout) return `layout '${p.layout}', expected '${layout}'`;
  const missing = names.filter((n) => !p.streams.has(n));
  if (missing.length > 0) return `stream '${missing[0]}' is missing`;
  if (p.streams.size > names.length) return `streams ${[...p.streams.keys()].join(", ")}, expected ${names.join(", ")}`;
  return undefined;
}
