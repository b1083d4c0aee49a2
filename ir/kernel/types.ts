// The kernel IR: functions of loops, pointers, scalar and vector expressions. A closed set, so that every backend is one
// exhaustive switch. What a kernel means is defined by ir/kernel/interpret.ts.

import type { Binary, Bitcast, Cast, Compare, Const, ScalarType, Select, Unary, Wrap } from "../scalar/types.ts";

export type VectorType = "i8x16" | "i16x8" | "i32x4" | "i64x2" | "f32x4" | "f64x2";
/** `ptr` is a byte pointer into one parameter's buffer; it never leaves the buffer it started in. */
export type ValueType = ScalarType | VectorType | "ptr";
/** Neighbouring bytes that are lanes of a wider vector when loaded; stored, lanes saturate. */
export type PackedType = "i8x4" | "u8x4" | "i8x8" | "u8x8";
/** How a value lies in memory. Narrow types widen to their compute type when loaded and wrap, or round, when stored. */
export type MemoryType =
  | PackedType
  | "i8"
  | "u8"
  | "i16"
  | "u16"
  | "i32"
  | "u32"
  | "i64"
  | "u64"
  | "bool"
  | "f16"
  | "f32"
  | "f64"
  | VectorType;

/**
 * The pure kinds work lane by lane on vectors. A select by a bool evaluates the chosen side only; by a lane mask (all ones or all zeros),
 * both. Vector constants are splats, and vectors shift by splats. Pointers into one buffer compare like u32. No expression has an effect.
 */
export type Expr =
  | Const
  | Unary<Expr, ScalarType | VectorType>
  | Binary<Expr, ScalarType | VectorType>
  | Compare<Expr, ScalarType | VectorType>
  | Select<Expr, ScalarType | VectorType>
  | Cast<Expr, ScalarType | VectorType>
  | Bitcast<Expr, ScalarType | VectorType>
  | Wrap<Expr>
  | { readonly kind: "var"; readonly type: ValueType; readonly name: string }
  /** `offset` is a constant displacement in bytes (>= 0); `ptr` itself may not precede its buffer, and lanes are aligned to their size. */
  | { readonly kind: "load"; readonly type: ValueType; readonly memory: MemoryType; readonly ptr: Expr; readonly offset: number }
  /** `ptr + bytes`, with `bytes` an i32. The result may lie outside the buffer as long as nothing is loaded or stored there. */
  | { readonly kind: "advance"; readonly type: "ptr"; readonly ptr: Expr; readonly bytes: Expr }
  /** Every lane the same scalar. A splat of a load is one instruction on most targets. */
  | { readonly kind: "splat"; readonly type: VectorType; readonly a: Expr }
  | { readonly kind: "extract"; readonly type: ScalarType; readonly a: Expr; readonly lane: number }
  | { readonly kind: "replace"; readonly type: VectorType; readonly a: Expr; readonly lane: number; readonly value: Expr }
  /** Lanes of `a` (0..n-1) and `b` (n..2n-1), chosen by constant lane numbers. */
  | { readonly kind: "shuffle"; readonly type: VectorType; readonly a: Expr; readonly b: Expr; readonly lanes: readonly number[] }
  /** `a * b + c`, rounded once or twice as the target likes: one instruction on targets that have it. `whole` ones need no rounding. */
  | {
      readonly kind: "fma";
      readonly type: "f32" | "f64" | "f32x4" | "f64x2";
      readonly a: Expr;
      readonly b: Expr;
      readonly c: Expr;
      readonly whole?: true;
    }
  /** i16x8 . i16x8 -> i32x4: products of adjacent lanes, added in pairs. */
  | { readonly kind: "dot"; readonly type: "i32x4"; readonly a: Expr; readonly b: Expr }
  /** The four signed bytes of `a` times those of `b`, added up; both are i32. */
  | { readonly kind: "dot4"; readonly type: "i32"; readonly a: Expr; readonly b: Expr }
  /**
   * The signed bytes of `a` times those of `b` (both i8x16), which are `read` as they are by the target's `byteDots`, four neighbours added up,
   * plus `c`. Of signed ones no sum of two leaves 16 bits: compilers of one engine differ in what becomes of (-128)^2 + (-128)^2.
   */
  | { readonly kind: "dot_bytes"; readonly type: "i32x4"; readonly read: ByteReading; readonly a: Expr; readonly b: Expr; readonly c: Expr }
  /**
   * The signed bytes of `a` times the unsigned ones of `b` (both i8x16), two neighbours added up; for targets with `bytePairs`. No sum leaves
   * 16 bits: targets differ in what becomes of those that do. `small`: no byte of `b` is above 127, where targets differ, too.
   */
  | { readonly kind: "dot_pairs"; readonly type: "i16x8"; readonly small: boolean; readonly a: Expr; readonly b: Expr }
  /** The lanes of `a`, then those of `b`, saturated to half their width: i32x4 to i16, i16x8 to i8 or u8. */
  | { readonly kind: "narrow"; readonly type: "i16x8" | "i8x16"; readonly to: "i16" | "i8" | "u8"; readonly a: Expr; readonly b: Expr }
  /**
   * Which thread of the team that runs the program, or the workgroup, this is (`rank`, from 0), and how many there are (`size`); one thread
   * alone has rank 0 of 1. `group` is the workgroup's number in its grid. Threads of a workgroup run in step by `lanes`, of neighbouring ranks
   * from a multiple of it on: a power of two up to 128 that divides the size, 1 where the device cannot say.
   */
  | { readonly kind: "team"; readonly type: "i32"; readonly of: TeamValue }
  /** A call of a function that has a result. Such functions have no effect. */
  | { readonly kind: "call"; readonly type: ValueType; readonly name: string; readonly args: readonly Expr[] };

/** As what bytes are taken. */
export type ByteReading = "unsigned" | "signed";

export type TeamValue = "rank" | "size" | "group" | "lanes";

export type Stmt =
  /** Declares a variable, visible in the rest of its block. Names are unique within a function. */
  | { readonly kind: "let"; readonly name: string; readonly value: Expr }
  | { readonly kind: "set"; readonly name: string; readonly value: Expr }
  | { readonly kind: "store"; readonly memory: MemoryType; readonly ptr: Expr; readonly offset: number; readonly value: Expr }
  /**
   * `for (name = from; name < to; name += step)`, i32, step a positive constant; bounds are read once. Where `parallel` is given, no iteration
   * touches what another writes, and each costs about `parallel` (a positive integer, relative to neighbours): a team may share them out.
   */
  | {
      readonly kind: "for";
      readonly name: string;
      readonly from: Expr;
      readonly to: Expr;
      readonly step: number;
      readonly parallel?: number;
      readonly body: readonly Stmt[];
    }
  /** Runs the body at least once, and again as long as `again`, which sees the body's variables, holds: the cheapest loop there is. */
  | { readonly kind: "repeat"; readonly body: readonly Stmt[]; readonly again: Expr }
  | { readonly kind: "while"; readonly cond: Expr; readonly body: readonly Stmt[] }
  | { readonly kind: "if"; readonly cond: Expr; readonly then: readonly Stmt[]; readonly else: readonly Stmt[] }
  /** Calls a function without result. */
  | { readonly kind: "call"; readonly name: string; readonly args: readonly Expr[] }
  /** No thread of a team, or of a workgroup, goes on before all are here; every thread passes the same barriers. */
  | { readonly kind: "barrier" }
  /**
   * Sets a variable, a number or four, to what the thread whose rank is this one's xor `by` has in it. `by` is positive, less than `lanes` and
   * the same for all; every thread of a workgroup passes it.
   */
  | { readonly kind: "swap"; readonly name: string; readonly by: Expr }
  /** Ends the run with fault number `fault` (an index into the program's faults) unless `cond` holds. */
  | { readonly kind: "assert"; readonly cond: Expr; readonly fault: number };

export interface PointerParam {
  readonly name: string;
  readonly type: "ptr";
  readonly access: "read" | "write" | "readwrite";
  /** Bytes that the function may touch from the pointer on; the interpreter checks every access against it. */
  readonly bytes: number;
}
export type Param = PointerParam | { readonly name: string; readonly type: ScalarType | VectorType };

/** Memory of one workgroup: `length` elements, zero when it starts. `name` points at the first. */
export interface SharedArray {
  readonly name: string;
  readonly memory: "f32" | "i32" | "u32" | "f32x4" | "i32x4";
  readonly length: number;
}

/**
 * A call runs `workgroups` teams of `size` threads, in any order, each with shared arrays of its own. No workgroup touches what another
 * writes. Vectors are aligned to their 16 bytes, and a call stands in functions without a grid only.
 */
export interface Grid {
  readonly workgroups: number;
  readonly size: number;
  readonly shared: readonly SharedArray[];
}

export interface Func {
  readonly name: string;
  /** One line for whoever reads the emitted code. */
  readonly doc?: string;
  readonly params: readonly Param[];
  readonly body: readonly Stmt[];
  /** The value of a call expression, evaluated after the body. */
  readonly result?: Expr;
  /** For kernels that devices of many threads run. */
  readonly grid?: Grid;
}

/** Functions in order of definition (callees first); `entry` is the one that a host calls. */
export interface Program {
  readonly functions: readonly Func[];
  readonly entry: string;
  /** What each `assert` number means to a user. */
  readonly faults: readonly string[];
}

export const LANES: Readonly<Record<VectorType, number>> = { i8x16: 16, i16x8: 8, i32x4: 4, i64x2: 2, f32x4: 4, f64x2: 2 };
/** The scalar that a lane extracts to. */
export const LANE_TYPE: Readonly<Record<VectorType, ScalarType>> = {
  i8x16: "i32",
  i16x8: "i32",
  i32x4: "i32",
  i64x2: "i64",
  f32x4: "f32",
  f64x2: "f64",
};
export const MEMORY_BYTES: Readonly<Record<MemoryType, number>> = {
  i8: 1,
  u8: 1,
  bool: 1,
  i16: 2,
  u16: 2,
  f16: 2,
  i32: 4,
  u32: 4,
  f32: 4,
  i64: 8,
  u64: 8,
  f64: 8,
  i8x16: 16,
  i16x8: 16,
  i32x4: 16,
  i64x2: 16,
  f32x4: 16,
  f64x2: 16,
  i8x4: 4,
  u8x4: 4,
  i8x8: 8,
  u8x8: 8,
};
/** What a load of a memory type gives. */
export const LOADED: Readonly<Record<MemoryType, ValueType>> = {
  i8: "i32",
  u8: "i32",
  i16: "i32",
  u16: "i32",
  i32: "i32",
  u32: "u32",
  i64: "i64",
  u64: "u64",
  bool: "bool",
  f16: "f32",
  f32: "f32",
  f64: "f64",
  i8x16: "i8x16",
  i16x8: "i16x8",
  i32x4: "i32x4",
  i64x2: "i64x2",
  f32x4: "f32x4",
  f64x2: "f64x2",
  i8x4: "i32x4",
  u8x4: "i32x4",
  i8x8: "i16x8",
  u8x8: "i16x8",
};
/** The type of a byte of each packed type. */
export const PACKED: Readonly<Record<PackedType, "i8" | "u8">> = { i8x4: "i8", u8x4: "u8", i8x8: "i8", u8x8: "u8" };
export const isPacked = (m: MemoryType): m is PackedType => Object.hasOwn(PACKED, m);
export const isVector = (t: string): t is VectorType => Object.hasOwn(LANES, t);
