// Constructors of tensor-level scalars for writing `compute` functions: a plain number takes the type of the operand beside it.

import * as build from "./build.ts";
import type { Scalar } from "./scalar.ts";
import type { BinaryOp, CompareOp, ScalarType, UnaryOp } from "./types.ts";

/** A scalar, or a number that takes its type from the other operand (i32 where both are numbers). */
export type Operand = Scalar | number;

function pair(a: Operand, b: Operand): readonly [Scalar, Scalar] {
  const type = typeof a !== "number" ? a.type : typeof b !== "number" ? b.type : "i32";
  const of = (x: Operand): Scalar => (typeof x === "number" ? build.constant(type, x) : x);
  return [of(a), of(b)];
}
const binary =
  (op: BinaryOp) =>
  (a: Operand, b: Operand): Scalar =>
    build.binaryOp<Scalar>(op, ...pair(a, b));
const compare =
  (op: CompareOp) =>
  (a: Operand, b: Operand): Scalar =>
    build.compare<Scalar>(op, ...pair(a, b));
const unary =
  (op: UnaryOp) =>
  (a: Scalar): Scalar =>
    build.unary<Scalar>(op, a);

export const add = binary("add");
export const sub = binary("sub");
export const mul = binary("mul");
export const div = binary("div");
export const rem = binary("rem");
export const min = binary("min");
export const max = binary("max");
export const pow = binary("pow");
export const and = binary("and");
export const or = binary("or");
export const eq = compare("eq");
export const lt = compare("lt");
export const le = compare("le");
export const gt = compare("gt");
export const ge = compare("ge");
export const abs = unary("abs");
export const floor = unary("floor");
export const ceil = unary("ceil");
export const roundEven = unary("round_even");
export const trunc = unary("trunc");
export const not = unary("not");

export const select = (cond: Scalar, a: Operand, b: Operand): Scalar => build.select<Scalar>(cond, ...pair(a, b));
export const cast = (type: ScalarType, a: Scalar): Scalar => build.cast<Scalar>(type, a);
export const literal = (type: ScalarType, value: number): Scalar => build.constant(type, value);

export const clamp = (x: Operand, low: Operand, high: Operand): Scalar => min(max(x, low), high);
/** Whether `low <= x < high`. */
export const within = (x: Operand, low: Operand, high: Operand): Scalar => and(ge(x, low), lt(x, high));
export const all = (conditions: readonly Scalar[]): Scalar => conditions.reduce((a, b) => and(a, b), build.bool(true) as Scalar);
export const product = (factors: readonly Scalar[]): Scalar => factors.reduce((a, b) => mul(a, b));
