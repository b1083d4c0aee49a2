// sin, cos and tan in f32 and integers alone: Cody and Waite's reduction below 8192, Payne and Hanek's beyond.

import * as k from "../../../../ir/kernel/build.ts";
import type { Expr, Func } from "../../../../ir/kernel/types.ts";
import { type Body, define, literal } from "../../define.ts";
import { COS, SIN } from "../vector.ts";
import {
  add,
  and,
  bits,
  eq,
  firstOf,
  float,
  floor,
  fma,
  ge,
  INF,
  lt,
  magnitude,
  mul,
  NAN,
  ne,
  or,
  polynomial,
  select,
  shl,
  shr,
  sub,
  toFloat,
  toInteger,
  xor,
} from "./arithmetic.ts";

/** pi/2 in four parts, 57 bits together; products of the first three with quadrants below 2^13 are exact. */
const HALF_PI = [1.5703125, 0.0004837512969970703, 7.549533620476723e-8, 2.563344151594519e-12] as const;
/** The first 256 binary digits of 2 / pi: the largest float needs 230. */
const TWO_OVER_PI = [0xa2f9836e, 0x4e441529, 0xfc2757d1, 0xf534ddc0, 0xdb629599, 0x3c439041, 0xfe5163ab, 0xdebbc561];
/** Below, the reduction is in floats. */
const LARGE = 8192;

const u32 = (x: number): Expr => k.constant("u32", x);

/** sin(r + quadrant pi/2) for |r| <= pi/4. */
function wave(body: Body, r: Expr, quadrant: Expr): Expr {
  const z = body.name(mul(r, r));
  const sin = fma(mul(r, z), polynomial(z, SIN), r);
  const cos = fma(mul(z, z), polynomial(z, COS), fma(z, -0.5, 1));
  const value = select(ne(and(quadrant, 1), 0), cos, sin);
  return float(xor(bits(value), shl(and(quadrant, 2), 30)));
}

/** sin(a + shift pi/2) for |a| <= LARGE. */
function nearZero(body: Body, a: Expr, shift: number): Expr {
  const n = body.name(floor(fma(a, 2 / Math.PI, 0.5)));
  const r = body.name(HALF_PI.reduce((rest, part) => fma(n, -part, rest), a));
  return wave(body, r, body.name(add(toInteger(n), shift)));
}

const word = define("math_two_over_pi_f32", "Word a of the binary digits of 2 / pi; 0 outside", ["i32"], (_, a) =>
  TWO_OVER_PI.reduceRight((rest: Expr, w, i) => k.select(eq(a, i), u32(w), rest), u32(0)),
);

const window = define("math_two_over_pi_at_f32", "32 binary digits of 2 / pi from digit a on", ["i32"], (body, a) => {
  const at = body.name(shr(a, 5));
  const by = body.name(k.bitcast("u32", and(a, 31)));
  const low = shr(k.call("u32", "math_two_over_pi_f32", [add(at, 1)]), 1);
  return or(shl(k.call("u32", "math_two_over_pi_f32", [at]), by), shr(low, sub(31, by)));
});

const highProduct = define("math_high_product", "The upper half of a * b, for a below 2^24", ["u32", "u32"], (body, a, b) => {
  const halves = (x: Expr): readonly [Expr, Expr] => [body.name(shr(x, 16)), body.name(and(x, 0xffff))];
  const [[ah, al], [bh, bl]] = [halves(a), halves(b)];
  const cross = body.name(mul(al, bh));
  const middle = add(add(shr(mul(al, bl), 16), and(cross, 0xffff)), mul(ah, bl));
  return add(add(mul(ah, bh), shr(cross, 16)), shr(middle, 16));
});

const large = define("math_sin_large_f32", "sin(a + b pi/2) for |a| >= 1 (Payne and Hanek)", ["f32", "i32"], (body, a, b) => {
  const pattern = body.name(magnitude(a));
  const mantissa = body.name(k.bitcast("u32", or(and(pattern, 0x7fffff), 0x800000)));
  // |a| = mantissa * 2^exponent; |a| / (2 pi) modulo 1 in units of 2^-64, so wrapping products are what is wanted.
  const from = body.name(sub(shr(pattern, 23), 152));
  const [first, second, third] = [0, 32, 64].map((at) => body.name(k.call("u32", "math_two_over_pi_at_f32", [add(from, at)])));
  const high = (w: Expr): Expr => k.call("u32", "math_high_product", [mantissa, w]);
  const carried = body.name(high(third!));
  const low = body.name(add(mul(mantissa, second!), carried));
  const carry = k.select(k.lt(low, carried), u32(1), u32(0));
  const turns = body.name(add(add(mul(mantissa, first!), high(second!)), carry));
  const quadrant = body.name(shr(add(turns, 0x20000000), 30));
  // What is left, at most an eighth of a turn either way, as sign and magnitude, in three exact floats.
  const left = body.name(sub(turns, shl(quadrant, 30)));
  const below = body.name(ge(left, 0x80000000));
  const upper = body.name(k.select(below, sub(k.unary("not", left), k.select(eq(low, 0), u32(0xffffffff), u32(0))), left));
  const lower = body.name(k.select(below, sub(0, low), low));
  const part = (x: Expr, exponent: number): Expr => mul(toFloat(k.bitcast("i32", x)), 2 ** exponent);
  const middle = or(shl(and(upper, 63), 18), shr(lower, 14));
  const quarters = add(part(shr(upper, 6), -24), add(part(middle, -48), part(and(lower, 0x3fff), -62)));
  const r = mul(quarters, Math.PI / 2);
  const backwards = body.name(lt(bits(a), 0));
  const signed = body.name(k.select(ne(below, backwards), sub(0, r), r));
  const q = body.name(k.bitcast("i32", quadrant));
  return wave(body, signed, body.name(add(k.select(backwards, sub(0, q), q), b)));
});

/** sin (`shift` 0) or cos (`shift` 1), which is sin a quadrant on. */
function circular(op: "sin" | "cos", type: "f32" | "f32x4"): Func {
  const shift = op === "sin" ? 0 : 1;
  return define(`math_${op}_${type}`, `${op} a to 3 ulp`, [type], (body, a) => {
    const size = body.name(magnitude(a));
    const result = body.variable(nearZero(body, a, shift));
    const isSmall = body.name(lt(float(size), LARGE));
    if (type === "f32") {
      const far = k.call("f32", "math_sin_large_f32", [a, k.i32(shift)]);
      body.add(k.if_(k.unary("not", isSmall), [k.set(result.name, far)]));
    } else {
      const scalar = [0, 1, 2, 3].map((lane) => k.call("f32", `math_${op}_f32`, [k.extract(a, lane)]));
      const far = scalar.reduce((v, x, lane) => k.replace(v, lane, x), literal("f32x4", 0));
      const all = [0, 1, 2, 3].map((lane) => k.extract(isSmall, lane)).reduce(k.and);
      body.add(k.if_(eq(all, 0), [k.set(result.name, far)]));
    }
    const special = [[ge(size, INF), NAN] as const];
    // Tiny arguments are their own sines; their squares may underflow, and the sum loses the sign of zero.
    const tiny = [[lt(float(size), 2 ** -12), bits(a)] as const];
    return firstOf(op === "sin" ? [...special, ...tiny] : special, result);
  });
}

const tan = define("math_tan_f32", "tan a to 5 ulp", ["f32"], (_, a) =>
  k.div(k.call("f32", "math_sin_f32", [a]), k.call("f32", "math_cos_f32", [a])),
);

export const circularFunctions: readonly Func[] = [
  word,
  window,
  highProduct,
  large,
  circular("sin", "f32"),
  circular("sin", "f32x4"),
  circular("cos", "f32"),
  circular("cos", "f32x4"),
  tan,
];
