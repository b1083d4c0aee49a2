// Rounding bounded floats to integers by one addition: in 2^23 .. 2^24 floats are the integers, and the last bits are the number's.

import type { Node, Value } from "../../../ir/graph.ts";
import { add, and, bitcast, cast, compare, f32, i32, max, min, splat, sub, unary } from "../../../ir/kernel/build.ts";
import type { Expr } from "../../../ir/kernel/types.ts";
import type { Tensor } from "../../../ir/tensor.ts";

const MIDDLE = 1.5 * 2 ** 23;
const MIDDLE_BITS = new Int32Array(Float32Array.of(MIDDLE).buffer)[0]!;
/** The bits of the largest number. */
const LARGEST_BITS = 0x7f7fffff;
/** Half of the way to where floats are no longer all the integers. */
export const LARGEST = 2 ** 21;

const constantOf = (e: Expr): number | undefined => (e.kind === "splat" && e.a.kind === "const" ? Number(e.a.value) : undefined);

/** `min(max(x, low), high)` of constants. */
function boundsOf(e: Expr): { readonly x: Expr; readonly low: number; readonly high: number } | undefined {
  if (e.kind !== "binary" || e.op !== "min" || e.a.kind !== "binary" || e.a.op !== "max") return undefined;
  const [low, high] = [constantOf(e.a.b), constantOf(e.b)];
  return low === undefined || high === undefined || low < -LARGEST || high > LARGEST ? undefined : { x: e.a.a, low, high };
}

export interface Rounding {
  /** Whether x is known not to be NaN. */
  readonly tame: boolean;
  /** Whether the sum is known to be below 2^21, and its store saturates: the bounds are left out. */
  readonly moderate: boolean;
  /** Whether x may be a sum that would be reordered with the addition, and comparisons with itself be left out. */
  readonly loose: boolean;
}

/**
 * `min(max(round_even(x) + zero, low), high)` (f32x4, constants) as an i32x4, or undefined where `e` is something else. Ties go to even, as
 * the middle is. The bounds are kept by the sum's bits: what is further from the middle has larger or smaller ones, or negative ones below 0.
 */
export function roundedLanes(e: Expr, { tame, moderate, loose }: Rounding): Expr | undefined {
  const bounds = boundsOf(e);
  if (!bounds || (loose && !tame)) return undefined;
  const { x, low, high } = bounds;
  const shifted = x.kind === "binary" && x.op === "add" ? constantOf(x.b) : 0;
  const rounded = x.kind === "binary" && x.op === "add" ? x.a : x;
  if (shifted === undefined || ![shifted, low, high].every(Number.isInteger)) return undefined;
  if (Math.abs(shifted) > LARGEST || rounded.kind !== "unary" || rounded.op !== "round_even") return undefined;
  const lit = (n: number): Expr => splat("i32x4", i32(MIDDLE_BITS - shifted + n));
  const whole = loose ? unary("round_even", rounded.a) : rounded.a;
  const bits = bitcast("i32x4", add(whole, splat("f32x4", f32(MIDDLE))));
  const steps = sub(moderate ? bits : min(max(bits, lit(low)), lit(high)), lit(0));
  // NaN becomes 0.
  return tame ? steps : and(steps, compare("eq", rounded.a, rounded.a));
}

/**
 * `min(max(x, low), high)` (f32x4, constants) as an i32x4: the bounds are whole, so that they are as well kept by the integers, of which NaN
 * becomes 0. Undefined where `e` is something else.
 */
export function boundedLanes(e: Expr): Expr | undefined {
  const bounds = boundsOf(e);
  if (!bounds || ![bounds.low, bounds.high].every(Number.isInteger) || bounds.low > 0 || bounds.high < 0) return undefined;
  const lit = (n: number): Expr => splat("i32x4", i32(n));
  return min(max(cast("i32x4", bounds.x), lit(bounds.low)), lit(bounds.high));
}

/** A product that no compiler fuses with a sum: the identity of numbers, by their bits. It must not be NaN. */
export const held = (product: Expr): Expr =>
  product.type === "f32x4"
    ? bitcast("f32x4", min(bitcast("i32x4", product), splat("i32x4", i32(LARGEST_BITS))))
    : bitcast("f32", min(bitcast("i32", product), i32(LARGEST_BITS)));

/** Operators that give no NaN and no infinity of moderate numbers. */
const TAME: ReadonlySet<string> = new Set([
  ...["conv", "matmul", "cast", "mul", "add", "sub", "relu", "leaky_relu", "clip", "min", "max", "pool"],
  ...["quantize", "dequantize", "reshape"],
]);
/** Of so many factors below 10^9, and a sum below 2^31, the product is below the largest float. */
const MOST_FACTORS = 3;

const isModerate = (t: Tensor): boolean => {
  for (const x of t.data) if (!(Math.abs(Number(x)) < 1e9)) return false;
  return true;
};

/** Whether nothing that the nodes compute can be NaN: from integers, by moderate constants. `outside` are the values that they read. */
export const isTame = (nodes: readonly Node[], outside: readonly Value[], constantOf: (v: Value) => Tensor | undefined): boolean =>
  nodes.every((n) => TAME.has(n.op)) &&
  nodes.filter((n) => n.op === "mul").length <= MOST_FACTORS &&
  outside.every((v) => {
    const t = constantOf(v);
    return t ? isModerate(t) : v.type.dtype !== "f32" && v.type.dtype !== "f16" && v.type.dtype !== "f64";
  });
