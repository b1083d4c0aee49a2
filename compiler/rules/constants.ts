// Reading and making constants inside rules.

import { arrayOf, DTYPES, type DType } from "../../ir/dtype.ts";
import type { GraphBuilder, Value } from "../../ir/graph.ts";
import { fromF16, toF16 } from "../../ir/scalar/f16.ts";
import { elementCount, type Tensor } from "../../ir/tensor.ts";
import { isStatic, sameShape } from "../../ir/types.ts";

export const isConstant = (v: Value): boolean => v.node.op === "const";

/** 64-bit integers have no exact JavaScript number: rules that compute leave them alone. */
const isBig = (dtype: DType): boolean => DTYPES[dtype].compute === "i64" || DTYPES[dtype].compute === "u64";

/** Element `i` as a number. */
export const numberAt = (t: Tensor, i: number): number => (t.dtype === "f16" ? fromF16(Number(t.data[i])) : Number(t.data[i]));

/** The number that every element of a constant is, or undefined. */
export function splatOf(b: GraphBuilder, v: Value): number | undefined {
  const t = b.constantOf(v);
  if (!t || t.data.length === 0 || isBig(t.dtype)) return undefined;
  const [first] = t.data;
  return t.data.every((x) => Object.is(x, first)) ? numberAt(t, 0) : undefined;
}

/** Whether every element of a constant is `x`, -0 and 0 told apart; 64-bit integers too. */
export function isSplat(b: GraphBuilder, v: Value, x: number): boolean {
  const t = b.constantOf(v);
  if (!t || t.data.length === 0) return false;
  if (isBig(t.dtype)) return t.data.every((y) => y === BigInt(x));
  for (let i = 0; i < t.data.length; i++) if (!Object.is(numberAt(t, i), x)) return false;
  return true;
}

/** A constant scalar of `dtype`. */
export function scalar(b: GraphBuilder, dtype: DType, x: number): Value {
  const data = arrayOf(dtype, 1);
  data[0] = (isBig(dtype) ? BigInt(x) : dtype === "f16" ? toF16(x) : x) as never;
  return b.constant({ dtype, shape: [], data });
}

/** A constant with `f` of each element, or undefined where `f` gives none or the elements are 64-bit integers. */
export function mapConstant(b: GraphBuilder, v: Value, f: (x: number) => number | undefined): Value | undefined {
  const t = b.constantOf(v);
  if (!t || isBig(t.dtype)) return undefined;
  const data = arrayOf(t.dtype, t.data.length);
  for (let i = 0; i < data.length; i++) {
    const y = f(numberAt(t, i));
    if (y === undefined) return undefined;
    data[i] = t.dtype === "f16" ? toF16(y) : y;
  }
  return b.constant({ ...t, data }, { loc: v.node.locs });
}

/** `v` with another shape of as many elements: constants and views of views are reshaped on the spot. */
export function reshaped(b: GraphBuilder, v: Value, shape: readonly number[]): Value {
  if (isStatic(v.type) && sameShape(v.type.shape, shape)) return v;
  const t = b.constantOf(v);
  if (t && elementCount(shape) === t.data.length) return b.constant({ ...t, shape }, { loc: v.node.locs });
  const source = v.node.op === "reshape" && isStatic(v.node.inputs[0]!.type) ? v.node.inputs[0]! : v;
  if (sameShape(source.type.shape, shape)) return source;
  return b.value("reshape", [source], { shape }, v.node.locs);
}

/** The elements of a constant of floats, in f64; undefined for other values. */
export function floats(b: GraphBuilder, v: Value): Float64Array | undefined {
  const t = b.constantOf(v);
  if (!t || DTYPES[t.dtype].kind !== "float") return undefined;
  const data = t.data as ArrayLike<number>;
  return t.dtype === "f16" ? Float64Array.from(data, fromF16) : Float64Array.from(data);
}

/** A constant of `like`'s element type, rounded from f64, with the place that `like` came from. */
export function fromFloats(b: GraphBuilder, like: Value, xs: Float64Array, shape: readonly number[]): Value {
  const { dtype } = like.type;
  const data = arrayOf(dtype, xs.length);
  for (let i = 0; i < xs.length; i++) data[i] = dtype === "f16" ? toF16(xs[i]!) : xs[i]!;
  return b.constant({ dtype, shape, data }, { loc: like.node.locs });
}
