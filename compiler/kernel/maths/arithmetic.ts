// What the mathematical functions are written in: polynomials, powers of two, signs, exact products.

import * as k from "../../../ir/kernel/build.ts";
import type { Expr } from "../../../ir/kernel/types.ts";
import { type Body, literal } from "../define.ts";

export const f64 = (x: number): Expr => k.constant("f64", x);
export const wide = (x: Expr): Expr => k.cast("f64", x);
export const abs = (x: Expr): Expr => k.unary("abs", x);
export const neg = (x: Expr): Expr => k.unary("neg", x);
export const sqrt = (x: Expr): Expr => k.unary("sqrt", x);
export const gt = (a: Expr, b: Expr): Expr => k.compare("gt", a, b);
export const ge = (a: Expr, b: Expr): Expr => k.compare("ge", a, b);
export const eq = (a: Expr, b: Expr): Expr => k.compare("eq", a, b);

/** Horner's rule: `coefficients` from the constant term up. `fma` keeps the speed of vectors; scalars multiply and add. */
export function polynomial(x: Expr, coefficients: readonly number[]): Expr {
  const vector = x.type === "f32x4";
  const step = (sum: Expr, c: Expr): Expr => (vector ? k.fma(sum, x, c) : k.add(k.mul(sum, x), c));
  const constants = coefficients.map((c) => literal(x.type, c));
  return constants.reduceRight(step);
}

/** 2^n as an f64, for an i32 n in -126..127, by way of f32: no 64-bit integers, which are slow in JavaScript. */
export const powerOfTwo = (n: Expr): Expr => wide(k.bitcast("f32", k.binary("shl", k.add(n, k.i32(127)), k.i32(23))));

/** Whether the sign bit of a float that is no NaN is set. */
export const isNegative = (x: Expr): Expr => k.or(k.lt(x, f64(0)), k.lt(k.div(f64(1), x), f64(0)));

/** The value of an odd function at `x`, given its value at |x|: keeps the sign of zero. */
export const odd = (x: Expr, atAbs: Expr): Expr => k.select(k.lt(x, f64(0)), neg(atAbs), k.select(eq(x, f64(0)), x, atAbs));

/** a * b = high + low exactly (Dekker's product), for operands below 2^970. */
export function exactProduct(body: Body, a: Expr, b: Expr): readonly [high: Expr, low: Expr] {
  const split = (x: Expr): readonly [Expr, Expr] => {
    const scaled = body.name(k.mul(x, f64(134217729)));
    const high = body.name(k.sub(scaled, k.sub(scaled, x)));
    return [high, body.name(k.sub(x, high))];
  };
  const [[ah, al], [bh, bl]] = [split(a), split(b)];
  const high = body.name(k.mul(a, b));
  const low = k.add(k.add(k.add(k.sub(k.mul(ah, bh), high), k.mul(ah, bl)), k.mul(al, bh)), k.mul(al, bl));
  return [high, body.name(low)];
}
