// Circular functions and their inverses, in f64 kernel IR; f32 goes through f64. Polynomials are near-minimax fits for these intervals.

import * as k from "../../../ir/kernel/build.ts";
import type { Expr, Func } from "../../../ir/kernel/types.ts";
import { type Body, define } from "../define.ts";
import { abs, eq, f64, gt, isNegative, neg, odd, polynomial, sqrt } from "./arithmetic.ts";

/** (sin r - r) / r^3 and (cos r - 1 + r^2/2) / r^4 in z = r^2, for |r| <= pi/4, to 1e-20. */
const SIN = [
  -0.16666666666666666, 0.008333333333333331, -0.00019841269841265065, 2.755731921933898e-6, -2.5052106232383108e-8, 1.6058531608767765e-10,
  -7.586696515355814e-13,
];
const COS = [
  0.041666666666666664, -0.0013888888888888887, 2.4801587301584645e-5, -2.7557319221402724e-7, 2.087675579104458e-9,
  -1.1470460881928748e-11, 4.745871567147025e-14,
];
/** (atan t - t) / t^3 in z = t^2, for |t| <= tan(pi/8), to 4e-20. */
const ATAN = [
  -0.3333333333333333, 0.19999999999999993, -0.14285714285711518, 0.11111111110754697, -0.09090909067008057, 0.07692306735932322,
  -0.06666642018549641, 0.058819252312652746, -0.05258041341794392, 0.04719393672934646, -0.04104430781199833, 0.030635577025395353,
  -0.01391810067772549,
];
/** pi/2 in three parts; the first two have 33 bits, so that products with quadrants below 2^20 are exact. */
const HALF_PI = [1.5707963267341256, 6.077100506303966e-11, 2.0222662487959506e-21] as const;
const HALF_PI_LOW = 6.123233995736766e-17;

/** The binary digits of 2 / pi, 64 a word. */
const TWO_OVER_PI = [
  0xa2f9836e4e441529n,
  0xfc2757d1f534ddc0n,
  0xdb6295993c439041n,
  0xfe5163abdebbc561n,
  0xb7246e3a424dd2e0n,
  0x06492eea09d1921cn,
  0xfe1deb1cb129a73en,
  0xe88235f52ebb4484n,
  0xe99c7026b45f7e41n,
  0x3991d639835339f4n,
  0x9c845f8bbdf9283bn,
  0x1ff897ffde05980fn,
  0xef2f118b5a0a6d1fn,
  0x6d367ecf27cb09b7n,
  0x4f463f669e5fea2dn,
  0x7527bac7ebe5f17bn,
  0x3d0739f78a5292ean,
  0x6bfb5fb11f8d5d08n,
  0x56033046fc7b6babn,
  0xf0cfbc209af4361dn,
];

const u64 = (x: bigint | number): Expr => k.constant("u64", BigInt(x));
const shl = (a: Expr, b: Expr): Expr => k.binary("shl", a, b);
const shr = (a: Expr, b: Expr): Expr => k.binary("shr", a, b);

const word = define("math_two_over_pi", "Word a of the binary digits of 2 / pi; 0 outside", ["i32"], (_, a) =>
  TWO_OVER_PI.reduceRight((rest: Expr, w, i) => k.select(eq(a, k.i32(i)), u64(w), rest), u64(0)),
);

const window = define("math_two_over_pi_at", "64 binary digits of 2 / pi from digit a on", ["i32"], (body, a) => {
  const at = body.name(shr(a, k.i32(6)));
  const by = body.name(k.cast("u64", k.and(a, k.i32(63))));
  const low = k.call("u64", "math_two_over_pi", [k.add(at, k.i32(1))]);
  return k.or(shl(k.call("u64", "math_two_over_pi", [at]), by), shr(low, k.sub(u64(64), by)));
});

const quarters = define(
  "math_quarters",
  "a / (pi/2) modulo 4, in [-2, 2), to 1e-18 absolute, for |a| >= 1 (Payne and Hanek)",
  ["f64"],
  (body, a) => {
    const bits = body.name(k.bitcast("u64", abs(a)));
    const exponent = body.name(k.sub(k.cast("i32", shr(bits, u64(52))), k.i32(1075)));
    const mantissa = body.name(k.or(k.and(bits, u64(2n ** 52n - 1n)), u64(2n ** 52n)));
    // |a| = mantissa * 2^exponent; turns = |a| / (2 pi) modulo 1 in units of 2^-64, so wrapping products are what is wanted.
    const part = (m: Expr, e: Expr): Expr => {
      const from = body.name(k.sub(e, k.i32(2)));
      const next = shr(k.call("u64", "math_two_over_pi_at", [k.add(from, k.i32(64))]), u64(32));
      const digits = body.name(m);
      return k.add(k.mul(digits, k.call("u64", "math_two_over_pi_at", [from])), shr(k.mul(digits, next), u64(32)));
    };
    const turns = k.add(part(shr(mantissa, u64(26)), k.add(exponent, k.i32(26))), part(k.and(mantissa, u64(2n ** 26n - 1n)), exponent));
    const result = body.name(k.mul(k.cast("f64", k.bitcast("i64", turns)), f64(2 ** -62)));
    return k.select(k.lt(a, f64(0)), neg(result), result);
  },
);

/** x = n pi/2 + r with |r| <= pi/4; n modulo 4 as an i32. NaN for infinities. */
function reduce(body: Body, x: Expr): { quadrant: Expr; r: Expr } {
  const fast = body.name(k.lt(abs(x), f64(1e6)));
  const finite = k.lt(abs(x), f64(Infinity));
  const turns = body.name(k.select(fast, k.mul(x, f64(2 / Math.PI)), k.select(finite, k.call("f64", "math_quarters", [x]), f64(NaN))));
  const n = body.name(k.unary("round_even", turns));
  const near = k.sub(k.sub(k.sub(x, k.mul(n, f64(HALF_PI[0]))), k.mul(n, f64(HALF_PI[1]))), k.mul(n, f64(HALF_PI[2])));
  const r = body.name(k.select(fast, near, k.mul(k.sub(turns, n), f64(Math.PI / 2))));
  return { quadrant: body.name(k.cast("i32", n)), r };
}

function sinAndCos(body: Body, r: Expr): { sin: Expr; cos: Expr } {
  const z = body.name(k.mul(r, r));
  const sin = body.name(k.add(r, k.mul(k.mul(r, z), polynomial(z, SIN))));
  const half = body.name(k.mul(f64(0.5), z));
  const near = body.name(k.sub(f64(1), half));
  const lost = k.sub(k.sub(f64(1), near), half);
  return { sin, cos: body.name(k.add(near, k.add(lost, k.mul(k.mul(z, z), polynomial(z, COS))))) };
}

const bit = (x: Expr, mask: number): Expr => k.compare("ne", k.and(x, k.i32(mask)), k.i32(0));

const sin64 = define("math_sin_f64", "sin a to 1e-15; beyond 1e6 to 1e-15 absolute", ["f64"], (body, a) => {
  const { quadrant, r } = reduce(body, a);
  const { sin, cos } = sinAndCos(body, r);
  const value = body.name(k.select(bit(quadrant, 1), cos, sin));
  return k.select(eq(a, f64(0)), a, k.select(bit(quadrant, 2), neg(value), value));
});

const cos64 = define("math_cos_f64", "cos a to 1e-15; beyond 1e6 to 1e-15 absolute", ["f64"], (body, a) => {
  const { quadrant, r } = reduce(body, a);
  const { sin, cos } = sinAndCos(body, r);
  const value = body.name(k.select(bit(quadrant, 1), sin, cos));
  return k.select(bit(k.add(quadrant, k.i32(1)), 2), neg(value), value);
});

const tan64 = define("math_tan_f64", "tan a to 1e-15; beyond 1e6 to 1e-15 relative to 1 + tan^2 a", ["f64"], (body, a) => {
  const { quadrant, r } = reduce(body, a);
  const { sin, cos } = sinAndCos(body, r);
  return k.select(eq(a, f64(0)), a, k.select(bit(quadrant, 1), neg(k.div(cos, sin)), k.div(sin, cos)));
});

const atan64 = define("math_atan_f64", "The arc tangent to 1e-15", ["f64"], (body, a) => {
  const x = body.name(abs(a));
  const large = body.name(gt(x, f64(1 + Math.SQRT2)));
  const middle = body.name(gt(x, f64(Math.SQRT2 - 1)));
  const t = body.name(k.select(large, k.div(f64(-1), x), k.select(middle, k.div(k.sub(x, f64(1)), k.add(x, f64(1))), x)));
  const z = body.name(k.mul(t, t));
  const offset = (whole: number): Expr => k.select(large, f64(whole), k.select(middle, f64(whole / 2), f64(0)));
  const tail = k.add(offset(HALF_PI_LOW), k.mul(k.mul(t, z), polynomial(z, ATAN)));
  return odd(a, body.name(k.add(offset(Math.PI / 2), k.add(t, tail))));
});

const atan = (x: Expr): Expr => k.call("f64", "math_atan_f64", [x]);

const asin64 = define("math_asin_f64", "The arc sine to 1e-15; NaN outside [-1, 1]", ["f64"], (_, a) =>
  atan(k.div(a, sqrt(k.mul(k.sub(f64(1), a), k.add(f64(1), a))))),
);

const acos64 = define("math_acos_f64", "The arc cosine to 1e-15; NaN outside [-1, 1]", ["f64"], (_, a) =>
  k.mul(f64(2), atan(sqrt(k.div(k.sub(f64(1), a), k.add(f64(1), a))))),
);

const atan2 = define("math_atan2_f64", "The angle of the point (b, a) to 1e-15, as C's atan2", ["f64", "f64"], (body, y, x) => {
  const [ax, ay] = [body.name(abs(x)), body.name(abs(y))];
  const angle = k.select(eq(ay, f64(0)), f64(0), k.select(eq(ax, ay), f64(Math.PI / 4), atan(k.div(ay, ax))));
  const first = body.name(angle);
  const inHalf = body.name(k.select(isNegative(x), k.sub(f64(Math.PI), k.sub(first, f64(2 * HALF_PI_LOW))), first));
  const unordered = k.or(k.compare("ne", x, x), k.compare("ne", y, y));
  return k.select(unordered, k.add(x, y), k.select(isNegative(y), neg(inHalf), inHalf));
});

export const trigonometric: readonly Func[] = [word, window, quarters, sin64, cos64, tan64, atan64, asin64, acos64, atan2];
