// How a value lies in its buffer: any affine arrangement of its elements, with room around them that kernels may read.

import { DTYPES, type DType } from "../../ir/dtype.ts";
import type { MemoryType } from "../../ir/kernel/types.ts";
import { stridesOf } from "../../ir/tensor.ts";
import { maxShape, type TensorType } from "../../ir/types.ts";

export interface Storage {
  /** Printed by `explain`: `rows`, `flat`, ... */
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
  /** Bytes between neighbours along each axis, and from the buffer's start to element 0. */
  readonly strides: readonly number[];
  readonly offset: number;
  /** Bytes of the whole buffer, margins included. */
  readonly bytes: number;
  /** Whether the bytes that hold no element must be zero before a reader runs (padding that convolutions read). */
  readonly zeroed: boolean;
}

const MEMORY: Readonly<Record<DType, MemoryType>> = {
  f32: "f32",
  f16: "f16",
  f64: "f64",
  i8: "i8",
  u8: "u8",
  i16: "i16",
  u16: "u16",
  i32: "i32",
  u32: "u32",
  i64: "i64",
  u64: "u64",
  bool: "bool",
  i4: "i8",
  u4: "u8",
};
/** How one element of a storage lies in memory. */
export const memoryOf = (dtype: DType): MemoryType => MEMORY[dtype];

/**
 * Bytes behind the last element of a flat value that kernels may read: a vector that starts in a row's last elements ends there, and
 * its lanes past the row are dropped.
 */
export const ROOM = 16;

/** Row-major, as graph inputs, outputs and constants are. */
export function flat(type: TensorType): Storage {
  const shape = maxShape(type);
  const size = DTYPES[type.dtype].bytes;
  const strides = stridesOf(shape).map((s) => s * size);
  const bytes = shape.reduce((a, b) => a * b, size);
  return { name: "flat", dtype: type.dtype, shape, strides, offset: 0, bytes: bytes + ROOM, zeroed: false };
}

const roundUp = (n: number, to: number): number => Math.ceil(n / to) * to;

/** Zero padding around the images of a `rows` storage, in elements. */
export interface Margin {
  /** Zero rows above and below. */
  readonly rows: number;
  /** Zero columns behind each channel row; they are the left padding of the next one too. */
  readonly columns: number;
}

/**
 * [N, C, H, W] as rows of channels: [N][rows + H + rows][C][W + columns rounded up to 4], f32. A tap of a convolution is a constant
 * displacement, and vectors along W may run past a row's end (their garbage lanes are masked when stored).
 */
export function rows(type: TensorType, margin: Margin): Storage {
  const [n, c, h, w] = maxShape(type) as [number, number, number, number];
  const size = DTYPES[type.dtype].bytes;
  const pitch = roundUp(w + margin.columns, 4) * size;
  const row = c * pitch;
  const image = (h + 2 * margin.rows) * row;
  // One more vector in front and several behind: taps left of the first and tiles right of the last element stay inside.
  const front = roundUp(margin.columns * size, 16) + 16;
  const behind = 256;
  return {
    name: `rows+${margin.rows}+${margin.columns}`,
    dtype: type.dtype,
    shape: [n, c, h, w],
    strides: [image, pitch, row, size],
    offset: front + margin.rows * row,
    bytes: front + n * image + behind,
    zeroed: true,
  };
}

/** Bytes of the elements alone, without margins and room. */
export const elementBytes = (s: Storage): number => s.shape.reduce((a, b) => a * b, DTYPES[s.dtype].bytes);

export const sameStorage = (a: Storage, b: Storage): boolean =>
  a.dtype === b.dtype && a.offset === b.offset && a.strides.length === b.strides.length && a.strides.every((s, i) => s === b.strides[i]);
