// Half-precision floats from and to their bits, in kernel IR.

import * as k from "../../../ir/kernel/build.ts";
import type { Func } from "../../../ir/kernel/types.ts";
import { define } from "../define.ts";

const shl = (a: Parameters<typeof k.add>[0], by: number) => k.binary("shl", a, k.i32(by));
const shr = (a: Parameters<typeof k.add>[0], by: number) => k.binary("shr", a, k.i32(by));

const decode = define("math_f16_decode", "The f32 that f16 bits stand for, exactly", ["i32"], (body, a) => {
  // The bits, read as an f32 whose exponent is 112 too small; subnormals come out right by the multiplication.
  const magnitude = body.name(k.mul(k.bitcast("f32", shl(k.and(a, k.i32(0x7fff)), 13)), k.f32(2 ** 112)));
  const scaled = body.name(k.bitcast("i32", magnitude));
  const whole = k.select(k.compare("ge", magnitude, k.f32(65536)), k.or(scaled, k.i32(0x7f800000)), scaled);
  return k.bitcast("f32", k.or(whole, shl(k.and(a, k.i32(0x8000)), 16)));
});

const encode = define("math_f16_encode", "The f16 bits nearest to an f32, ties to even; every NaN the same", ["f32"], (body, a) => {
  const bits = body.name(k.bitcast("i32", a));
  const magnitude = body.name(k.and(bits, k.i32(0x7fffffff)));
  const rebased = body.name(k.sub(magnitude, k.i32(0x38000000)));
  const normal = shr(k.add(rebased, k.add(k.i32(0xfff), k.and(shr(rebased, 13), k.i32(1)))), 13);
  // Adding 1/2 leaves the multiples of 2^-24 in the low bits, rounded.
  const subnormal = k.sub(k.bitcast("i32", k.add(k.bitcast("f32", magnitude), k.f32(0.5))), k.i32(0x3f000000));
  const finite = k.select(k.lt(magnitude, k.i32(0x38800000)), subnormal, normal);
  const signed = k.or(k.select(k.lt(magnitude, k.i32(0x47800000)), finite, k.i32(0x7c00)), k.and(shr(bits, 16), k.i32(0x8000)));
  return k.select(k.lt(k.i32(0x7f800000), magnitude), k.i32(0x7e00), signed);
});

export const f16: readonly Func[] = [decode, encode];
