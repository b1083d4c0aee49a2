// Constructors of the pure expression kinds, shared by tensor-level scalars and kernel expressions: they check types and fold the obvious.

import { binary, cast as castValue, compare as compareValue, normalize, unary as unaryValue } from "./evaluate.ts";
import type {
  Binary,
  BinaryOp,
  Bitcast,
  Cast,
  Compare,
  CompareOp,
  Const,
  NarrowType,
  ScalarType,
  Select,
  Unary,
  UnaryOp,
  Wrap,
} from "./types.ts";
import { isBigType } from "./types.ts";

interface Typed {
  readonly kind: string;
  readonly type: string;
}

const isConst = (e: Typed): e is Const => e.kind === "const";
const scalarOf = (t: string): ScalarType | undefined => (SCALARS.has(t) ? (t as ScalarType) : undefined);
const SCALARS: ReadonlySet<string> = new Set(["bool", "i32", "u32", "i64", "u64", "f32", "f64"]);
const isInt = (t: string): boolean => t === "i32" || t === "u32" || t === "i64" || t === "u64";

/** A constant of a scalar type; integers are wrapped, f32 rounded. */
export const constant = (type: ScalarType, value: number | bigint | boolean): Const => ({
  kind: "const",
  type,
  value: normalize(type, isBigType(type) ? BigInt(value) : Number(value)),
});
export const i32 = (value: number): Const => constant("i32", value);
export const f32 = (value: number): Const => constant("f32", value);
export const f64 = (value: number): Const => constant("f64", value);
export const bool = (value: boolean): Const => constant("bool", value);

const is = (e: Typed, value: number): boolean => isConst(e) && Number(e.value) === value;

function sameType(op: string, a: Typed, b: Typed): void {
  if (a.type !== b.type) throw new TypeError(`${op}: operands of types ${a.type} and ${b.type}`);
}

export function unary<E extends Typed>(op: UnaryOp, a: E): Unary<E> | Const {
  const type = a.type as ScalarType;
  if (isConst(a)) return { kind: "const", type, value: unaryValue(op, type, a.value) };
  return { kind: "unary", type, op, a };
}

/** Integer identities only: on floats `x + 0` and `x * 0` are not exact. */
function simplified<E extends Typed>(op: BinaryOp, a: E, b: E): E | Const | undefined {
  const type = scalarOf(a.type);
  if (!type) return undefined;
  if (isConst(a) && isConst(b)) return { kind: "const", type, value: binary(op, type, a.value, b.value) };
  if (!isInt(type)) return undefined;
  if (op === "add") return is(a, 0) ? b : is(b, 0) ? a : undefined;
  if (op === "sub") return is(b, 0) ? a : undefined;
  if (op === "mul") return is(a, 0) || is(b, 0) ? constant(type, 0) : is(a, 1) ? b : is(b, 1) ? a : undefined;
  if (op === "div") return is(b, 1) ? a : undefined;
  if (op === "rem") return is(b, 1) ? constant(type, 0) : undefined;
  return undefined;
}

export function binaryOp<E extends Typed>(op: BinaryOp, a: E, b: E): E | Binary<E> | Const {
  sameType(op, a, b);
  return simplified(op, a, b) ?? { kind: "binary", type: a.type as ScalarType, op, a, b };
}

/** Compares numbers to a bool, vectors to a lane mask of the integer vector of the same shape. */
export function compare<E extends Typed>(op: CompareOp, a: E, b: E): Compare<E> | Const {
  sameType(op, a, b);
  if (isConst(a) && isConst(b)) return { kind: "const", type: "bool", value: compareValue(op, a.value, b.value) };
  const mask: Readonly<Record<string, string>> = {
    f32x4: "i32x4",
    i32x4: "i32x4",
    i64x2: "i64x2",
    f64x2: "i64x2",
    i8x16: "i8x16",
    i16x8: "i16x8",
  };
  return { kind: "compare", type: (mask[a.type] ?? "bool") as ScalarType, op, a, b };
}

/** `cond ? a : b`; on scalars of the tensor level only the chosen side is read. */
export function select<E extends Typed>(cond: E, a: E, b: E): E | Select<E> {
  sameType("select", a, b);
  if (isConst(cond)) return cond.value ? a : b;
  return { kind: "select", type: a.type as ScalarType, cond, a, b };
}

export function cast<E extends Typed>(type: ScalarType, a: E): E | Cast<E> | Const {
  if (a.type === type) return a;
  if (isConst(a)) return { kind: "const", type, value: castValue(a.type, type, a.value) };
  return { kind: "cast", type, a };
}

export const bitcast = <E extends Typed>(type: ScalarType, a: E): Bitcast<E> => ({ kind: "bitcast", type, a });
export const wrap = <E extends Typed>(to: NarrowType, a: E): Wrap<E> => ({ kind: "wrap", type: a.type as ScalarType, to, a });

export const add = <E extends Typed>(a: E, b: E) => binaryOp("add", a, b);
export const sub = <E extends Typed>(a: E, b: E) => binaryOp("sub", a, b);
export const mul = <E extends Typed>(a: E, b: E) => binaryOp("mul", a, b);
export const div = <E extends Typed>(a: E, b: E) => binaryOp("div", a, b);
export const rem = <E extends Typed>(a: E, b: E) => binaryOp("rem", a, b);
export const min = <E extends Typed>(a: E, b: E) => binaryOp("min", a, b);
export const max = <E extends Typed>(a: E, b: E) => binaryOp("max", a, b);
export const and = <E extends Typed>(a: E, b: E) => binaryOp("and", a, b);
export const or = <E extends Typed>(a: E, b: E) => binaryOp("or", a, b);
export const not = <E extends Typed>(a: E) => unary("not", a);
