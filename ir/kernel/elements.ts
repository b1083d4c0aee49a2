// Row-major elements behind a pointer parameter, by index: how kernel builders of operators read and write tensors.

import type { DType } from "../dtype.ts";
import { DTYPES } from "../dtype.ts";
import { elementCount } from "../tensor.ts";
import { advance, constant, i32, load, mul, pointer, store, variable } from "./build.ts";
import type { Expr, MemoryType, Param, PointerParam, Stmt } from "./types.ts";

/** 4-bit integers lie one to a byte. */
export const memoryOf = (dtype: DType): MemoryType => (dtype === "i4" ? "i8" : dtype === "u4" ? "u8" : dtype);

export interface Elements {
  readonly param: Param;
  readonly ptr: Expr;
  /** Element `i` (i32), in the compute type of its dtype. */
  at(i: Expr): Expr;
  set(i: Expr, value: Expr): Stmt;
  /** A constant of the elements' compute type. */
  literal(value: number): Expr;
}

/** Elements of a parameter of `count` elements. */
export function elements(name: string, dtype: DType, count: number, access: PointerParam["access"]): Elements {
  const { bytes, compute } = DTYPES[dtype];
  const memory = memoryOf(dtype);
  const ptr = variable(name, "ptr");
  const address = (i: Expr): Expr => advance(ptr, mul(i, i32(bytes)));
  return {
    param: pointer(name, access, count * bytes),
    ptr,
    at: (i) => load(memory, address(i)),
    set: (i, value) => store(memory, address(i), value),
    literal: (value) => constant(compute, value),
  };
}

/** Elements of a tensor operand or result. */
export const tensorElements = (
  name: string,
  t: { readonly dtype: DType; readonly shape: readonly (number | { readonly max: number })[] },
  access: PointerParam["access"],
): Elements => elements(name, t.dtype, elementCount(t.shape.map((d) => (typeof d === "number" ? d : d.max))), access);
