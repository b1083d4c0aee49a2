// Arc functions in f32 alone. Polynomials are near-minimax fits for these intervals.

import * as k from "../../../../ir/kernel/build.ts";
import type { Expr, Func } from "../../../../ir/kernel/types.ts";
import { type Body, define } from "../../define.ts";
import {
  add,
  atMost,
  bits,
  div,
  eq,
  firstOf,
  float,
  fma,
  gt,
  INF,
  isNan,
  lt,
  magnitude,
  mul,
  NAN,
  ONE,
  or,
  polynomial,
  root,
  signOf,
  sub,
} from "./arithmetic.ts";

/** (atan t - t) / t^3 in z = t^2, for |t| <= tan(pi/8), to 1.6e-8. */
const ATAN = [-0.3333333176116852, 0.19999540483648964, -0.1426395559798464, 0.10743731490791084, -0.06451928208121749];
/** (asin x - x) / x^3 in z = x^2, for |x| <= 1/2, to 4e-9. */
const ASIN = [
  0.16666666337430908, 0.07500094543497424, 0.04459940152851218, 0.03110066273549457, 0.017149238357677253, 0.03369084720283012,
];

/** What pi and its halves lack as floats. */
const PI_LOW = -8.742278000372485e-8;
/** `multiple` pi - x, for a power of two. */
const fromPi = (multiple: number, x: Expr): Expr => add(sub(Math.PI * multiple, x), PI_LOW * multiple);

/** atan(y / x) for 0 <= y <= x, with x in [2^-100, 2^100]. */
function arc(body: Body, y: Expr, x: Expr): Expr {
  const steep = body.name(gt(y, mul(x, Math.SQRT2 - 1)));
  const t = body.name(div(k.select(steep, sub(y, x), y), k.select(steep, add(y, x), x)));
  const z = body.name(mul(t, t));
  const tail = body.name(mul(mul(t, z), polynomial(z, ATAN)));
  return body.name(k.select(steep, add(Math.PI / 4, add(t, add(tail, PI_LOW / 4))), add(t, tail)));
}

const one = k.f32(1);

const atan = define("math_atan_f32", "The arc tangent to 2 ulp; 4.5 where quotients are off by 2.5", ["f32"], (body, a) => {
  const x = body.name(atMost(float(magnitude(a)), 2 ** 60));
  const flat = body.name(lt(x, 1));
  const angle = arc(body, body.name(k.select(flat, x, one)), body.name(k.select(flat, one, x)));
  const value = k.select(flat, angle, fromPi(0.5, angle));
  return firstOf([[isNan(a), bits(a)]], float(or(bits(value), signOf(a))));
});

const atan2 = define("math_atan2_f32", "The angle of the point (b, a) to 3 ulp, as C's atan2", ["f32", "f32"], (body, a, b) => {
  const [y, x] = [body.name(magnitude(a)), body.name(magnitude(b))];
  const swapped = body.name(gt(y, x));
  const [low, high] = [body.name(k.select(swapped, x, y)), body.name(k.select(swapped, y, x))];
  // Infinities and zeros have the angles of ones; the others are brought to where quotients are accurate.
  const factor = body.name(k.select(gt(high, 0x6f800000), k.f32(2 ** -64), k.select(lt(high, 0x1f800000), k.f32(2 ** 64), one)));
  const extreme = body.name(k.or(eq(high, 0), eq(high, INF)));
  const lesser = k.select(extreme, k.select(eq(low, INF), one, k.f32(0)), mul(float(low), factor));
  const angle = arc(body, body.name(lesser), body.name(k.select(extreme, one, mul(float(high), factor))));
  const first = body.name(k.select(swapped, fromPi(0.5, angle), angle));
  const value = k.select(lt(bits(b), 0), fromPi(1, first), first);
  return firstOf([[k.or(isNan(a), isNan(b)), NAN]], float(or(bits(value), signOf(a))));
});

/** asin |x| and how it was had: in the first half directly, beyond as pi/2 - 2 asin(sqrt((1 - |x|) / 2)). */
function arcSine(body: Body, a: Expr): { small: Expr; angle: Expr } {
  const x = body.name(atMost(float(magnitude(a)), 1));
  const small = body.name(lt(x, 0.5));
  const rest = body.name(mul(sub(1, x), 0.5));
  const t = body.name(k.select(small, x, root(body, rest)));
  const z = body.name(mul(t, t));
  return { small, angle: body.name(fma(mul(t, z), polynomial(z, ASIN), t)) };
}

const asin = define("math_asin_f32", "The arc sine to 2 ulp; NaN outside [-1, 1]", ["f32"], (body, a) => {
  const { small, angle } = arcSine(body, a);
  const value = k.select(small, angle, fromPi(0.5, mul(angle, 2)));
  return firstOf([[gt(magnitude(a), ONE), NAN]], float(or(bits(value), signOf(a))));
});

const acos = define("math_acos_f32", "The arc cosine to 2 ulp; NaN outside [-1, 1]", ["f32"], (body, a) => {
  const { small, angle } = arcSine(body, a);
  const negative = body.name(lt(bits(a), 0));
  const twice = body.name(mul(angle, 2));
  const near = fromPi(0.5, k.select(negative, sub(0, angle), angle));
  const value = k.select(small, near, k.select(negative, fromPi(1, twice), twice));
  return firstOf([[gt(magnitude(a), ONE), NAN]], value);
});

export const inverseCircular: readonly Func[] = [atan, atan2, asin, acos];
