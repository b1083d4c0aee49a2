// Constructors of kernel expressions and statements. They check types, so a mistake fails in the lowering that makes it.

import * as scalar from "../scalar/build.ts";
import type { BinaryOp, CompareOp, NarrowType, ScalarType, UnaryOp } from "../scalar/types.ts";
import {
  type ByteReading,
  type Expr,
  isVector,
  LANE_TYPE,
  LOADED,
  type MemoryType,
  type Param,
  type PointerParam,
  type Stmt,
  type TeamValue,
  type ValueType,
  type VectorType,
} from "./types.ts";

export const i32 = (value: number): Expr => scalar.i32(value);
export const f32 = (value: number): Expr => scalar.f32(value);
export const constant = (type: ScalarType, value: number | bigint | boolean): Expr => scalar.constant(type, value);
export const variable = (name: string, type: ValueType = "i32"): Expr => ({ kind: "var", type, name });

export const unary = (op: UnaryOp, a: Expr): Expr => scalar.unary<Expr>(op, a);
export const binary = (op: BinaryOp, a: Expr, b: Expr): Expr => scalar.binaryOp<Expr>(op, a, b);
export const compare = (op: CompareOp, a: Expr, b: Expr): Expr => scalar.compare<Expr>(op, a, b);
export const select = (cond: Expr, a: Expr, b: Expr): Expr => scalar.select<Expr>(cond, a, b);
export const wrap = (to: NarrowType, a: Expr): Expr => scalar.wrap<Expr>(to, a);
/** Vector casts are lane by lane between i32x4 and f32x4. */
export const cast = (type: ScalarType | VectorType, a: Expr): Expr =>
  isVector(type) ? { kind: "cast", type, a } : scalar.cast<Expr>(type, a);
export const bitcast = (type: ScalarType | VectorType, a: Expr): Expr =>
  isVector(type) ? { kind: "bitcast", type, a } : scalar.bitcast<Expr>(type, a);

export const add = (a: Expr, b: Expr): Expr => binary("add", a, b);
export const sub = (a: Expr, b: Expr): Expr => binary("sub", a, b);
export const mul = (a: Expr, b: Expr): Expr => binary("mul", a, b);
export const div = (a: Expr, b: Expr): Expr => binary("div", a, b);
export const rem = (a: Expr, b: Expr): Expr => binary("rem", a, b);
export const min = (a: Expr, b: Expr): Expr => binary("min", a, b);
export const max = (a: Expr, b: Expr): Expr => binary("max", a, b);
export const and = (a: Expr, b: Expr): Expr => binary("and", a, b);
export const or = (a: Expr, b: Expr): Expr => binary("or", a, b);
export const lt = (a: Expr, b: Expr): Expr => compare("lt", a, b);

/** `ptr + bytes`; nested constant advances merge. */
export function advance(ptr: Expr, bytes: Expr): Expr {
  if (ptr.type !== "ptr" || bytes.type !== "i32") throw new TypeError(`advance: ${ptr.type} by ${bytes.type}`);
  return bytes.kind === "const" && bytes.value === 0 ? ptr : { kind: "advance", type: "ptr", ptr, bytes };
}

/** Loads what `memory` holds at `ptr + offset` bytes. */
export function load(memory: MemoryType, ptr: Expr, offset = 0): Expr {
  if (ptr.type !== "ptr") throw new TypeError(`load through a ${ptr.type}`);
  return { kind: "load", type: LOADED[memory], memory, ptr, offset };
}

export function splat(type: VectorType, a: Expr): Expr {
  if (a.type !== LANE_TYPE[type]) throw new TypeError(`splat of ${a.type} to ${type}`);
  return { kind: "splat", type, a };
}
export const extract = (a: Expr, lane: number): Expr => ({ kind: "extract", type: LANE_TYPE[a.type as VectorType], a, lane });
export const replace = (a: Expr, lane: number, value: Expr): Expr => ({ kind: "replace", type: a.type as VectorType, a, lane, value });
export const shuffle = (a: Expr, b: Expr, lanes: readonly number[]): Expr => ({ kind: "shuffle", type: a.type as VectorType, a, b, lanes });
export function fma(a: Expr, b: Expr, c: Expr): Expr {
  if (a.type !== b.type || b.type !== c.type) throw new TypeError(`fma: ${a.type}, ${b.type}, ${c.type}`);
  return { kind: "fma", type: a.type as "f32x4", a, b, c };
}
/** The same of whole numbers that are exact, as is what becomes of them. */
export const wholeFma = (a: Expr, b: Expr, c: Expr): Expr => ({ ...(fma(a, b, c) as Expr & { kind: "fma" }), whole: true });
export const dot = (a: Expr, b: Expr): Expr => ({ kind: "dot", type: "i32x4", a, b });
export const dot4 = (a: Expr, b: Expr): Expr => ({ kind: "dot4", type: "i32", a, b });
export const team = (of: TeamValue): Expr => ({ kind: "team", type: "i32", of });
export const dotBytes = (a: Expr, b: Expr, c: Expr, read: ByteReading): Expr => ({ kind: "dot_bytes", type: "i32x4", read, a, b, c });
export const dotPairs = (a: Expr, b: Expr, small = false): Expr => ({ kind: "dot_pairs", type: "i16x8", small, a, b });
export const narrow = (to: "i16" | "i8" | "u8", a: Expr, b: Expr): Expr => ({
  kind: "narrow",
  type: to === "i16" ? "i16x8" : "i8x16",
  to,
  a,
  b,
});
export const call = (type: ValueType, name: string, args: readonly Expr[]): Expr => ({ kind: "call", type, name, args });

export const let_ = (name: string, value: Expr): Stmt => ({ kind: "let", name, value });
export const set = (name: string, value: Expr): Stmt => ({ kind: "set", name, value });
export function store(memory: MemoryType, ptr: Expr, value: Expr, offset = 0): Stmt {
  if (ptr.type !== "ptr" || value.type !== LOADED[memory]) throw new TypeError(`store of ${value.type} as ${memory} through ${ptr.type}`);
  return { kind: "store", memory, ptr, offset, value };
}
export const for_ = (name: string, from: Expr, to: Expr, body: readonly Stmt[], step = 1, parallel?: number): Stmt => ({
  kind: "for",
  name,
  from,
  to,
  step,
  ...(parallel === undefined ? {} : { parallel }),
  body,
});
/** A block that one thread of a team runs; it stands beside others, or beside parallel loops. */
export const section = (name: string, body: readonly Stmt[], cost: number): Stmt => for_(name, i32(0), i32(1), body, 1, cost);
export const barrier: Stmt = { kind: "barrier" };
export const swap = (name: string, by: Expr): Stmt => ({ kind: "swap", name, by });
export const repeat = (body: readonly Stmt[], again: Expr): Stmt => ({ kind: "repeat", body, again });
export const while_ = (cond: Expr, body: readonly Stmt[]): Stmt => ({ kind: "while", cond, body });
export const if_ = (cond: Expr, then: readonly Stmt[], otherwise: readonly Stmt[] = []): Stmt => ({
  kind: "if",
  cond,
  then,
  else: otherwise,
});
export const callStmt = (name: string, args: readonly Expr[]): Stmt => ({ kind: "call", name, args });
export const assert = (cond: Expr, fault: number): Stmt => ({ kind: "assert", cond, fault });

export const pointer = (name: string, access: PointerParam["access"], bytes: number): Param => ({ name, type: "ptr", access, bytes });
