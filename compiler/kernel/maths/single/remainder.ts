// The float remainder in integers alone: exact whatever the target's division rounds to.

import * as k from "../../../../ir/kernel/build.ts";
import type { Expr, Func } from "../../../../ir/kernel/types.ts";
import { type Body, define } from "../../define.ts";
import { add, and, bits, eq, firstOf, ge, gt, INF, lt, magnitude, NAN, or, select, shl, shr, signOf, sub, toFloat } from "./arithmetic.ts";

/** The biased exponent and the mantissa of a finite float's magnitude: it is mantissa * 2^(exponent - 150). */
function parts(body: Body, pattern: Expr): { exponent: Expr; mantissa: Expr } {
  const exponent = body.name(k.max(shr(pattern, 23), k.i32(1)));
  const fraction = and(pattern, 0x7fffff);
  return { exponent, mantissa: body.name(k.bitcast("u32", select(ge(pattern, 0x800000), or(fraction, 0x800000), fraction))) };
}

const rem = define("math_rem_f32", "C's fmod: a - trunc(a / b) * b, exactly", ["f32", "f32"], (body, a, b) => {
  const [x, d] = [body.name(magnitude(a)), body.name(magnitude(b))];
  const valid = body.name(k.and(k.lt(x, k.i32(INF)), k.and(gt(d, 0), k.compare("le", d, k.i32(INF)))));
  const divides = body.name(k.and(valid, ge(x, d)));
  const [dividend, divisor] = [parts(body, x), parts(body, d)];
  const r = body.variable(k.rem(dividend.mantissa, divisor.mantissa));
  const left = body.variable(k.select(divides, sub(dividend.exponent, divisor.exponent), k.i32(0)));
  const by = k.min(left, k.i32(8));
  // Long division, eight bits at a time: mantissas have 24.
  body.add(k.while_(gt(left, 0), [k.set(r.name, k.rem(shl(r, k.bitcast("u32", by)), divisor.mantissa)), k.set(left.name, sub(left, by))]));
  // The exponent of r as a float, then the divisor's; without floats where it is subnormal.
  const pattern = body.name(bits(toFloat(k.bitcast("i32", r))));
  const exponent = add(shr(pattern, 23), sub(divisor.exponent, 150));
  const subnormal = shl(k.bitcast("i32", r), sub(divisor.exponent, 1));
  const normal = add(pattern, shl(sub(divisor.exponent, 150), 23));
  const value = k.select(eq(r, 0), k.i32(0), k.select(lt(exponent, 1), subnormal, normal));
  return firstOf(
    [
      [k.unary("not", valid), NAN],
      [divides, or(value, signOf(a))],
    ],
    a,
  );
});

export const remainder: readonly Func[] = [rem];
