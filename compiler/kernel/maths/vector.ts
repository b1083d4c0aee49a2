// exp, log, tanh, erf, sin and cos of four f32 at a time, in f32 throughout. Polynomials are near-minimax fits for these intervals.

import * as k from "../../../ir/kernel/build.ts";
import type { Expr, Func } from "../../../ir/kernel/types.ts";
import { type Body, define, literal } from "../define.ts";
import { abs, polynomial } from "./arithmetic.ts";

const f = (x: number): Expr => literal("f32x4", x);
const i = (x: number): Expr => literal("i32x4", x);
const shl = (a: Expr, by: number): Expr => k.binary("shl", a, i(by));
const shr = (a: Expr, by: number): Expr => k.binary("shr", a, i(by));
const bits = (x: Expr): Expr => k.bitcast("i32x4", x);
const float = (x: Expr): Expr => k.bitcast("f32x4", x);

/** ln 2 in two parts; the first has 12 bits, so that its product with an exponent is exact. */
export const LN2 = [0.693115234375, 3.1946184945309415e-5] as const;
/** 2 e^r for |r| <= ln 2 / 2, to 2e-8 of it. */
const EXP = [2, 2, 1, 0.333332616500866, 0.08333324375916891, 0.016714400392498056, 0.0027837427513944684];
/** (log(1 + f) - f + f^2/2) / f^3 for 1 + f in [sqrt(1/2), sqrt(2)], to 3e-8. */
export const LOG = [
  0.33333331180030046, -0.24999996957950882, 0.200007157488921, -0.16667802319501254, 0.1424905764569748, -0.12425687331451106,
  0.1168541992348674, -0.11479733846637635, 0.06971611471451178,
];
/** (tanh x - x) / x^3 in z = x^2, for |x| <= 0.625, to 4e-8. */
export const TANH = [-0.33333328944134255, 0.13332769736976327, -0.05385090957851358, 0.020997178999074752, -0.006096714165908197];
/** erf(x) / x = P / Q in z = x^2, for |x| <= 4, leaving erf right to 2.2e-8. */
const ERF_P = [
  1.1283789799049955, 0.19621361486795771, 0.053461925418365884, 0.004001791483982589, 0.00028794303408803055, 1.974425124556587e-6,
];
const ERF_Q = [1, 0.5072209800171654, 0.11646097313755333, 0.015440887578095124, 0.001215796331619917, 3.747136930174318e-5];
/** (sin r - r) / r^3 and (cos r - 1 + r^2/2) / r^4 in z = r^2, for |r| <= pi/4, to 2e-8. */
export const SIN = [-0.16666664662254416, 0.008332748258975797, -0.00019587888362579905];
export const COS = [0.04166666465944213, -0.0013888303024217263, 2.4547939561932322e-5];
/** pi/2 in three parts, whose products with quadrants below 2^13 are exact. */
const HALF_PI = [1.5703125, 0.0004837512969970703, 7.549789954891882e-8] as const;

/** A float that is added to round another to an integer, which then lies in the low bits of the sum. */
const ROUNDER = 1.5 * 2 ** 23;

/** e^x for x in [-87.7, 89]: 2 e^r times 2^(n - 1), which is 0 for the smallest. */
function expOf(body: Body, x: Expr): Expr {
  const shifted = body.name(k.fma(x, f(Math.LOG2E), f(ROUNDER)));
  const n = body.name(k.sub(shifted, f(ROUNDER)));
  const r = body.name(k.fma(n, f(-LN2[1]), k.fma(n, f(-LN2[0]), x)));
  return k.mul(polynomial(r, EXP), float(k.add(shl(bits(shifted), 23), i(126 << 23))));
}

const exp = define("math_exp_f32x4", "e^a to 1.5 ulp; 0 where it is below 1.7e-38", ["f32x4"], (body, a) =>
  expOf(body, body.name(k.max(k.min(a, f(89)), f(-87.5)))),
);

const log = define("math_log_f32x4", "The natural logarithm to 1.5 ulp", ["f32x4"], (body, a) => {
  const subnormal = body.name(k.lt(a, f(2 ** -126)));
  const x = body.name(bits(k.select(subnormal, k.mul(a, f(2 ** 24)), a)));
  const exponent = body.name(shr(k.sub(x, i(0x3f3504f3)), 23));
  const m = body.name(k.sub(float(k.sub(x, shl(exponent, 23))), f(1)));
  const n = body.name(k.cast("f32x4", k.sub(exponent, k.and(subnormal, i(24)))));
  const square = body.name(k.mul(m, m));
  const tail = k.fma(square, f(-0.5), k.fma(n, f(LN2[1]), k.mul(k.mul(square, m), polynomial(m, LOG))));
  const finite = k.fma(n, f(LN2[0]), k.add(m, tail));
  const positive = k.compare("gt", a, f(0));
  const extreme = k.select(k.compare("eq", a, f(0)), f(-Infinity), k.select(positive, a, f(Number.NaN)));
  return k.select(k.and(positive, k.lt(a, f(Infinity))), finite, extreme);
});

const tanh = define("math_tanh_f32x4", "The hyperbolic tangent to 2 ulp", ["f32x4"], (body, a) => {
  const x = body.name(abs(a));
  const z = body.name(k.mul(a, a));
  const small = k.fma(k.mul(x, z), polynomial(z, TANH), x);
  const e = expOf(body, body.name(k.mul(f(2), k.min(x, f(10)))));
  const large = k.sub(f(1), k.div(f(2), k.add(e, f(1))));
  const value = k.select(k.lt(x, f(0.625)), small, large);
  return float(k.or(bits(value), k.and(bits(a), i(-0x80000000))));
});

const erf = define("math_erf_f32x4", "The error function to 3e-7 absolute", ["f32x4"], (body, a) => {
  const x = body.name(k.max(k.min(a, f(4)), f(-4)));
  const z = body.name(k.mul(x, x));
  return k.max(k.min(k.div(k.mul(x, polynomial(z, ERF_P)), polynomial(z, ERF_Q)), f(1)), f(-1));
});

/** sin (`shift` 0) or cos (`shift` 1), which is sin a quadrant on. Large arguments take the scalar way. */
const circular = (op: "sin" | "cos", shift: number): Func =>
  define(`math_${op}_f32x4`, `${op} a to 1e-7 absolute below 8192, beyond as f32`, ["f32x4"], (body, a) => {
    const small = body.name(k.compare("le", abs(a), f(8192)));
    const lanes = [0, 1, 2, 3].map((lane) => k.extract(small, lane)).reduce(k.and);
    const n = body.name(k.unary("round_even", k.mul(a, f(2 / Math.PI))));
    const r = body.name(k.fma(n, f(-HALF_PI[2]), k.fma(n, f(-HALF_PI[1]), k.fma(n, f(-HALF_PI[0]), a))));
    const z = body.name(k.mul(r, r));
    const sin = k.fma(k.mul(r, z), polynomial(z, SIN), r);
    const cos = k.fma(k.mul(z, z), polynomial(z, COS), k.fma(z, f(-0.5), f(1)));
    const quadrant = body.name(k.add(k.cast("i32x4", n), i(shift)));
    const value = k.select(k.compare("ne", k.and(quadrant, i(1)), i(0)), cos, sin);
    const signed = float(k.binary("xor", bits(value), shl(k.and(quadrant, i(2)), 30)));
    // Rounding to the nearest quadrant loses the sign of zero.
    const result = body.variable(op === "sin" ? k.select(k.compare("eq", a, f(0)), a, signed) : signed);
    const scalar = [0, 1, 2, 3].map((lane) => k.unary(op, k.extract(a, lane)));
    const slow = scalar.reduce((v, x, lane) => k.replace(v, lane, x), f(0));
    body.add(k.if_(k.compare("eq", lanes, k.i32(0)), [k.set(result.name, slow)]));
    return result;
  });

export const vector: readonly Func[] = [exp, log, tanh, erf, circular("sin", 0), circular("cos", 1)];
