// Accuracy of the mathematical functions that kernels call, against JavaScript's in f64, over dense samples and special values.

import { describe, expect, it } from "vitest";
import * as k from "../../ir/kernel/build.ts";
import type { Expr, Stmt } from "../../ir/kernel/types.ts";
import { binary, unary } from "../../ir/scalar/evaluate.ts";
import type { BinaryOp, ScalarType, UnaryOp } from "../../ir/scalar/types.ts";
import { arenaProgram, runOn, type Target, targets } from "./support.ts";

/** Arguments that are dense where a function lives, and the special ones. */
const SPECIAL = [
  0,
  -0,
  1,
  -1,
  0.5,
  -0.5,
  2,
  Infinity,
  -Infinity,
  NaN,
  1e-40,
  -1e-40,
  5e-324,
  2 ** -126,
  1e30,
  -1e30,
  3.4e38,
  1e300,
  -1e300,
  88.72,
  88.73,
  709.78,
  709.79,
  -87.34,
  -103.9,
  -104.1,
  -745.1,
  -745.2,
];
function samples(from: number, to: number, count = 2000): number[] {
  return Array.from({ length: count }, (_, i) => from + ((to - from) * (i + 0.5)) / count);
}
/** Both signs, over many magnitudes. */
const magnitudes = (low: number, high: number): number[] => samples(low, high, 1500).flatMap((e) => [2 ** e, -(2 ** e)]);

const POINTS: Readonly<Record<string, number[]>> = {
  exp: [...samples(-110, 90), ...samples(-1, 1), ...magnitudes(-30, 3), ...samples(-746, 710)],
  log: [...magnitudes(-149, 127), ...samples(0.5, 2), ...magnitudes(-1074, 1023)],
  sin: [...samples(-20, 20), ...magnitudes(-30, 60), ...magnitudes(-10, 127)],
  cos: [...samples(-20, 20), ...magnitudes(-30, 60), ...magnitudes(-10, 127)],
  tan: [...samples(-20, 20), ...magnitudes(-30, 60)],
  asin: [...samples(-1, 1), ...magnitudes(-40, 0)],
  acos: [...samples(-1, 1), ...magnitudes(-40, 0)],
  atan: [...samples(-4, 4), ...magnitudes(-40, 40)],
  sinh: [...samples(-90, 90), ...magnitudes(-40, 6), ...samples(-711, 711)],
  cosh: [...samples(-90, 90), ...magnitudes(-40, 6), ...samples(-711, 711)],
  tanh: [...samples(-20, 20), ...samples(-0.1, 0.1), ...magnitudes(-40, 5)],
  asinh: [...samples(-4, 4), ...magnitudes(-40, 100)],
  acosh: [...samples(1, 4), ...magnitudes(0, 100), ...samples(1, 1.001)],
  atanh: [...samples(-1, 1), ...magnitudes(-40, 0)],
  erf: [...samples(-7, 7), ...magnitudes(-40, 3)],
};
const OPS = Object.keys(POINTS) as UnaryOp[];

/** Computes `value` for every pair of arguments, `type` in and out. */
async function evaluate(
  target: Target,
  type: "f32" | "f64" | "f32x4",
  of: (x: Expr, y: Expr) => Expr,
  xs: readonly number[],
  ys = xs,
): Promise<number[]> {
  const lane: "f32" | "f64" = type === "f64" ? "f64" : "f32";
  const size = lane === "f64" ? 8 : 4;
  const n = Math.ceil(xs.length / 4) * 4;
  const bytes = new Uint8Array(3 * n * size);
  const make = (at: number): Float32Array | Float64Array =>
    lane === "f64" ? new Float64Array(bytes.buffer, at * size, n) : new Float32Array(bytes.buffer, at * size, n);
  make(0).set(xs);
  make(n).set(ys);
  const at = (region: number): Expr =>
    k.advance(k.variable("arena", "ptr"), k.add(k.i32(region * n * size), k.mul(k.variable("i"), k.i32(size))));
  const body: Stmt[] = [
    k.for_(
      "i",
      k.i32(0),
      k.i32(n),
      [
        k.let_("x", k.load(type, at(0))),
        k.let_("y", k.load(type, at(1))),
        k.store(type, at(2), of(k.variable("x", type), k.variable("y", type))),
      ],
      type === "f32x4" ? 4 : 1,
    ),
  ];
  const { arena } = await runOn(target, arenaProgram(body, bytes.length), bytes);
  return [...(lane === "f64" ? new Float64Array(arena.buffer, 2 * n * size, n) : new Float32Array(arena.buffer, 2 * n * size, n))].slice(
    0,
    xs.length,
  );
}

/** Units in the last place of a float of `bits` mantissa bits, with `least` the smallest exponent. */
const ulp = (x: number, bits: number, least: number): number => 2 ** (Math.max(Math.floor(Math.log2(Math.abs(x))), least) - bits);
const ulp32 = (x: number): number => (x === 0 ? 2 ** -149 : ulp(x, 23, -126));
const ulp64 = (x: number): number => (x === 0 ? 2 ** -1074 : Math.max(ulp(x, 52, -1022), 2 ** -1074));

interface Worst {
  error: number;
  at: string;
}

/** The largest error in units of `unit(exact)`; Infinity where one is special and the other is not the same. */
function worst(
  args: readonly string[],
  found: readonly number[],
  exact: readonly number[],
  unit: (x: number) => number,
  round: (x: number) => number,
): Worst {
  let result: Worst = { error: 0, at: "" };
  found.forEach((y, i) => {
    const e = exact[i]!;
    const rounded = round(e);
    const special = !Number.isFinite(rounded) || !Number.isFinite(y);
    const sign = y === 0 && rounded === 0 && !Object.is(y, rounded);
    const error = special ? (Object.is(y, rounded) ? 0 : Infinity) : sign ? Infinity : Math.abs(y - e) / unit(e);
    if (error > result.error) result = { error, at: `${args[i]}: ${y}, expected ${e}` };
  });
  return result;
}

/** In ulp, of which Math's own error is one; the reference of erf is right to 1e-15 only. */
const LIMIT64: Readonly<Partial<Record<UnaryOp, number>>> = {
  tan: 8,
  asin: 5,
  acos: 5,
  sinh: 6,
  cosh: 4,
  tanh: 6,
  asinh: 5,
  acosh: 6,
  atanh: 6,
  erf: 9,
};

describe.each(targets)("$name", (target) => {
  it.each(OPS)("%s of f32 is right to 0.51 ulp", async (op) => {
    const xs = [...POINTS[op]!, ...SPECIAL].map(Math.fround);
    const found = await evaluate(target, "f32", (x) => k.unary(op, x), xs);
    const exact = xs.map((x) => unary(op, "f64", x) as number);
    const { error, at } = worst(xs.map(String), found, exact, ulp32, Math.fround);
    expect(error, at).toBeLessThanOrEqual(0.51);
  });

  it.each(OPS)("%s of f64 is right to a few ulp", async (op) => {
    const circular = op === "sin" || op === "cos" || op === "tan";
    const xs = [...POINTS[op]!, ...SPECIAL];
    const found = await evaluate(target, "f64", (x) => k.unary(op, x), xs);
    const exact = xs.map((x) => unary(op, "f64", x) as number);
    // Beyond 1e6 the reduced argument is right to 1e-16 absolute, which the slope of the tangent magnifies.
    const unit = circular ? (x: number) => Math.max(ulp64(x), 2 ** -53 * (op === "tan" ? 1 + x * x : 1)) : ulp64;
    const { error, at } = worst(xs.map(String), found, exact, unit, (x) => x);
    expect(error, at).toBeLessThanOrEqual(LIMIT64[op] ?? 3);
  });

  it.each([
    ["exp", 1.5, 1.7e-38],
    ["log", 1.5, 0],
    ["tanh", 2, 0],
  ] as const)("%s of f32x4 is right to %f ulp, or 0 below %f", async (op, limit, least) => {
    const xs = [...POINTS[op]!, ...SPECIAL].map(Math.fround);
    const found = await evaluate(target, "f32x4", (x) => k.unary(op, x), xs);
    const exact = xs.map((x, i) => {
      const y = unary(op, "f64", x) as number;
      return found[i] === 0 && 0 < y && y < least ? 0 : y;
    });
    const { error, at } = worst(xs.map(String), found, exact, ulp32, Math.fround);
    expect(error, at).toBeLessThanOrEqual(limit);
  });

  it.each([
    ["erf", 3e-7],
    ["sin", 1.2e-7],
    ["cos", 1.2e-7],
  ] as const)("%s of f32x4 is right to %f", async (op, limit) => {
    const xs = [...POINTS[op]!, ...SPECIAL].map(Math.fround);
    const found = await evaluate(target, "f32x4", (x) => k.unary(op, x), xs);
    const exact = xs.map((x) => unary(op, "f64", x) as number);
    const { error, at } = worst(xs.map(String), found, exact, () => 1, Math.fround);
    expect(error, at).toBeLessThanOrEqual(limit);
  });

  it.each(["pow", "atan2", "rem"] as const)("%s is right, and C's in the special cases", async (op: BinaryOp) => {
    const some = [
      0,
      -0,
      1,
      -1,
      2,
      -2,
      3,
      0.5,
      -0.5,
      1.5,
      -2.5,
      7,
      -7.25,
      1e-3,
      100,
      1e10,
      -1e10,
      1e30,
      1e-30,
      1e-40,
      2 ** 24,
      2 ** 53,
      16777217,
      Infinity,
      -Infinity,
      NaN,
      ...samples(-3, 3, 60),
      ...samples(-40, 40, 40),
    ];
    const pairs = some.flatMap((x) => some.map((y) => [x, y] as const));
    for (const type of ["f32", "f64"] as const satisfies readonly ScalarType[]) {
      const round = type === "f32" ? Math.fround : (x: number) => x;
      const [xs, ys] = [pairs.map(([x]) => round(x)), pairs.map(([, y]) => round(y))];
      const found = await evaluate(target, type, (x, y) => k.binary(op, x, y), xs, ys);
      const exact = xs.map((x, i) => binary(op, "f64", x, ys[i]!) as number);
      const names = xs.map((x, i) => `${op}(${x}, ${ys[i]})`);
      const { error, at } = worst(names, found, exact, type === "f32" ? ulp32 : ulp64, round);
      expect(error, at).toBeLessThanOrEqual(op === "rem" ? 0 : type === "f32" ? 0.51 : 3);
    }
  });
});

describe("on js and baseline wasm", () => {
  it.each(OPS)("scalar %s gives the same bits", async (op) => {
    const [a, b] = ["js:es2022", "wasm:baseline"].map((name) => targets.find((t) => t.name === name)!);
    for (const type of ["f32", "f64"] as const) {
      const xs = [...POINTS[op]!, ...SPECIAL];
      const of = (x: Expr): Expr => k.unary(op, x);
      expect(await evaluate(a!, type, of, xs)).toEqual(await evaluate(b!, type, of, xs));
    }
  });
});
