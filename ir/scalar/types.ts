// The vocabulary of scalar maths shared by tensor-level expressions and the kernel IR: types, operators, pure expression kinds.

export type ScalarType = "bool" | "i32" | "u32" | "i64" | "u64" | "f32" | "f64";

/**
 * `neg`..`abs` on numbers, `not` on bool (logical) and integers (bitwise), the rest on floats.
 * `round_even` rounds halves to even; `erf` is the error function.
 */
export type UnaryOp =
  | "neg"
  | "abs"
  | "not"
  | "sqrt"
  | "floor"
  | "ceil"
  | "trunc"
  | "round_even"
  | "exp"
  | "log"
  | "sin"
  | "cos"
  | "tan"
  | "asin"
  | "acos"
  | "atan"
  | "sinh"
  | "cosh"
  | "tanh"
  | "asinh"
  | "acosh"
  | "atanh"
  | "erf";

/**
 * Integers wrap; integer `div` truncates towards zero and `rem` takes the dividend's sign (a zero divisor gives 0, a fault
 * nowhere); float `rem` is C's fmod. `min` and `max` propagate NaN. `shr` is arithmetic on signed and logical on unsigned types;
 * shifts of at least the width give 0 (or the sign). `and`, `or`, `xor` are bitwise, logical on bool.
 */
export type BinaryOp = "add" | "sub" | "mul" | "div" | "rem" | "min" | "max" | "pow" | "atan2" | "and" | "or" | "xor" | "shl" | "shr";

export type CompareOp = "eq" | "ne" | "lt" | "le" | "gt" | "ge";

/** Element types narrower than what they compute in: `wrap` brings a value to what a store and a load of it would give. */
export type NarrowType = "i4" | "u4" | "i8" | "u8" | "i16" | "u16" | "f16";

export interface Const<T extends string = ScalarType> {
  readonly kind: "const";
  readonly type: T;
  /** A bigint for i64 and u64, 0 or 1 for bool, else a number. */
  readonly value: number | bigint;
}
export interface Unary<E, T extends string = ScalarType> {
  readonly kind: "unary";
  readonly type: T;
  readonly op: UnaryOp;
  readonly a: E;
}
export interface Binary<E, T extends string = ScalarType> {
  readonly kind: "binary";
  readonly type: T;
  readonly op: BinaryOp;
  readonly a: E;
  readonly b: E;
}
/** `type` is bool for scalars, a lane mask (i32x4, ...) for vectors. */
export interface Compare<E, T extends string = ScalarType> {
  readonly kind: "compare";
  readonly type: T;
  readonly op: CompareOp;
  readonly a: E;
  readonly b: E;
}
export interface Select<E, T extends string = ScalarType> {
  readonly kind: "select";
  readonly type: T;
  readonly cond: E;
  readonly a: E;
  readonly b: E;
}
/** Numeric conversion: floats to integers truncate and saturate (NaN gives 0); anything to bool is `!= 0`. */
export interface Cast<E, T extends string = ScalarType> {
  readonly kind: "cast";
  readonly type: T;
  readonly a: E;
}
/** The same bits read as another type of the same width. */
export interface Bitcast<E, T extends string = ScalarType> {
  readonly kind: "bitcast";
  readonly type: T;
  readonly a: E;
}
/** Wraps (integers) or rounds to nearest even (f16) to a narrow storage type, staying in the compute type. */
export interface Wrap<E, T extends string = ScalarType> {
  readonly kind: "wrap";
  readonly type: T;
  readonly to: NarrowType;
  readonly a: E;
}

export type Pure<E, T extends string = ScalarType> =
  | Const<T>
  | Unary<E, T>
  | Binary<E, T>
  | Compare<E, T>
  | Select<E, T>
  | Cast<E, T>
  | Bitcast<E, T>
  | Wrap<E, T>;

export const isFloatType = (t: string): t is "f32" | "f64" => t === "f32" || t === "f64";
export const isBigType = (t: string): t is "i64" | "u64" => t === "i64" || t === "u64";
