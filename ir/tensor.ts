// A tensor value: element type, shape and row-major data.

import { errors, type Loc } from "./diagnostics.ts";
import { arrayOf, type DType, type TypedArray, viewAs } from "./dtype.ts";
import type { Quantized } from "./quantized.ts";

export interface Tensor {
  readonly dtype: DType;
  readonly shape: readonly number[];
  /** Row-major; f16 as bits, bool as 0 and 1, 4-bit integers one to an element. */
  readonly data: TypedArray;
  /** The integers and scales that floats were made of. Whoever uses them holds what they make against `data`. */
  readonly made?: Quantized;
}

const MAX_ELEMENTS = 2 ** 31 - 1;

/** The product of the extents, checked: more than 2^31 - 1 elements is the error `too-large`. */
export function elementCount(shape: readonly number[], loc?: Loc): number {
  // A zero anywhere would hide an overflow of the others.
  let n = 1;
  for (const d of shape) n *= d === 0 ? 1 : d;
  if (!Number.isSafeInteger(n) || n > MAX_ELEMENTS || shape.some((d) => !Number.isSafeInteger(d) || d < 0)) {
    throw errors.tooLarge(`a tensor of shape [${shape.join(", ")}]`, loc);
  }
  return shape.includes(0) ? 0 : n;
}

/** Row-major strides in elements. */
export function stridesOf(shape: readonly number[]): number[] {
  const strides = new Array<number>(shape.length);
  for (let axis = shape.length - 1, step = 1; axis >= 0; axis--) {
    strides[axis] = step;
    step *= shape[axis]!;
  }
  return strides;
}

export const zeros = (dtype: DType, shape: readonly number[]): Tensor => ({ dtype, shape, data: arrayOf(dtype, elementCount(shape)) });
export const tensorFromBytes = (dtype: DType, shape: readonly number[], bytes: Uint8Array): Tensor => ({
  dtype,
  shape,
  data: viewAs(dtype, bytes),
});

/** A tensor from plain numbers (f16 from bits). */
export function tensorOf(dtype: DType, shape: readonly number[], values: ArrayLike<number | bigint>): Tensor {
  const t = zeros(dtype, shape);
  const big = t.data instanceof BigInt64Array || t.data instanceof BigUint64Array;
  for (let i = 0; i < t.data.length; i++) t.data[i] = (big ? BigInt(values[i]!) : Number(values[i]!)) as never;
  return t;
}

/** A tensor with its axes in another order: axis i of the result is axis perm[i] of the tensor. */
export function transposed(t: Tensor, perm: readonly number[]): Tensor {
  const shape = perm.map((axis) => t.shape[axis]!);
  const from = stridesOf(t.shape);
  const strides = perm.map((axis) => from[axis]!);
  const out = zeros(t.dtype, shape);
  const [source, target] = [t.data as Float32Array, out.data as Float32Array];
  let next = 0;
  const visit = (axis: number, at: number): void => {
    const [extent, stride] = [shape[axis] ?? 1, strides[axis] ?? 0];
    if (axis >= shape.length - 1) for (let i = 0; i < extent; i++) target[next++] = source[at + i * stride]!;
    else for (let i = 0; i < extent; i++) visit(axis + 1, at + i * stride);
  };
  visit(0, 0);
  return out;
}

/** Integer elements as safe JavaScript numbers: shapes, axes, indices. */
export const toNumbers = (t: Tensor): number[] => Array.from(t.data as ArrayLike<number | bigint>, Number);
