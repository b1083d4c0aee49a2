// pow in f32 alone: the logarithm as a sum of two floats, whose products with the halves of the exponent are exact.

import * as k from "../../../../ir/kernel/build.ts";
import type { Expr, Func } from "../../../../ir/kernel/types.ts";
import { type Body, define } from "../../define.ts";
import { LN2 } from "../vector.ts";
import {
  add,
  atLeast,
  atMost,
  bits,
  div,
  eq,
  firstOf,
  float,
  floor,
  fma,
  ge,
  gt,
  INF,
  isNan,
  lt,
  magnitude,
  mul,
  NAN,
  ne,
  ONE,
  or,
  polynomial,
  SIGN,
  scale,
  select,
  signOf,
  sub,
  toInteger,
  upper,
} from "./arithmetic.ts";
import { decompose } from "./exponential.ts";

/** (log((1 + s) / (1 - s)) - 2s) / s^3 / ln 2 in z = s^2, for |s| <= 3 - 2 sqrt(2), to 1.7e-9. */
const LOG2 = [0.9617966923077107, 0.5770797741324262, 0.41190127604495835, 0.33658749354584083];
/** 2 / ln 2 in two parts, the first of 12 bits. */
const TWO_OVER_LN2 = [2.884765625, 0.0006244567779268147] as const;
/** (2^r - 1 - r ln 2) / r^2 for |r| <= 1/2, to 7e-10. */
const EXP2 = [
  0.24022650760568126, 0.055504108714600736, 0.009618082557277852, 0.0013333522307609031, 0.0001545316294512069, 1.52909485499206e-5,
];

/** log2 of a positive finite x as a sum of two floats, the first of 12 bits, to 2^-29 of it. */
function preciseLog2(body: Body, x: Expr): readonly [Expr, Expr] {
  const { f, n } = decompose(body, x);
  const d = body.name(add(f, 2));
  const dHigh = body.name(upper(d));
  const dLow = sub(f, sub(dHigh, 2));
  // f / d as a sum of two floats, whatever quotients are rounded to: what is left of f after an exact product, by d.
  const high = body.name(upper(div(f, d)));
  const low = body.name(div(sub(sub(f, mul(high, dHigh)), mul(high, dLow)), d));
  const s = body.name(add(high, low));
  const z = body.name(mul(s, s));
  const tail = fma(mul(s, z), polynomial(z, LOG2), mul(low, TWO_OVER_LN2[0] + TWO_OVER_LN2[1]));
  const product = body.name(mul(high, TWO_OVER_LN2[0]));
  const rest = body.name(fma(high, TWO_OVER_LN2[1], tail));
  const first = body.name(upper(add(n, add(product, rest))));
  return [first, body.name(add(add(sub(n, first), product), rest))];
}

/** |x|^y for a finite positive |x| and |y| <= 2^33. */
function powerOf(body: Body, x: Expr, y: Expr): Expr {
  const [high, low] = preciseLog2(body, x);
  const yHigh = body.name(upper(y));
  const product = body.name(mul(yHigh, high));
  const rest = body.name(fma(sub(y, yHigh), high, mul(y, low)));
  const total = body.name(add(product, rest));
  const n = body.name(floor(add(atMost(atLeast(total, -155), 128), 0.5)));
  // 2^(total - n) = 1 + r ln 2 + ..., whose first two terms are exact for the part of r above 2^-10.
  const whole = body.name(sub(product, n));
  const rHigh = body.name(mul(floor(fma(add(whole, rest), 1024, 0.5)), 2 ** -10));
  const rLow = body.name(add(sub(whole, rHigh), rest));
  const r = body.name(add(rHigh, rLow));
  const small = fma(mul(r, r), polynomial(r, EXP2), fma(rLow, Math.LN2, mul(rHigh, LN2[1])));
  const value = add(fma(rHigh, LN2[0], 1), small);
  return firstOf(
    [
      [ge(add(sub(product, 128), rest), 0), INF],
      [lt(total, -151), 0],
    ],
    scale(body, body.name(value), body.name(toInteger(n))),
  );
}

const pow = define("math_pow_f32", "a^b to 3e-7 of it, to 1 ulp where b is small, as C's pow", ["f32", "f32"], (body, a, b) => {
  const [x, y] = [body.name(magnitude(a)), body.name(magnitude(b))];
  // Beyond 2^33 every |a| but 1 has over- or underflowed.
  const limited = body.name(float(select(gt(y, 0x50000000), or(signOf(b), 0x50000000), bits(b))));
  const half = mul(limited, 0.5);
  const whole = body.name(eq(floor(limited), limited));
  const isOdd = k.and(whole, ne(floor(half), half));
  const negative = body.name(lt(bits(a), 0));
  const finite = body.name(k.and(gt(x, 0), lt(x, INF)));
  const extreme = k.select(k.compare("eq", eq(x, 0), lt(bits(b), 0)), k.i32(INF), k.i32(0));
  const value = body.name(k.select(finite, bits(powerOf(body, float(x), limited)), extreme));
  const sign = select(k.and(negative, isOdd), k.i32(SIGN), 0);
  return firstOf(
    [
      [k.or(eq(y, 0), eq(bits(a), ONE)), ONE],
      [k.or(isNan(a), isNan(b)), NAN],
      [k.and(k.and(negative, finite), k.unary("not", whole)), NAN],
    ],
    float(or(value, sign)),
  );
});

export const power: readonly Func[] = [pow];
