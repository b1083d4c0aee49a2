// The float quotient in integers, correctly rounded: what whole numbers are made of must not hang on a target's division.

import * as k from "../../../../ir/kernel/build.ts";
import type { Expr, Func } from "../../../../ir/kernel/types.ts";
import { type Body, define } from "../../define.ts";
import { add, and, bits, firstOf, ge, gt, INF, lt, magnitude, or, SIGN, select, shl, shr, sub, xor } from "./arithmetic.ts";

/** The mantissa of a normal number's bits, as u32. */
const mantissa = (body: Body, x: Expr): Expr => body.name(k.bitcast("u32", or(and(x, 0x7fffff), 0x800000)));
const isNormal = (x: Expr): Expr => k.and(ge(x, 0x800000), lt(x, INF));

const quotient = define(
  "math_quotient_f32",
  "a / b, correctly rounded where it and both are normal numbers",
  ["f32", "f32"],
  (body, a, b) => {
    const [x, d] = [body.name(magnitude(a)), body.name(magnitude(b))];
    const [dividend, divisor] = [mantissa(body, x), mantissa(body, d)];
    const less = body.name(k.lt(dividend, divisor));
    // Now from 1 to 2 times the divisor: the quotient's first bit is known, 24 others follow, of which the last one rounds. None is a tie:
    // the divisor would have to be a multiple of 2^24.
    const rest = body.variable(sub(k.select(less, shl(dividend, 1), dividend), divisor));
    const found = body.variable(k.constant("u32", 1));
    for (let digit = 0; digit < 3; digit++) {
      const shifted = body.name(shl(rest, 8));
      const next = body.name(k.div(shifted, divisor));
      body.add(k.set(found.name, or(shl(found, 8), next)), k.set(rest.name, sub(shifted, k.mul(next, divisor))));
    }
    const rounded = k.bitcast("i32", shr(add(found, 1), 1));
    const exponent = body.name(sub(sub(shr(x, 23), shr(d, 23)), select(less, k.i32(1), k.i32(0))));
    const sign = body.name(and(xor(bits(a), bits(b)), SIGN));
    const normal = body.name(k.and(isNormal(x), isNormal(d)));
    return firstOf(
      [
        [ge(x, INF), xor(bits(a), and(bits(b), SIGN))],
        [k.and(normal, gt(exponent, 127)), or(sign, INF)],
        [k.and(normal, gt(exponent, -126)), or(add(shl(add(exponent, 126), 23), rounded), sign)],
      ],
      k.div(a, b),
    );
  },
);

export const quotients: readonly Func[] = [quotient];
