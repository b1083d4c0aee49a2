// What the f32 library is written in, for f32 and f32x4 alike. NaN, infinity and zero are told apart by bits: a target may assume that
// floats are finite. Nothing rests on a correctly rounded division or root, nor on whether a * b + c is rounded once or twice.

import * as k from "../../../../ir/kernel/build.ts";
import { type Expr, isVector } from "../../../../ir/kernel/types.ts";
import { type Body, literal } from "../../define.ts";

/** A number stands for a constant of the other operand's type. */
type Operand = Expr | number;
type Combine = (a: Expr, b: Expr) => Expr;
type Lifted = (a: Operand, b: Operand) => Expr;

const typed = (x: Operand, other: Operand): Expr => (typeof x === "number" ? literal((other as Expr).type, x) : x);
const lifted =
  (combine: Combine): Lifted =>
  (a, b) =>
    combine(typed(a, b), typed(b, a));

export const add = lifted(k.add);
export const sub = lifted(k.sub);
export const mul = lifted(k.mul);
export const div = lifted(k.div);
export const and = lifted(k.and);
export const or = lifted(k.or);
export const xor = lifted((a, b) => k.binary("xor", a, b));
export const shl = lifted((a, b) => k.binary("shl", a, b));
export const shr = lifted((a, b) => k.binary("shr", a, b));
export const eq = lifted((a, b) => k.compare("eq", a, b));
export const ne = lifted((a, b) => k.compare("ne", a, b));
export const lt = lifted(k.lt);
export const gt = lifted((a, b) => k.compare("gt", a, b));
export const ge = lifted((a, b) => k.compare("ge", a, b));
export const select = (cond: Expr, a: Operand, b: Operand): Expr => k.select(cond, typed(a, b), typed(b, a));
export const fma = (a: Expr, b: Operand, c: Operand): Expr => k.fma(a, typed(b, a), typed(c, a));
export const floor = (x: Expr): Expr => k.unary("floor", x);
const sqrt = (x: Expr): Expr => k.unary("sqrt", x);

/** Horner's rule: `coefficients` from the constant term up. */
export const polynomial = (x: Expr, coefficients: readonly number[]): Expr =>
  coefficients.map((c) => literal(x.type, c)).reduceRight((sum, c) => k.fma(sum, x, c));

export const bits = (x: Expr): Expr => k.bitcast(isVector(x.type) ? "i32x4" : "i32", x);
export const float = (x: Expr): Expr => k.bitcast(isVector(x.type) ? "f32x4" : "f32", x);
export const toInteger = (x: Expr): Expr => k.cast(isVector(x.type) ? "i32x4" : "i32", x);
export const toFloat = (x: Expr): Expr => k.cast(isVector(x.type) ? "f32x4" : "f32", x);

/** Bits of 1, of infinity (with the sign, -INF), of a NaN and of the sign. */
export const ONE = 0x3f800000;
export const INF = 0x7f800000;
export const NAN = 0x7fc00000;
export const SIGN = -0x80000000;

/** The bits of |x|, which order as integers as the floats do: above `INF` is a NaN. */
export const magnitude = (x: Expr): Expr => and(bits(x), 0x7fffffff);
export const signOf = (x: Expr): Expr => and(bits(x), SIGN);
export const isNan = (x: Expr): Expr => gt(magnitude(x), INF);

/** The first of `cases` that holds, as bits, else `otherwise`: one float at the end, for no float operation may see a NaN. */
export const firstOf = (cases: readonly (readonly [cond: Expr, bits: Operand])[], otherwise: Expr): Expr =>
  float(cases.reduceRight((rest, [cond, value]) => select(cond, value, rest), bits(otherwise)));

/** `limit` for a NaN. */
export const atMost = (x: Expr, limit: number): Expr => select(lt(x, limit), x, limit);
export const atLeast = (x: Expr, limit: number): Expr => select(gt(x, limit), x, limit);

/** The upper 12 bits of a float's 24, so that products of two such are exact. */
export const upper = (x: Expr): Expr => float(and(bits(x), -0x1000));

/** sqrt x to 1 ulp, for 0 <= x below 2^100, of a root that is right to a few: what is left of x after an exact square, by twice the root. */
export function root(body: Body, x: Expr): Expr {
  const near = body.name(sqrt(x));
  const high = body.name(upper(near));
  return add(high, div(sub(x, mul(high, high)), atLeast(add(near, high), 2 ** -60)));
}

/** y 2^n by adding to the exponent, where it stays in the range of normal floats. */
export const raise = (y: Expr, n: Expr): Expr => float(add(bits(y), shl(n, 23)));
/** y 2^n for y near 1 and any n in [-160, 128], rounded once where it is subnormal. */
export function scale(body: Body, y: Expr, n: Expr): Expr {
  const half = body.name(shr(n, 1));
  return mul(raise(y, half), float(shl(add(sub(n, half), 127), 23)));
}
