// Hyperbolic functions, their inverses and the error function in f32 alone. Polynomials are near-minimax fits for these intervals.

import * as k from "../../../../ir/kernel/build.ts";
import type { Expr, Func } from "../../../../ir/kernel/types.ts";
import { type Body, define } from "../../define.ts";
import { TANH } from "../vector.ts";
import {
  add,
  atMost,
  bits,
  div,
  eq,
  firstOf,
  float,
  fma,
  ge,
  gt,
  INF,
  isNan,
  lt,
  magnitude,
  mul,
  NAN,
  or,
  polynomial,
  raise,
  root,
  select,
  signOf,
  sub,
} from "./arithmetic.ts";
import { expParts, logOf } from "./exponential.ts";

/** (sinh x - x) / x^3 in z = x^2, for |x| <= 1, to 2e-10. */
const SINH = [0.16666666646842135, 0.00833333967591706, 0.00019838101968683888, 2.8062802582276946e-6];
/** (asinh x - x) / x^3 in z = x^2, for |x| <= 0.75, to 6e-9. */
const ASINH = [
  -0.16666666053154452, 0.07499892606434438, -0.044611567586910435, 0.030031812448911177, -0.020435593156172865, 0.011454676436212553,
  -0.0035137611620331367,
];
/** acosh(1 + t) / sqrt(2t) for t <= 1/2, to 1.2e-9. */
const ACOSH = [
  0.9999999988154764, -0.08333316229267246, 0.01874595223552722, -0.005544790081726701, 0.0017537623276012238, -0.0004085754761330977,
];
/** (atanh x - x) / x^3 in z = x^2, for |x| <= 1/2, to 2e-8. */
const ATANH = [0.3333333168479454, 0.2000047330953935, 0.1426397985264627, 0.11469875161618762, 0.06493489567669346, 0.15751780259152603];
/** erf(x) / x - 1 in z = x^2, for |x| <= 1, to 1.2e-9. */
const ERF = [
  0.1283791658483509, -0.37612626666720334, 0.11283594715160218, -0.026854212010626412, 0.005189087423433974, -0.000801686428716587,
  7.875875062685488e-5,
];
/** e^(x^2) erfc(x) in t = (x - 2) / (x + 2), for x in [1, 4], to 7e-9. */
const ERFCX = [
  0.25539567631050575, -0.4271859897684867, 0.2416582015255602, -0.07896830612793473, 0.0037323717589395444, 0.006811140131085635,
  -0.0008379754387023134,
];

/** x + x^3 P(x^2). */
function series(body: Body, x: Expr, coefficients: readonly number[]): Expr {
  const z = body.name(mul(x, x));
  return fma(mul(x, z), polynomial(z, coefficients), x);
}

/** The value at `a` of an odd function whose value at |a| is given, unless `a` is a NaN. */
const odd = (a: Expr, atAbs: Expr): Expr => firstOf([[isNan(a), bits(a)]], float(or(bits(atAbs), signOf(a))));

const tanh = (type: "f32" | "f32x4"): Func =>
  define(`math_tanh_${type}`, "The hyperbolic tangent to 2 ulp", [type], (body, a) => {
    const x = body.name(atMost(float(magnitude(a)), 10));
    const { y, n } = expParts(body, body.name(mul(x, 2)));
    const large = sub(1, div(2, add(raise(y, n), 1)));
    return odd(a, select(lt(x, 0.625), series(body, x, TANH), large));
  });

const erf = (type: "f32" | "f32x4"): Func =>
  define(`math_erf_${type}`, "The error function to 1.5 ulp", [type], (body, a) => {
    const x = body.name(atMost(float(magnitude(a)), 4));
    const z = body.name(mul(x, x));
    const t = body.name(div(sub(x, 2), add(x, 2)));
    const { y, n } = expParts(body, body.name(sub(0, z)));
    const far = sub(1, mul(raise(y, n), polynomial(t, ERFCX)));
    return odd(a, select(lt(x, 1), fma(x, polynomial(z, ERF), x), far));
  });

/** e^x / 2, for x below 90. */
function halfExp(body: Body, x: Expr): Expr {
  const { y, n } = expParts(body, x);
  return body.name(mul(raise(y, sub(n, 2)), 2));
}

/** Where sinh and cosh pass the largest float. */
const LARGEST = 89.41599;

const sinh = define("math_sinh_f32", "The hyperbolic sine to 2 ulp", ["f32"], (body, a) => {
  const x = body.name(atMost(float(magnitude(a)), 89.5));
  const e = halfExp(body, x);
  const value = k.select(lt(x, 1), series(body, x, SINH), sub(e, div(0.25, atMost(e, 2 ** 30))));
  return odd(a, firstOf([[ge(x, LARGEST), INF]], value));
});

const cosh = define("math_cosh_f32", "The hyperbolic cosine to 2 ulp", ["f32"], (body, a) => {
  const x = body.name(atMost(float(magnitude(a)), 89.5));
  const e = halfExp(body, x);
  return firstOf(
    [
      [isNan(a), bits(a)],
      [ge(x, LARGEST), INF],
    ],
    add(e, div(0.25, atMost(e, 2 ** 30))),
  );
});

/** Beyond, x + sqrt(x^2 +- 1) is 2x. */
const HUGE = 4096;

const asinh = define("math_asinh_f32", "The inverse hyperbolic sine to 2.5 ulp", ["f32"], (body, a) => {
  const x = body.name(float(magnitude(a)));
  const small = body.name(lt(x, HUGE));
  const bounded = body.name(atMost(x, HUGE));
  const hypotenuse = root(body, body.name(fma(bounded, bounded, 1)));
  const log = logOf(body, body.name(k.select(small, add(x, hypotenuse), x)));
  const value = k.select(lt(x, 0.75), series(body, x, ASINH), add(log, k.select(small, k.f32(0), k.f32(Math.LN2))));
  return firstOf([[ge(magnitude(a), INF), bits(a)]], float(or(bits(value), signOf(a))));
});

const acosh = define("math_acosh_f32", "The inverse hyperbolic cosine to 2 ulp; NaN below 1", ["f32"], (body, a) => {
  const t = body.name(sub(a, 1));
  const small = body.name(lt(a, HUGE));
  const near = body.name(lt(t, 0.5));
  // The root of 2t near 1, where the polynomial has the rest, and of a^2 - 1 beyond.
  const square = body.name(k.select(near, mul(t, 2), mul(t, add(t, 2))));
  const r = body.name(root(body, square));
  const log = logOf(body, body.name(k.select(small, add(a, r), a)));
  const value = k.select(near, mul(r, polynomial(t, ACOSH)), add(log, k.select(small, k.f32(0), k.f32(Math.LN2))));
  return firstOf(
    [
      [lt(bits(a), 0x3f800000), NAN],
      [ge(bits(a), INF), bits(a)],
    ],
    value,
  );
});

const atanh = define("math_atanh_f32", "The inverse hyperbolic tangent to 2 ulp; NaN outside [-1, 1]", ["f32"], (body, a) => {
  const x = body.name(atMost(float(magnitude(a)), 1 - 2 ** -24));
  const far = mul(logOf(body, body.name(div(add(1, x), sub(1, x)))), 0.5);
  const value = k.select(lt(x, 0.5), series(body, x, ATANH), far);
  return firstOf(
    [
      [gt(magnitude(a), 0x3f800000), NAN],
      [eq(magnitude(a), 0x3f800000), or(signOf(a), INF)],
    ],
    float(or(bits(value), signOf(a))),
  );
});

export const hyperbolic: readonly Func[] = [tanh("f32"), tanh("f32x4"), erf("f32"), erf("f32x4"), sinh, cosh, asinh, acosh, atanh];
