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
  /** Whether the bytes that hold no element must be zero, or `fill`, before a reader runs (padding that convolutions read). */
  readonly zeroed: boolean;
  /** The byte that padding is made of, where that is not 0. */
  readonly fill?: number;
  /** Whether other values lie between its elements: no byte of those may be written. */
  readonly part?: boolean;
  /** Of storages made pixel by pixel: the room around their images. */
  readonly margin?: Margin;
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

/** With the elements along one axis side by side, the other axes around it row-major. */
export function along(type: TensorType, axis: number): Storage {
  const shape = maxShape(type);
  const outer = shape.map((_, k) => k).filter((k) => k !== axis);
  const s = flat({ dtype: type.dtype, shape: [...outer.map((k) => shape[k]!), shape[axis]!] });
  const strides = shape.map((_, k) => s.strides[k === axis ? shape.length - 1 : outer.indexOf(k)]!);
  return { ...s, name: `along axis ${axis}`, shape, strides };
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

/** Neighbouring channels of a pixel are taken four at a time. */
const QUAD = 4;

/**
 * [N, C, H, W] as pixels: [N][rows + H + rows][W + columns][C rounded up to 4]. A tap of a convolution is a run of bytes, as are the channels
 * of one pixel; what lies between the last channel and the next pixel is never written, and read to be multiplied by 0.
 */
export function pixels(type: TensorType, margin: Margin, fill = 0): Storage {
  const [n, c, h, w] = maxShape(type) as [number, number, number, number];
  const size = DTYPES[type.dtype].bytes;
  const pixel = roundUp(c, QUAD) * size;
  const row = (w + margin.columns) * pixel;
  const image = (h + 2 * margin.rows) * row;
  const front = roundUp(margin.columns * pixel, 16);
  // Vectors may start in the last pixel's channels.
  const behind = roundUp(margin.columns * pixel, 16) + 4 * ROOM;
  const padded = margin.rows > 0 || margin.columns > 0;
  return {
    name: padded ? `pixels+${margin.rows}+${margin.columns}` : "pixels",
    dtype: type.dtype,
    shape: [n, c, h, w],
    strides: [image, size, row, pixel],
    offset: front + margin.rows * row,
    bytes: front + n * image + behind,
    zeroed: padded,
    margin,
    ...(fill === 0 ? {} : { fill }),
  };
}

/** Whether a storage is of pixels with that padding, or of more. */
export const holdsPixels = (s: Storage, want: Margin, fill: number): boolean =>
  s.margin !== undefined &&
  s.strides[1] === 1 &&
  s.strides[3]! % 4 === 0 &&
  s.offset % 4 === 0 &&
  s.margin.rows >= want.rows &&
  s.margin.columns >= want.columns &&
  ((want.rows === 0 && want.columns === 0) || (s.zeroed && (s.fill ?? 0) === fill));

/** [.., D] row by row, the features of one rounded up to 4 elements. */
export function tokens(type: TensorType): Storage {
  const shape = maxShape(type);
  const size = DTYPES[type.dtype].bytes;
  const row = roundUp(shape.at(-1)!, QUAD) * size;
  const leading = shape.slice(0, -1);
  const strides = [...stridesOf(leading).map((s) => s * row), size];
  const bytes = leading.reduce((a, b) => a * b, row) + ROOM;
  return { name: "tokens", dtype: type.dtype, shape, strides, offset: 0, bytes, zeroed: false };
}

/**
 * Floats between the features of `tokens` tokens: whole vectors, and where tiles take a part of them, an odd number, so that the features
 * of a tile do not fall on the same few sets of the cache.
 */
function pitchOf(tokens: number): number {
  const vectors = Math.ceil(tokens / 4);
  return 4 * (vectors > 8 && vectors % 2 === 0 ? vectors + 1 : vectors);
}

/** [.., T, D] feature by feature: [D][T and more], the leading axes a part of the tokens. Vectors run along the tokens. */
export function features(type: TensorType): Storage {
  const shape = maxShape(type);
  const size = DTYPES[type.dtype].bytes;
  const tokens = shape.slice(0, -1);
  const row = pitchOf(tokens.reduce((a, b) => a * b, 1)) * size;
  const strides = [...stridesOf(tokens).map((s) => s * size), row];
  return { name: "features", dtype: type.dtype, shape, strides, offset: 0, bytes: shape.at(-1)! * row + ROOM, zeroed: false };
}

/** [.., R, C] column by column: [..][C][R and more]. Vectors run along R. */
export function columns(type: TensorType): Storage {
  const shape = maxShape(type);
  const size = DTYPES[type.dtype].bytes;
  const column = pitchOf(shape.at(-2)!) * size;
  const matrix = shape.at(-1)! * column;
  const leading = shape.slice(0, -2);
  const strides = [...stridesOf(leading).map((s) => s * matrix), size, column];
  return {
    name: "columns",
    dtype: type.dtype,
    shape,
    strides,
    offset: 0,
    bytes: leading.reduce((a, b) => a * b, matrix) + ROOM,
    zeroed: false,
  };
}

/** Axes in the order in which memory is walked: from the largest stride to the smallest; those of one element first, they cost nothing. */
export const walk = (s: Storage): number[] => {
  const rank = (axis: number): number => (s.shape[axis] === 1 ? Number.POSITIVE_INFINITY : s.strides[axis]!);
  return s.strides.map((_, axis) => axis).sort((a, b) => (rank(a) === rank(b) ? a - b : rank(b) - rank(a)));
};

/** The axis along which four-byte elements are neighbours, if they are along any. */
export const laneAxis = (s: Storage): number | undefined => {
  const axis = walk(s).at(-1);
  return axis !== undefined && s.strides[axis] === 4 && s.shape[axis]! > 1 ? axis : undefined;
};

/** Bytes of the elements alone, without margins and room. */
export const elementBytes = (s: Storage): number => s.shape.reduce((a, b) => a * b, DTYPES[s.dtype].bytes);

/** Whether every element lies at the same place; where an axis has one element, its stride says nothing. */
export const sameStorage = (a: Storage, b: Storage): boolean =>
  a.dtype === b.dtype &&
  a.offset === b.offset &&
  a.strides.length === b.strides.length &&
  a.strides.every((s, i) => s === b.strides[i] || (a.shape[i] === 1 && b.shape[i] === 1));
