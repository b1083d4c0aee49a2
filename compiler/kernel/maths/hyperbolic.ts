// Hyperbolic functions, their inverses and the error function, in f64 kernel IR; f32 goes through f64.

import * as k from "../../../ir/kernel/build.ts";
import type { Expr, Func } from "../../../ir/kernel/types.ts";
import { define } from "../define.ts";
import { abs, f64, odd, polynomial, sqrt } from "./arithmetic.ts";
import { shortExp } from "./exponential.ts";

const exp = (x: Expr): Expr => k.call("f64", "math_exp_f64", [x]);
const expm1 = (x: Expr): Expr => k.call("f64", "math_expm1_f64", [x]);
const log = (x: Expr): Expr => k.call("f64", "math_log_f64", [x]);
const log1p = (x: Expr): Expr => k.call("f64", "math_log1p_f64", [x]);

/** (e^x / 2) without the early overflow of e^x. */
const halfExp = (x: Expr): Expr => k.call("f64", "math_half_exp_f64", [x]);
const halfExp64 = define("math_half_exp_f64", "e^a / 2", ["f64"], (body, a) => {
  const e = body.name(exp(k.mul(f64(0.5), a)));
  return k.mul(k.mul(f64(0.5), e), e);
});

const sinh64 = define("math_sinh_f64", "The hyperbolic sine to 1e-15", ["f64"], (body, a) => {
  const x = body.name(abs(a));
  const t = body.name(expm1(k.min(x, f64(22))));
  const near = k.mul(f64(0.5), k.add(t, k.div(t, k.add(t, f64(1)))));
  return odd(a, body.name(k.select(k.lt(x, f64(22)), near, halfExp(x))));
});

const cosh64 = define("math_cosh_f64", "The hyperbolic cosine to 1e-15", ["f64"], (body, a) => {
  const x = body.name(abs(a));
  const e = body.name(exp(k.min(x, f64(22))));
  return k.select(k.lt(x, f64(22)), k.add(k.mul(f64(0.5), e), k.div(f64(0.5), e)), halfExp(x));
});

const tanh64 = define("math_tanh_f64", "The hyperbolic tangent to 1e-15", ["f64"], (body, a) => {
  const t = body.name(expm1(k.mul(f64(2), k.min(abs(a), f64(22)))));
  return odd(a, body.name(k.div(t, k.add(t, f64(2)))));
});

const tanh32 = define("math_tanh_f32", "The hyperbolic tangent to 0.51 ulp", ["f32"], (body, a) => {
  const x = body.name(k.cast("f64", a));
  const z = body.name(k.mul(x, x));
  const small = k.mul(x, k.add(f64(1), k.mul(z, k.add(f64(-1 / 3), k.mul(z, f64(2 / 15))))));
  const e = exp(k.mul(f64(2), k.max(k.min(x, f64(22)), f64(-22))));
  return k.cast("f32", k.select(k.lt(z, f64(2 ** -14)), small, k.sub(f64(1), k.div(f64(2), k.add(e, f64(1))))));
});

const HUGE = 2 ** 28;

const asinh64 = define("math_asinh_f64", "The inverse hyperbolic sine to 1e-15", ["f64"], (body, a) => {
  const x = body.name(abs(a));
  const square = body.name(k.mul(x, x));
  const near = log1p(k.add(x, k.div(square, k.add(f64(1), sqrt(k.add(square, f64(1)))))));
  return odd(a, body.name(k.select(k.lt(x, f64(HUGE)), near, k.add(log(x), f64(Math.LN2)))));
});

const acosh64 = define("math_acosh_f64", "The inverse hyperbolic cosine to 1e-15; NaN below 1", ["f64"], (body, a) => {
  const t = body.name(k.sub(a, f64(1)));
  const near = log1p(k.add(t, sqrt(k.add(k.mul(f64(2), t), k.mul(t, t)))));
  const finite = k.select(k.lt(a, f64(HUGE)), near, k.add(log(a), f64(Math.LN2)));
  return k.select(k.lt(a, f64(1)), f64(Number.NaN), finite);
});

const atanh64 = define("math_atanh_f64", "The inverse hyperbolic tangent to 1e-15; NaN outside [-1, 1]", ["f64"], (body, a) => {
  const x = body.name(abs(a));
  const value = k.mul(f64(0.5), log1p(k.div(k.mul(f64(2), x), k.sub(f64(1), x))));
  return odd(a, body.name(k.select(k.compare("gt", x, f64(1)), f64(Number.NaN), value)));
});

/** erf(x) / x in z = x^2, for |x| <= 1, to 2e-21. */
const ERF = [
  1.1283791670955126, -0.37612638903183754, 0.1128379167095512, -0.02686617064512984, 0.0052239776254232985, -0.000854832702193483,
  0.00012055332902888736, -1.4925647567519332e-5, 1.6462045441468418e-6, -1.6364642158167616e-7, 1.4792401209404813e-8,
  -1.216456005728345e-9, 8.709045129053106e-11, -4.230945824295338e-12,
];
/** e^(x^2) erfc(x) in t = (x - 3) / (x + 3), for x in [1, 6], to 4e-20. */
const ERFCX = [
  0.17900115118138996, -0.3262335600430372, 0.2456038017123309, -0.15011593650077742, 0.07166583719797347, -0.024392499318655416,
  0.004269136333148302, 0.0007077464385177353, -0.0005970619586158305, 4.5255298034073955e-5, 6.405673342206844e-5, -1.2860318447907675e-5,
  -7.979817704348727e-6, 2.1169509641489688e-6, 1.2598817267482604e-6, -2.7269500546476834e-7, -2.389387463474792e-7,
  -2.5925894581233316e-8,
];

const erf64 = define("math_erf_f64", "The error function to 1e-15", ["f64"], (body, a) => {
  const x = body.name(k.min(abs(a), f64(6)));
  const square = body.name(k.mul(x, x));
  const t = body.name(k.div(k.sub(x, f64(3)), k.add(x, f64(3))));
  const far = k.sub(f64(1), k.mul(exp(k.unary("neg", square)), polynomial(t, ERFCX)));
  return odd(a, body.name(k.select(k.lt(x, f64(1)), k.mul(x, polynomial(square, ERF)), far)));
});

/** As ERF, to 4e-11. */
const ERF_SHORT = [
  1.1283791670615435, -0.3761263846802871, 0.11283782495236845, -0.026865430727670243, 0.005221031807858023, -0.0008484080405535107,
  0.00011265959025606609, -9.667044571486996e-6,
];
/** e^(x^2) erfc(x) in t = (x - 2) / (x + 2), for x in [1, 4], to 2e-10. */
const ERFCX_SHORT = [
  0.25539567625190335, -0.42718584761434303, 0.24165821109072444, -0.07897852327253349, 0.0037321413513030097, 0.006994855413599958,
  -0.0008365899736486057, -0.0009441596340872735,
];

const erf32 = define("math_erf_f32", "The error function to 0.51 ulp", ["f32"], (body, a) => {
  const wide = body.name(k.cast("f64", a));
  const x = body.name(k.min(abs(wide), f64(4)));
  const square = body.name(k.mul(x, x));
  const t = body.name(k.div(k.sub(x, f64(2)), k.add(x, f64(2))));
  const e = body.name(shortExp(body, k.unary("neg", square)));
  const far = k.sub(f64(1), k.mul(e, polynomial(t, ERFCX_SHORT)));
  return k.cast("f32", odd(wide, body.name(k.select(k.lt(x, f64(1)), k.mul(x, polynomial(square, ERF_SHORT)), far))));
});

export const hyperbolic: readonly Func[] = [halfExp64, sinh64, cosh64, tanh64, tanh32, asinh64, acosh64, atanh64, erf64, erf32];
