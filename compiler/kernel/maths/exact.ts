// Functions with exact results: rounding to even, fmod, and integer powers, in kernel IR.

import * as k from "../../../ir/kernel/build.ts";
import type { Expr, Func } from "../../../ir/kernel/types.ts";
import type { ScalarType } from "../../../ir/scalar/types.ts";
import { define } from "../define.ts";
import { abs, eq, f64, ge, gt, isNegative, neg } from "./arithmetic.ts";

const zeroOf = (t: ScalarType): Expr => k.constant(t, 0);

/** Adding and subtracting 2^(mantissa bits) rounds to a whole number, in the rounding mode of all arithmetic. */
const roundEven = (type: "f32" | "f64", whole: number): Func =>
  define(`math_round_even_${type}`, "The nearest whole number, halves to even", [type], (body, a) => {
    const x = body.name(abs(a));
    const limit = k.constant(type, whole);
    const rounded = body.name(k.sub(k.add(x, limit), limit));
    const signed = k.select(k.lt(a, zeroOf(type)), neg(rounded), k.select(eq(a, zeroOf(type)), a, rounded));
    return k.select(k.lt(x, limit), signed, a);
  });

const rem64 = define("math_rem_f64", "C's fmod: a - trunc(a / b) * b, exactly", ["f64", "f64"], (body, a, b) => {
  const [x, d] = [body.name(abs(a)), body.name(abs(b))];
  const valid = body.name(k.and(gt(d, f64(0)), k.lt(x, f64(Infinity))));
  const r = body.variable(k.select(valid, x, f64(0)));
  const t = body.variable(d);
  body.add(
    k.while_(k.and(valid, k.compare("le", t, k.mul(r, f64(0.5)))), [k.set(t.name, k.mul(t, f64(2)))]),
    k.while_(k.and(valid, ge(r, d)), [k.if_(ge(r, t), [k.set(r.name, k.sub(r, t))]), k.set(t.name, k.mul(t, f64(0.5)))]),
  );
  const signed = k.select(isNegative(a), neg(r), r);
  return k.select(k.and(valid, eq(b, b)), signed, f64(Number.NaN));
});

/** Integer power by squaring, wrapping; a negative exponent truncates the reciprocal. */
const power = (type: "i32" | "u32" | "i64" | "u64"): Func =>
  define(`math_pow_${type}`, "a^b, wrapping; 0 for negative b unless |a| is 1", [type, type], (body, a, b) => {
    const [zero, one] = [zeroOf(type), k.constant(type, 1)];
    const result = body.variable(one);
    const base = body.variable(a);
    const left = body.variable(k.max(b, zero));
    body.add(
      k.while_(k.compare("ne", left, zero), [
        k.if_(eq(k.and(left, one), one), [k.set(result.name, k.mul(result, base))]),
        k.set(base.name, k.mul(base, base)),
        k.set(left.name, k.binary("shr", left, one)),
      ]),
    );
    if (type === "u32" || type === "u64") return result;
    const minusOne = k.constant(type, -1);
    const alternating = k.select(eq(k.and(b, one), zero), one, minusOne);
    const reciprocal = k.select(eq(a, one), one, k.select(eq(a, minusOne), alternating, zero));
    return k.select(k.lt(b, zero), reciprocal, result);
  });

export const exact: readonly Func[] = [
  roundEven("f32", 2 ** 23),
  roundEven("f64", 2 ** 52),
  rem64,
  power("i32"),
  power("u32"),
  power("i64"),
  power("u64"),
];
