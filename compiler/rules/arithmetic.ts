// Exact identities of elementwise operators. A rule says nothing about 64-bit integers or -0 that is not so.

import { DTYPES, type DType, isFloat, isInteger } from "../../ir/dtype.ts";
import type { GraphBuilder, Value } from "../../ir/graph.ts";
import { any, constant, op, type Rule, rule } from "../../ir/rewrite.ts";
import { sameType } from "../../ir/types.ts";
import { isConstant, isSplat, mapConstant, scalar, splatOf } from "./constants.ts";

const same = (x: Value, root: Value): Value | undefined => (sameType(x.type, root.type) ? x : undefined);

const COMMUTATIVE = ["add", "mul", "min", "max", "and", "or", "xor", "eq", "ne"] as const;

const order: readonly Rule[] = [
  rule(
    "f(constant, x) -> f(x, constant), f commutative",
    op(
      COMMUTATIVE,
      constant("c"),
      any("x", (v) => !isConstant(v)),
    ),
    ({ x, c }, b, root) => b.value(root.node.op, [x, c], {}, root.node.locs),
  ),
  rule(
    "x - constant -> x + -constant",
    op(
      "sub",
      any("x", (v) => !isConstant(v)),
      constant("c"),
    ),
    ({ x, c }, b, root) => {
      const negated = mapConstant(b, c, (y) => -y);
      return negated && b.value("add", [x, negated], {}, root.node.locs);
    },
  ),
  rule(
    "x / 2^k -> x * 2^-k",
    op(
      "div",
      any("x", (v) => !isConstant(v)),
      constant("c", (v) => isFloat(v.type.dtype)),
    ),
    ({ x, c }, b, root) => {
      // Beyond these exponents 2^-k is no normal number of the type.
      const limit = c.type.dtype === "f16" ? 14 : 126;
      const inverse = mapConstant(b, c, (y) =>
        Number.isInteger(Math.log2(Math.abs(y))) && Math.abs(Math.log2(Math.abs(y))) <= limit ? 1 / y : undefined,
      );
      return inverse && b.value("mul", [x, inverse], {}, root.node.locs);
    },
  ),
];

const neutral = (names: readonly string[], value: (dtype: DType) => number | undefined, text: string): Rule =>
  rule(text, op(names, any("x"), constant("c")), ({ x, c }, b, root) => {
    const v = value(c.type.dtype);
    return v !== undefined && isSplat(b, c, v) ? same(x, root) : undefined;
  });

const identities: readonly Rule[] = [
  neutral(["mul", "div", "pow"], () => 1, "x * 1, x / 1, x ** 1 -> x"),
  // x + 0 is 0 where x is -0: the neutral float is -0.
  neutral(["add"], (d) => (isFloat(d) ? -0 : 0), "x + 0 -> x (floats: x + -0)"),
  neutral(["sub", "shl", "shr", "or", "xor"], () => 0, "x - 0, x << 0, x >> 0, x | 0, x ^ 0 -> x"),
  neutral(["and"], (d) => (d === "bool" ? 1 : undefined), "x and true -> x"),
  neutral(["min"], (d) => (isFloat(d) ? Number.POSITIVE_INFINITY : undefined), "min(x, inf) -> x"),
  neutral(["max"], (d) => (isFloat(d) ? Number.NEGATIVE_INFINITY : undefined), "max(x, -inf) -> x"),
  rule("min(x, x), max(x, x), x and x, x or x -> x", op(["min", "max", "and", "or"], any("x"), any("x")), ({ x }) => x),
  ...(["neg", "not"] as const).map((f) => rule(`${f}(${f}(x)) -> x`, op(f, op(f, any("x"))), ({ x }) => x)),
  ...(["abs", "relu", "floor", "ceil", "round", "trunc", "sign"] as const).map((f) =>
    rule(`${f}(${f}(x)) -> ${f}(x)`, op(f, op(f, any("x"))), (_, __, root) => root.node.inputs[0]!),
  ),
  rule("abs(neg(x)) -> abs(x)", op("abs", op("neg", any("x"))), ({ x }, b, root) => b.value("abs", [x], {}, root.node.locs)),
  rule("x + neg(y) -> x - y", op("add", any("x"), op("neg", any("y"))), ({ x, y }, b, root) => b.value("sub", [x, y], {}, root.node.locs)),
  rule("x - neg(y) -> x + y", op("sub", any("x"), op("neg", any("y"))), ({ x, y }, b, root) => b.value("add", [x, y], {}, root.node.locs)),
  rule(
    "x ** 2 -> x * x",
    op(
      "pow",
      any("x", (v) => v.type.dtype === "f32" || v.type.dtype === "f16"),
      constant("c"),
    ),
    ({ x, c }, b, root) => (isSplat(b, c, 2) && sameType(x.type, root.type) ? b.value("mul", [x, x], {}, root.node.locs) : undefined),
  ),
];

/** relu and clip as an interval. min and max order -0 before 0, so that composing intervals is exact. */
interface Interval {
  readonly x: Value;
  readonly lo: number;
  readonly hi: number;
}

const before = (a: number, b: number): boolean => Object.is(Math.min(a, b), a);
const clamp = (x: number, lo: number, hi: number): number => Math.min(Math.max(x, lo), hi);

const greatest = (dtype: DType): number => (isFloat(dtype) ? Number.POSITIVE_INFINITY : Number(DTYPES[dtype].max));
const least = (dtype: DType): number => (isFloat(dtype) ? Number.NEGATIVE_INFINITY : Number(DTYPES[dtype].min));

/** `v` seen as x kept within constants lo <= hi, where it is that. */
function interval(b: GraphBuilder, v: Value): Interval | undefined {
  const { dtype } = v.type;
  if (!(isFloat(dtype) || isInteger(dtype)) || dtype === "i64" || dtype === "u64") return undefined;
  const [x, first, second] = v.node.inputs;
  const bounds = ((): readonly [number | undefined, number | undefined] => {
    switch (v.node.op) {
      case "relu":
        return [0, greatest(dtype)];
      case "clip":
        return [splatOf(b, first!), splatOf(b, second!)];
      case "max":
        return [splatOf(b, first!), greatest(dtype)];
      case "min":
        return [least(dtype), splatOf(b, first!)];
      default:
        return [undefined, undefined];
    }
  })();
  const [lo, hi] = bounds;
  if (lo === undefined || hi === undefined || Number.isNaN(lo) || Number.isNaN(hi) || !before(lo, hi) || !sameType(x!.type, v.type))
    return undefined;
  return { x: x!, lo, hi };
}

const intervals: readonly Rule[] = [
  rule("one bound of another -> clip with both", op(["relu", "clip", "min", "max"]), (_, b, root) => {
    const outer = interval(b, root);
    const inner = outer && interval(b, outer.x);
    if (!outer || !inner) return undefined;
    const [lo, hi] = [clamp(inner.lo, outer.lo, outer.hi), clamp(inner.hi, outer.lo, outer.hi)];
    const { dtype } = root.type;
    return b.value("clip", [inner.x, scalar(b, dtype, lo), scalar(b, dtype, hi)], {}, root.node.locs);
  }),
  rule("clip(x, 0, inf), max(x, 0) -> relu(x); clip(x, -inf, inf) -> x", op(["clip", "max"]), (_, b, root) => {
    const i = interval(b, root);
    if (!i || i.hi !== greatest(root.type.dtype)) return undefined;
    if (i.lo === least(root.type.dtype)) return i.x;
    return Object.is(i.lo, 0) ? b.value("relu", [i.x], {}, root.node.locs) : undefined;
  }),
];

const selections: readonly Rule[] = [
  rule("where(true, a, b) -> a; where(false, a, b) -> b", op("where", constant("c"), any("x"), any("y")), ({ c, x, y }, b, root) => {
    const known = splatOf(b, c);
    return known === undefined ? undefined : same(known ? x : y, root);
  }),
  rule("where(not c, a, b) -> where(c, b, a)", op("where", op("not", any("c")), any("x"), any("y")), ({ c, x, y }, b, root) =>
    b.value("where", [c, y, x], {}, root.node.locs),
  ),
  rule("where(c, x, x) -> x", op("where", any("c"), any("x"), any("x")), ({ x }, _, root) => same(x, root)),
];

/** Whether every value of `from` is one of `to`. */
function contains(from: DType, to: DType): boolean {
  const [a, b] = [DTYPES[from], DTYPES[to]];
  if (a.kind === "bool") return true;
  if (a.kind === "float") return b.kind === "float" && a.bits <= b.bits;
  if (b.kind === "float") return a.bits <= { 16: 11, 32: 24, 64: 53 }[b.bits]!;
  return b.min !== undefined && b.min <= a.min! && b.max! >= a.max!;
}

const casts: readonly Rule[] = [
  rule("cast(x) to its own type -> x", op("cast", any("x")), ({ x }, _, root) => same(x, root)),
  rule("cast(cast(x)) back, the first lossless -> x", op("cast", op("cast", any("x"))), ({ x }, _, root) =>
    contains(x.type.dtype, root.node.inputs[0]!.type.dtype) ? same(x, root) : undefined,
  ),
];

/** Identities of elementwise operators, in the order in which they are tried. */
export const arithmeticRules: readonly Rule[] = [...order, ...identities, ...intervals, ...selections, ...casts];
