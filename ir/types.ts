// Types of values in the tensor IR: element type, shape, and, for constants, layout and quantization.

import type { DType } from "./dtype.ts";
import type { Value } from "./graph.ts";
import { elementCount } from "./tensor.ts";

/** An extent that hangs on data: at most `max`, truly what the scalar i64 `value` says when the graph runs. */
export interface BoundedDim {
  readonly max: number;
  readonly value: Value;
}
export type Dim = number | BoundedDim;

/** How the integers of a tensor stand for reals: (q - zeroPoint) * scale, per tensor, per `axis`, or per `block` along `axis`. */
export interface Quant {
  /** References into the weight store. */
  readonly scale: string;
  readonly zeroPoint?: string;
  readonly axis?: number;
  readonly block?: number;
}

export interface TensorType {
  readonly dtype: DType;
  readonly shape: readonly Dim[];
  /** Constants only: the layout that its bytes will be packed in, by name; row-major dense when absent. */
  readonly layout?: string;
  readonly quant?: Quant;
}

export const tensor = (dtype: DType, shape: readonly Dim[]): TensorType => ({ dtype, shape });
export const scalarType = (dtype: DType): TensorType => ({ dtype, shape: [] });

/** The largest value that an extent can have. */
export const maxOf = (d: Dim): number => (typeof d === "number" ? d : d.max);
export const maxShape = (t: TensorType): readonly number[] => t.shape.map(maxOf);
export const isStatic = (t: TensorType): boolean => t.shape.every((d) => typeof d === "number");
export const rank = (t: TensorType): number => t.shape.length;
/** Elements of the largest shape; the error `too-large` beyond 2^31. */
export const sizeOf = (t: TensorType): number => elementCount(maxShape(t));

export const sameDim = (a: Dim, b: Dim): boolean =>
  typeof a === "number" || typeof b === "number" ? a === b : a.max === b.max && a.value === b.value;
export const sameShape = (a: readonly Dim[], b: readonly Dim[]): boolean => a.length === b.length && a.every((d, i) => sameDim(d, b[i]!));
/** Same element type and shape; layout and quantization of constants may differ. */
export const sameType = (a: TensorType, b: TensorType): boolean => a.dtype === b.dtype && sameShape(a.shape, b.shape);

export const shapeToString = (shape: readonly Dim[], name: (v: Value) => string = () => "?"): string =>
  `[${shape.map((d) => (typeof d === "number" ? String(d) : `${name(d.value)}<=${d.max}`)).join(",")}]`;

/** `f32[1,3,224,224]`; bounded extents as `%n<=10`. */
export const typeToString = (t: TensorType, name?: (v: Value) => string): string =>
  `${t.dtype}${shapeToString(t.shape, name)}${t.layout ? ` as ${t.layout}` : ""}`;

/** NumPy broadcasting of two shapes, or undefined where they do not agree. */
export function broadcast(a: readonly Dim[], b: readonly Dim[]): Dim[] | undefined {
  const out: Dim[] = [];
  for (let i = 0; i < Math.max(a.length, b.length); i++) {
    const x = a[a.length - 1 - i] ?? 1;
    const y = b[b.length - 1 - i] ?? 1;
    if (x !== 1 && y !== 1 && !sameDim(x, y)) return undefined;
    out.unshift(x === 1 ? y : x);
  }
  return out;
}
