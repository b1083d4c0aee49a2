// exp, log, their shifted forms and pow, in kernel IR. Polynomials are near-minimax fits computed for these intervals.

import * as k from "../../../ir/kernel/build.ts";
import type { Expr, Func } from "../../../ir/kernel/types.ts";
import { type Body, define } from "../define.ts";
import { abs, eq, exactProduct, f64, gt, isNegative, neg, polynomial, powerOfTwo, wide } from "./arithmetic.ts";

/** ln 2 in two parts; the first has 33 bits, so that its product with an exponent is exact. */
export const LN2 = [0.6931471804855391, 7.440617110012397e-11] as const;

/** (e^r - 1 - r - r^2/2) / r^3 for |r| <= ln 2 / 2, to 1e-19. */
const EXP = [
  0.16666666666666666, 0.04166666666666667, 0.008333333333333333, 0.0013888888888883752, 0.00019841269841266418, 2.480158732553351e-5,
  2.755731923994761e-6, 2.755727366116628e-7, 2.5052078014364322e-8, 2.0914679452495193e-9, 1.6084322874590522e-10,
];
/** The same to 8e-9, which leaves e^r right to 4e-10. */
const EXP_SHORT = [0.16666666666666666, 0.04166655466160214, 0.00833332089210046, 0.0013926176194609642, 0.00019882690126646612];
/** (log((1 + s) / (1 - s)) - 2s) / s^3 in z = s^2, for |s| <= 3 - 2 sqrt(2), to 2e-18. */
const LOG = [
  0.6666666666666666, 0.4000000000000088, 0.2857142857080361, 0.22222222391714783, 0.18181795640040438, 0.15386239707844115,
  0.1326877300396345, 0.13086627556452163,
];

const expTail = (r: Expr, coefficients: readonly number[]): Expr =>
  k.add(r, k.mul(k.mul(r, r), k.add(f64(0.5), k.mul(r, polynomial(r, coefficients)))));

/** x = n ln 2 + r with |r| <= ln 2 / 2, for |x| < 1e6; n as a float. */
function reduce(body: Body, x: Expr): { n: Expr; r: Expr } {
  const n = body.name(k.unary("round_even", k.mul(x, f64(Math.LOG2E))));
  return { n, r: body.name(k.sub(k.sub(x, k.mul(n, f64(LN2[0]))), k.mul(n, f64(LN2[1])))) };
}

const exp64 = define("math_exp_f64", "e^a to 1e-15", ["f64"], (body, a) => {
  const { n, r } = reduce(body, body.name(k.max(k.min(a, f64(710)), f64(-746))));
  const y = k.add(f64(1), expTail(r, EXP));
  const whole = body.name(k.cast("i32", n));
  // 2^n = 2^(n mod 16) * (2^(n div 16))^16; only the last product can round or overflow.
  const s1 = body.name(powerOfTwo(k.binary("shr", whole, k.i32(4))));
  const s2 = body.name(k.mul(s1, s1));
  const s4 = body.name(k.mul(s2, s2));
  const s8 = body.name(k.mul(s4, s4));
  return k.mul(k.mul(k.mul(y, powerOfTwo(k.and(whole, k.i32(15)))), s8), s8);
});

const exp32 = define("math_exp_f32", "e^a to 0.51 ulp", ["f32"], (body, a) => {
  const { n, r } = reduce(body, body.name(k.max(k.min(wide(a), f64(89)), f64(-104))));
  const y = k.add(f64(1), expTail(r, EXP_SHORT));
  const whole = body.name(k.cast("i32", n));
  const half = body.name(k.binary("shr", whole, k.i32(1)));
  return k.cast("f32", k.mul(k.mul(y, powerOfTwo(half)), powerOfTwo(k.sub(whole, half))));
});

/** e^x to 4e-10, inline, for -80 < x < 80. */
export function shortExp(body: Body, x: Expr): Expr {
  const { n, r } = reduce(body, x);
  return k.mul(k.add(f64(1), expTail(r, EXP_SHORT)), powerOfTwo(k.cast("i32", n)));
}

const expm1 = define("math_expm1_f64", "e^a - 1 to 1e-15", ["f64"], (_, a) =>
  k.select(k.lt(abs(a), f64(0.34)), expTail(a, EXP), k.sub(k.call("f64", "math_exp_f64", [a]), f64(1))),
);

const logReduced = define(
  "math_log_reduced",
  "log(a) + b ln 2, for a in [sqrt(1/2), sqrt(2)] and a whole b",
  ["f64", "f64"],
  (body, m, n) => {
    const f = body.name(k.sub(m, f64(1)));
    const s = body.name(k.div(f, k.add(f64(2), f)));
    const z = body.name(k.mul(s, s));
    // 2s = f - s f, so the large parts are exact.
    const correction = k.sub(k.mul(s, k.sub(f, k.mul(z, polynomial(z, LOG)))), k.mul(n, f64(LN2[1])));
    return k.add(k.mul(n, f64(LN2[0])), k.sub(f, correction));
  },
);

/** log x = `finite` for finite positive x; elsewhere as C has it. */
const withLogSpecials = (x: Expr, finite: Expr): Expr =>
  k.select(
    k.and(gt(x, f64(0)), k.lt(x, f64(Infinity))),
    finite,
    k.select(eq(x, f64(0)), f64(-Infinity), k.select(gt(x, f64(0)), x, f64(NaN))),
  );

/** The exponent and mantissa, near 1, of a finite positive f64, by its bits. */
function decompose(body: Body, x: Expr): { m: Expr; n: Expr } {
  const subnormal = body.name(k.lt(x, f64(2 ** -1022)));
  const bits = body.name(k.bitcast("i64", k.select(subnormal, k.mul(x, f64(2 ** 54)), x)));
  const high = k.cast("i32", k.binary("shr", bits, k.constant("i64", 32n)));
  const n = body.name(k.binary("shr", k.sub(high, k.i32(0x3fe6a09e)), k.i32(20)));
  const m = k.bitcast("f64", k.sub(bits, k.binary("shl", k.cast("i64", n), k.constant("i64", 52n))));
  return { m: body.name(m), n: body.name(k.cast("f64", k.sub(n, k.select(subnormal, k.i32(54), k.i32(0))))) };
}

const log64 = define("math_log_f64", "The natural logarithm to 1e-15", ["f64"], (body, a) => {
  const { m, n } = decompose(body, a);
  return withLogSpecials(a, k.call("f64", "math_log_reduced", [m, n]));
});

const logWide = define("math_log_wide", "The natural logarithm of an f32, to 1e-15", ["f32"], (body, a) => {
  const subnormal = body.name(k.lt(a, k.f32(2 ** -126)));
  const bits = body.name(k.bitcast("i32", k.select(subnormal, k.mul(a, k.f32(2 ** 24)), a)));
  const n = body.name(k.binary("shr", k.sub(bits, k.i32(0x3f3504f3)), k.i32(23)));
  const m = wide(k.bitcast("f32", k.sub(bits, k.binary("shl", n, k.i32(23)))));
  const exponent = k.cast("f64", k.sub(n, k.select(subnormal, k.i32(24), k.i32(0))));
  return withLogSpecials(body.name(wide(a)), k.call("f64", "math_log_reduced", [m, exponent]));
});

const log32 = define("math_log_f32", "The natural logarithm to 0.51 ulp", ["f32"], (_, a) =>
  k.cast("f32", k.call("f64", "math_log_wide", [a])),
);

const log1p = define("math_log1p_f64", "log(1 + a) to 1e-15, for a > -1", ["f64"], (body, a) => {
  // Kahan: the rounding of 1 + a cancels in log(u) * a / (u - 1).
  const u = body.name(k.add(f64(1), a));
  const scaled = k.div(k.mul(k.call("f64", "math_log_f64", [u]), a), k.sub(u, f64(1)));
  return k.select(eq(u, f64(1)), a, k.select(k.lt(u, f64(Infinity)), scaled, u));
});

const powSign = define(
  "math_pow_finish",
  "a^b given |a|^b: the sign, and the cases that C fixes",
  ["f64", "f64", "f64"],
  (body, x, y, magnitude) => {
    const whole = body.name(eq(k.unary("floor", y), y));
    const half = k.mul(y, f64(0.5));
    const isOdd = k.and(whole, k.and(k.compare("ne", k.unary("floor", half), half), k.lt(abs(y), f64(2 ** 53))));
    const signed = k.select(k.and(isOdd, isNegative(x)), neg(magnitude), magnitude);
    const undefined_ = k.or(
      k.and(k.and(k.lt(x, f64(0)), gt(x, f64(-Infinity))), k.unary("not", whole)),
      k.or(k.compare("ne", x, x), k.compare("ne", y, y)),
    );
    const one = k.or(k.or(eq(y, f64(0)), eq(x, f64(1))), k.and(eq(x, f64(-1)), eq(abs(y), f64(Infinity))));
    return k.select(one, f64(1), k.select(undefined_, f64(NaN), signed));
  },
);

const pow32 = define("math_pow_f32", "a^b to 0.51 ulp, as C's pow", ["f32", "f32"], (body, a, b) => {
  const y = body.name(wide(b));
  const magnitude = k.call("f64", "math_exp_f64", [k.mul(y, k.call("f64", "math_log_wide", [abs(a)]))]);
  return k.cast("f32", k.call("f64", "math_pow_finish", [wide(a), y, magnitude]));
});

/** log of a finite positive x as an unevaluated sum, to about 1e-19. */
function preciseLog(body: Body, x: Expr): readonly [Expr, Expr] {
  const { m, n } = decompose(body, x);
  const f = body.name(k.sub(m, f64(1)));
  const d = body.name(k.add(m, f64(1)));
  const s = body.name(k.div(f, d));
  const [product, rest] = exactProduct(body, s, d);
  const dLow = k.sub(m, k.sub(d, f64(1)));
  const sLow = k.div(k.sub(k.sub(k.sub(f, product), rest), k.mul(s, dLow)), d);
  const z = body.name(k.mul(s, s));
  const exponent = body.name(k.mul(n, f64(LN2[0])));
  const twice = body.name(k.mul(f64(2), s));
  const sum = body.name(k.add(exponent, twice));
  const back = body.name(k.sub(sum, exponent));
  const error = k.add(k.sub(exponent, k.sub(sum, back)), k.sub(twice, back));
  const tail = k.add(k.add(k.mul(n, f64(LN2[1])), k.mul(f64(2), sLow)), k.mul(k.mul(s, z), polynomial(z, LOG)));
  const low = body.name(k.add(error, tail));
  const high = body.name(k.add(sum, low));
  return [high, body.name(k.sub(low, k.sub(high, sum)))];
}

const pow64 = define("math_pow_f64", "a^b to 1e-15, as C's pow", ["f64", "f64"], (body, a, b) => {
  const x = body.name(abs(a));
  const limit = 1e22; // beyond, every |a| but 1 has over- or underflowed
  const y = body.name(k.max(k.min(b, f64(limit)), f64(-limit)));
  const [high, low] = preciseLog(body, x);
  const [power, rest] = exactProduct(body, y, high);
  const correction = k.max(k.min(k.add(rest, k.mul(y, low)), f64(0.1)), f64(-0.1));
  const finite = k.mul(k.call("f64", "math_exp_f64", [power]), k.add(f64(1), correction));
  const extreme = k.select(k.compare("eq", eq(x, f64(0)), k.lt(b, f64(0))), f64(Infinity), f64(0));
  const magnitude = k.select(k.and(gt(x, f64(0)), k.lt(x, f64(Infinity))), finite, extreme);
  return k.call("f64", "math_pow_finish", [a, b, magnitude]);
});

export const exponential: readonly Func[] = [exp64, exp32, expm1, logReduced, log64, logWide, log32, log1p, powSign, pow32, pow64];
