// Tables of WebAssembly text instructions for kernel types and operators.

import { isVector, type MemoryType, type PackedType, type ValueType, type VectorType } from "../../ir/kernel/types.ts";
import type { BinaryOp, CompareOp, ScalarType, UnaryOp } from "../../ir/scalar/types.ts";

export type WasmType = "i32" | "i64" | "f32" | "f64" | "v128";

const WASM_TYPE: Readonly<Record<ScalarType | "ptr", Exclude<WasmType, "v128">>> = {
  bool: "i32",
  i32: "i32",
  u32: "i32",
  ptr: "i32",
  i64: "i64",
  u64: "i64",
  f32: "f32",
  f64: "f64",
};
export const wasmType = (t: ValueType): WasmType => (isVector(t) ? "v128" : WASM_TYPE[t]);

export const isSigned = (t: ValueType): boolean => t === "i32" || t === "i64";
const isFloat = (t: ValueType): boolean => t === "f32" || t === "f64" || t === "f32x4" || t === "f64x2";

/** Float operators on scalars; the others are legalised away or take several instructions. */
export const FLOAT_UNARY: Readonly<Partial<Record<UnaryOp, string>>> = {
  neg: "neg",
  abs: "abs",
  sqrt: "sqrt",
  floor: "floor",
  ceil: "ceil",
  trunc: "trunc",
  round_even: "nearest",
};
export const FLOAT_BINARY: Readonly<Partial<Record<BinaryOp, string>>> = {
  add: "add",
  sub: "sub",
  mul: "mul",
  div: "div",
  min: "min",
  max: "max",
};

/** Integer operators of one instruction; `div`, `rem`, `min`, `max` and shifts need more. */
export const INT_BINARY: Readonly<Partial<Record<BinaryOp, string>>> = {
  add: "add",
  sub: "sub",
  mul: "mul",
  and: "and",
  or: "or",
  xor: "xor",
};

export function vectorUnary(op: UnaryOp, t: VectorType): string | undefined {
  if (op === "not") return "v128.not";
  if (op === "neg" || op === "abs") return `${t}.${op}`;
  const name = FLOAT_UNARY[op];
  return isFloat(t) && name ? `${t}.${name}` : undefined;
}

export function vectorBinary(op: BinaryOp, t: VectorType): string | undefined {
  if (isFloat(t)) return FLOAT_BINARY[op] && `${t}.${FLOAT_BINARY[op]}`;
  switch (op) {
    case "and":
    case "or":
    case "xor":
      return `v128.${op}`;
    case "add":
    case "sub":
    case "shl":
      return `${t}.${op}`;
    case "shr":
      return `${t}.shr_s`;
    case "mul":
      return t === "i8x16" ? undefined : `${t}.mul`;
    case "min":
    case "max":
      return t === "i64x2" ? undefined : `${t}.${op}_s`;
    default:
      return undefined;
  }
}

export function compareInstruction(op: CompareOp, t: ValueType): string {
  const prefix = isVector(t) ? t : wasmType(t);
  if (op === "eq" || op === "ne" || isFloat(t)) return `${prefix}.${op}`;
  return `${prefix}.${op}_${isVector(t) || isSigned(t) ? "s" : "u"}`;
}

export const LOAD: Readonly<Record<Exclude<MemoryType, "f16" | PackedType>, string>> = {
  i8: "i32.load8_s",
  u8: "i32.load8_u",
  bool: "i32.load8_u",
  i16: "i32.load16_s",
  u16: "i32.load16_u",
  i32: "i32.load",
  u32: "i32.load",
  i64: "i64.load",
  u64: "i64.load",
  f32: "f32.load",
  f64: "f64.load",
  i8x16: "v128.load",
  i16x8: "v128.load",
  i32x4: "v128.load",
  i64x2: "v128.load",
  f32x4: "v128.load",
  f64x2: "v128.load",
};
export const STORE: Readonly<Record<Exclude<MemoryType, "f16" | PackedType>, string>> = {
  i8: "i32.store8",
  u8: "i32.store8",
  bool: "i32.store8",
  i16: "i32.store16",
  u16: "i32.store16",
  i32: "i32.store",
  u32: "i32.store",
  i64: "i64.store",
  u64: "i64.store",
  f32: "f32.store",
  f64: "f64.store",
  i8x16: "v128.store",
  i16x8: "v128.store",
  i32x4: "v128.store",
  i64x2: "v128.store",
  f32x4: "v128.store",
  f64x2: "v128.store",
};
/** Memory types whose load a splat to `t`, or a lane of `t`, takes in with one instruction; narrow ones whatever their sign. */
export const LANE_MEMORY: Readonly<Record<VectorType, readonly MemoryType[]>> = {
  i8x16: ["i8", "u8"],
  i16x8: ["i16", "u16"],
  i32x4: ["i32"],
  i64x2: ["i64"],
  f32x4: ["f32"],
  f64x2: ["f64"],
};
export const LANE_BITS: Readonly<Record<VectorType, number>> = { i8x16: 8, i16x8: 16, i32x4: 32, i64x2: 64, f32x4: 32, f64x2: 64 };

/** WebAssembly text of a number, exact: the shortest decimal that reads back as the same double also rounds to the same f32. */
export function literal(value: number | bigint): string {
  if (typeof value === "bigint") return value.toString();
  if (Number.isNaN(value)) return "nan";
  if (!Number.isFinite(value)) return value > 0 ? "inf" : "-inf";
  return Object.is(value, -0) ? "-0" : String(value);
}

/** Numeric conversions between scalars; "" where the bits stay. */
export function castInstruction(from: ScalarType, to: ScalarType): readonly string[] {
  const [a, b] = [WASM_TYPE[from], WASM_TYPE[to]];
  const sign = from === "i32" || from === "i64" ? "s" : "u";
  if (a === b) return [];
  if (b === "i32" && a === "i64") return ["i32.wrap_i64"];
  if (b === "i64" && a === "i32") return [`i64.extend_i32_${sign}`];
  if (b === "f32" && a === "f64") return ["f32.demote_f64"];
  if (b === "f64" && a === "f32") return ["f64.promote_f32"];
  // Through f64, as JavaScript numbers go: the two roundings are part of the meaning.
  if (b === "f32" && a === "i64") return ["f32.demote_f64", `f64.convert_i64_${sign}`];
  if (b === "f32" || b === "f64") return [`${b}.convert_${a}_${sign}`];
  return [`${b}.trunc_sat_${a}_${to === "i32" || to === "i64" ? "s" : "u"}`];
}
