// What every scalar operator means, on JavaScript values. Both interpreters, folding and the tests of every backend rest on this file.

import { fromF16, toF16 } from "./f16.ts";
import { atan2, erf, roundEven } from "./maths.ts";
import type { BinaryOp, CompareOp, NarrowType, ScalarType, UnaryOp } from "./types.ts";

/** i64 and u64 are bigint; bool is 0 or 1; everything else a number already rounded to its type. */
export type ScalarValue = number | bigint;

const FLOAT_UNARY: Readonly<Record<Exclude<UnaryOp, "not">, (x: number) => number>> = {
  neg: (x) => -x,
  abs: Math.abs,
  sqrt: Math.sqrt,
  floor: Math.floor,
  ceil: Math.ceil,
  trunc: Math.trunc,
  round_even: roundEven,
  exp: Math.exp,
  log: Math.log,
  sin: Math.sin,
  cos: Math.cos,
  tan: Math.tan,
  asin: Math.asin,
  acos: Math.acos,
  atan: Math.atan,
  sinh: Math.sinh,
  cosh: Math.cosh,
  tanh: Math.tanh,
  asinh: Math.asinh,
  acosh: Math.acosh,
  atanh: Math.atanh,
  erf,
};

/** Brings a mathematical result into the range of `type`: rounds to f32, wraps integers. */
export function normalize(type: ScalarType, x: ScalarValue): ScalarValue {
  switch (type) {
    case "f32":
      return Math.fround(x as number);
    case "f64":
      return x;
    case "i32":
      return (x as number) | 0;
    case "u32":
      return (x as number) >>> 0;
    case "i64":
      return BigInt.asIntN(64, x as bigint);
    case "u64":
      return BigInt.asUintN(64, x as bigint);
    case "bool":
      return x ? 1 : 0;
  }
}

export function unary(op: UnaryOp, type: ScalarType, x: ScalarValue): ScalarValue {
  if (op === "not") return type === "bool" ? (x ? 0 : 1) : normalize(type, ~x);
  if (typeof x === "bigint") {
    if (op === "neg") return normalize(type, -x);
    if (op === "abs") return normalize(type, x < 0n ? -x : x);
    return x;
  }
  return normalize(type, FLOAT_UNARY[op](x));
}

function bigBinary(op: BinaryOp, a: bigint, b: bigint, bits = 64n): bigint {
  switch (op) {
    case "add":
      return a + b;
    case "sub":
      return a - b;
    case "mul":
      return a * b;
    case "div":
      return b === 0n ? 0n : a / b;
    case "rem":
      return b === 0n ? 0n : a % b;
    case "min":
      return a < b ? a : b;
    case "max":
      return a > b ? a : b;
    case "and":
      return a & b;
    case "or":
      return a | b;
    case "xor":
      return a ^ b;
    case "shl":
      return b < 0n || b >= bits ? 0n : a << b;
    case "shr":
      return b < 0n || b >= bits ? (a < 0n ? -1n : 0n) : a >> b;
    case "pow":
      return integerPower(a, b);
    case "atan2":
      return 0n;
  }
}

/** Integer power by squaring, modulo 2^64; a negative exponent truncates the reciprocal. */
export function integerPower(a: bigint, b: bigint): bigint {
  if (b < 0n) return a === 1n ? 1n : a === -1n ? (b % 2n === 0n ? 1n : -1n) : 0n;
  let result = 1n;
  for (let e = b, base = a; e > 0n; e >>= 1n, base = BigInt.asIntN(64, base * base)) {
    if (e & 1n) result = BigInt.asIntN(64, result * base);
  }
  return result;
}

function floatBinary(op: BinaryOp, a: number, b: number): number {
  switch (op) {
    case "add":
      return a + b;
    case "sub":
      return a - b;
    case "mul":
      return a * b;
    case "div":
      return a / b;
    case "rem":
      return a % b;
    case "min":
      return Math.min(a, b);
    case "max":
      return Math.max(a, b);
    case "pow":
      return Math.abs(a) === 1 && !Number.isFinite(b) && !Number.isNaN(b) ? 1 : a === 1 ? 1 : a ** b; // C99, not JavaScript
    case "atan2":
      return atan2(a, b);
    default:
      throw new Error(`${op} is not defined on floats`);
  }
}

function wordBinary(op: BinaryOp, a: number, b: number, signed: boolean): number {
  switch (op) {
    case "add":
      return a + b;
    case "sub":
      return a - b;
    case "mul":
      return Math.imul(a, b);
    case "div":
      return b === 0 ? 0 : Math.trunc(a / b);
    case "rem":
      return b === 0 ? 0 : a % b;
    case "min":
      return Math.min(a, b);
    case "max":
      return Math.max(a, b);
    case "and":
      return a & b;
    case "or":
      return a | b;
    case "xor":
      return a ^ b;
    case "shl":
      return b < 0 || b >= 32 ? 0 : a << b;
    case "shr":
      return signed ? a >> (b < 0 || b >= 32 ? 31 : b) : b < 0 || b >= 32 ? 0 : a >>> b;
    case "pow":
      return Number(BigInt.asIntN(32, integerPower(BigInt(a), BigInt(b))));
    case "atan2":
      return 0;
  }
}

export function binary(op: BinaryOp, type: ScalarType, a: ScalarValue, b: ScalarValue): ScalarValue {
  if (typeof a === "bigint" || typeof b === "bigint") return normalize(type, bigBinary(op, a as bigint, b as bigint));
  if (type === "f32" || type === "f64") return normalize(type, floatBinary(op, a, b));
  return normalize(type, wordBinary(op, a, b, type === "i32"));
}

export function compare(op: CompareOp, a: ScalarValue, b: ScalarValue): 0 | 1 {
  switch (op) {
    case "eq":
      return a === b ? 1 : 0;
    case "ne":
      return a !== b ? 1 : 0;
    case "lt":
      return a < b ? 1 : 0;
    case "le":
      return a <= b ? 1 : 0;
    case "gt":
      return a > b ? 1 : 0;
    case "ge":
      return a >= b ? 1 : 0;
  }
}

const RANGE: Readonly<Record<"i32" | "u32" | "i64" | "u64", readonly [bigint, bigint]>> = {
  i32: [-(1n << 31n), (1n << 31n) - 1n],
  u32: [0n, (1n << 32n) - 1n],
  i64: [-(1n << 63n), (1n << 63n) - 1n],
  u64: [0n, (1n << 64n) - 1n],
};

/** Truncates and saturates, as WebAssembly's `trunc_sat` does; NaN gives 0. */
function saturate(to: "i32" | "u32" | "i64" | "u64", x: number): bigint {
  const [low, high] = RANGE[to];
  if (Number.isNaN(x)) return 0n;
  if (x <= Number(low)) return low;
  if (x >= Number(high)) return high;
  return BigInt(Math.trunc(x));
}

export function cast(from: ScalarType, to: ScalarType, x: ScalarValue): ScalarValue {
  if (to === "bool") return x || Number.isNaN(x) ? 1 : 0;
  if (to === "f32" || to === "f64") return normalize(to, Number(x));
  if (from === "f32" || from === "f64") {
    const whole = saturate(to, x as number);
    return to === "i64" || to === "u64" ? whole : Number(whole);
  }
  if (to === "i64" || to === "u64") return normalize(to, BigInt(x));
  return Number(to === "i32" ? BigInt.asIntN(32, BigInt(x)) : BigInt.asUintN(32, BigInt(x)));
}

const scratch = new DataView(new ArrayBuffer(8));

const WRITE: Readonly<Record<ScalarType, (x: ScalarValue) => void>> = {
  bool: (x) => scratch.setInt32(0, x ? 1 : 0, true),
  i32: (x) => scratch.setInt32(0, x as number, true),
  u32: (x) => scratch.setUint32(0, x as number, true),
  f32: (x) => scratch.setFloat32(0, x as number, true),
  i64: (x) => scratch.setBigInt64(0, x as bigint, true),
  u64: (x) => scratch.setBigUint64(0, x as bigint, true),
  f64: (x) => scratch.setFloat64(0, x as number, true),
};
const READ: Readonly<Record<ScalarType, () => ScalarValue>> = {
  bool: () => (scratch.getInt32(0, true) ? 1 : 0),
  i32: () => scratch.getInt32(0, true),
  u32: () => scratch.getUint32(0, true),
  f32: () => scratch.getFloat32(0, true),
  i64: () => scratch.getBigInt64(0, true),
  u64: () => scratch.getBigUint64(0, true),
  f64: () => scratch.getFloat64(0, true),
};

export function bitcast(from: ScalarType, to: ScalarType, x: ScalarValue): ScalarValue {
  WRITE[from](x);
  return READ[to]();
}

const WRAP: Readonly<Record<NarrowType, (x: number) => number>> = {
  i4: (x) => (x << 28) >> 28,
  u4: (x) => x & 15,
  i8: (x) => (x << 24) >> 24,
  u8: (x) => x & 255,
  i16: (x) => (x << 16) >> 16,
  u16: (x) => x & 65535,
  f16: (x) => fromF16(toF16(x)),
};
export const wrap = (to: NarrowType, x: ScalarValue): number => WRAP[to](x as number);
