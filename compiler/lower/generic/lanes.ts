// What four lanes at once can be computed of.

import type { MemoryType, PackedType, ValueType, VectorType } from "../../../ir/kernel/types.ts";
import type { BinaryOp, UnaryOp } from "../../../ir/scalar/types.ts";

/** Raised while lowering four lanes at once where an expression cannot be; the caller lowers one at a time instead. */
export class NotVectorizable extends Error {}

export const VECTOR: Partial<Record<ValueType, VectorType>> = { f32: "f32x4", i32: "i32x4", bool: "i32x4" };
/** How four neighbours of a narrow type lie in memory; they are computed as an i32x4. */
export const PACKED_FOUR: Partial<Record<MemoryType, PackedType>> = { i8: "i8x4", u8: "u8x4" };
export const VECTOR_UNARY: ReadonlySet<UnaryOp> = new Set<UnaryOp>([
  "neg",
  "abs",
  "sqrt",
  "floor",
  "ceil",
  "trunc",
  "round_even",
  "exp",
  "log",
  "sin",
  "cos",
  "tanh",
  "erf",
]);
export const VECTOR_BINARY: Readonly<Record<"f32x4" | "i32x4", ReadonlySet<BinaryOp>>> = {
  f32x4: new Set<BinaryOp>(["add", "sub", "mul", "div", "min", "max"]),
  i32x4: new Set<BinaryOp>(["add", "sub", "mul", "min", "max", "and", "or", "xor"]),
};
