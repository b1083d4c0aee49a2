// exp and log in f32 alone, of one float or four. Polynomials are near-minimax fits for these intervals.

import type { Expr, Func } from "../../../../ir/kernel/types.ts";
import { type Body, define } from "../../define.ts";
import { LN2, LOG } from "../vector.ts";
import {
  add,
  atLeast,
  atMost,
  bits,
  eq,
  firstOf,
  float,
  floor,
  fma,
  ge,
  INF,
  isNan,
  lt,
  magnitude,
  mul,
  NAN,
  polynomial,
  SIGN,
  scale,
  select,
  shl,
  shr,
  sub,
  toFloat,
  toInteger,
} from "./arithmetic.ts";

/** (e^r - 1 - r) / r^2 for |r| <= ln 2 / 2, to 1.5e-9. */
const EXP = [
  0.500000001427659, 0.16666666682523656, 0.04166645690406264, 0.008333310034706868, 0.001393453165508802, 0.00019891969905683137,
];

/** e^x = y 2^n with y in [0.7, 1.42], for |x| < 1000. */
export function expParts(body: Body, x: Expr): { y: Expr; n: Expr } {
  const n = body.name(floor(fma(x, Math.LOG2E, 0.5)));
  const r = body.name(fma(n, -LN2[1], fma(n, -LN2[0], x)));
  return { y: body.name(add(fma(mul(r, r), polynomial(r, EXP), r), 1)), n: body.name(toInteger(n)) };
}

const exp = (type: "f32" | "f32x4"): Func =>
  define(`math_exp_${type}`, "e^a to 1.1 ulp", [type], (body, a) => {
    const { y, n } = expParts(body, body.name(atMost(atLeast(a, -104), 89)));
    return firstOf(
      [
        [isNan(a), bits(a)],
        [ge(a, 88.72284), INF],
      ],
      scale(body, y, n),
    );
  });

/** x = (1 + f) 2^n with 1 + f in [sqrt(1/2), sqrt(2)], for a positive finite x. */
export function decompose(body: Body, x: Expr): { f: Expr; n: Expr } {
  const pattern = body.name(bits(x));
  const subnormal = body.name(lt(pattern, 0x800000));
  // The bits of a subnormal count multiples of 2^-149; no float operation sees it, for targets may take it for zero.
  const normal = body.name(select(subnormal, bits(toFloat(pattern)), pattern));
  const exponent = body.name(shr(sub(normal, 0x3f3504f3), 23));
  const f = body.name(sub(float(sub(normal, shl(exponent, 23))), 1));
  return { f, n: body.name(toFloat(select(subnormal, sub(exponent, 149), exponent))) };
}

/** log x to 1.5 ulp, for a positive finite x. */
export function logOf(body: Body, x: Expr): Expr {
  const { f, n } = decompose(body, x);
  const square = body.name(mul(f, f));
  const tail = fma(square, -0.5, fma(n, LN2[1], mul(mul(square, f), polynomial(f, LOG))));
  return fma(n, LN2[0], add(f, tail));
}

const log = (type: "f32" | "f32x4"): Func =>
  define(`math_log_${type}`, "The natural logarithm to 1.5 ulp", [type], (body, a) =>
    firstOf(
      [
        [isNan(a), bits(a)],
        [eq(magnitude(a), 0), SIGN + INF],
        [lt(bits(a), 0), NAN],
        [eq(bits(a), INF), INF],
      ],
      logOf(body, a),
    ),
  );

export const exponential: readonly Func[] = [exp("f32"), exp("f32x4"), log("f32"), log("f32x4")];
