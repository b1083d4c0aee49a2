// Accuracy of the mathematical functions for targets without f64, through the interpreter, against JavaScript's in f64.

import { describe, expect, it } from "vitest";
import type { Capabilities } from "../../compiler/backend.ts";
import { legalize } from "../../compiler/kernel/legalize.ts";
import * as k from "../../ir/kernel/build.ts";
import type { Expr, Func, Program } from "../../ir/kernel/types.ts";
import { mapFunc, visitExpressions } from "../../ir/kernel/walk.ts";
import { binary, unary } from "../../ir/scalar/evaluate.ts";
import type { UnaryOp } from "../../ir/scalar/types.ts";
import { arenaProgram, runInterpreter } from "./support.ts";

const TARGET: Capabilities = { vectors: ["f32x4", "i32x4"], f16: true, f64: false, fma: true, maths: [], accumulators: 8 };

/** `of` of every pair, in groups of four where it is of vectors. */
function programOf(type: "f32" | "f32x4", of: (x: Expr, y: Expr) => Expr, n: number, target: Capabilities = TARGET): Program {
  const at = (region: number): Expr =>
    k.advance(k.variable("arena", "ptr"), k.add(k.i32(region * n * 4), k.mul(k.variable("i"), k.i32(4))));
  const value = of(k.load(type, at(0)), k.load(type, at(1)));
  const loop = k.for_("i", k.i32(0), k.i32(n), [k.store(type, at(2), value)], type === "f32x4" ? 4 : 1);
  return legalize(arenaProgram([loop], 12 * n), target);
}

function evaluate(program: Program, xs: readonly number[], ys: readonly number[]): number[] {
  const arena = new Float32Array(3 * xs.length);
  arena.set(xs);
  arena.set(ys, xs.length);
  const result = runInterpreter(program, new Uint8Array(arena.buffer)).arena;
  return [...new Float32Array(result.buffer, 8 * xs.length)];
}

/** No wider types; and no bits of an infinity or a NaN as a float constant, which WGSL refuses. */
function expectSingle(program: Program): void {
  const all = everyExpression(program);
  expect(all.filter(({ type }) => type === "f64" || type === "i64" || type === "u64")).toEqual([]);
  expect(all.filter((e) => e.kind === "bitcast" && e.a.kind === "const")).toEqual([]);
  expect(all.filter((e) => e.kind === "const" && e.type === "f32" && !Number.isFinite(e.value))).toEqual([]);
}

const everyExpression = (program: Program): Expr[] => {
  const found: Expr[] = [];
  for (const f of program.functions) visitExpressions(f, (e) => void found.push(e));
  return found;
};

/**
 * As a GPU at its worst would compute: sums of products are fused, quotients are off by 2.5 ulp and roots by 3.5, one way or the other. The
 * f64 in it is the simulation's.
 */
function onGpu(program: Program, direction: 1 | -1): Program {
  const wide = (x: Expr): Expr => k.cast("f64", x);
  const off = (x: Expr, ulp: number): Expr =>
    k.select(k.lt(k.unary("abs", x), k.f32(2 ** -120)), x, k.bitcast("f32", k.add(k.bitcast("i32", x), k.i32(direction * ulp))));
  const fused = (product: Expr, c: Expr, op: "add" | "sub"): Expr =>
    product.kind === "binary" ? k.cast("f32", k.binary(op, k.mul(wide(product.a), wide(product.b)), wide(c))) : product;
  const isProduct = (e: Expr): e is Expr & { kind: "binary" } => e.kind === "binary" && e.op === "mul";
  const rewrite = (e: Expr): Expr => {
    if (e.type !== "f32") return e;
    if (e.kind === "fma") return fused(k.mul(e.a, e.b), e.c, "add");
    if (e.kind === "unary" && e.op === "sqrt") return off(e, 3);
    if (e.kind !== "binary") return e;
    if (e.op === "div") return off(e, 2);
    if (e.op !== "add" && e.op !== "sub") return e;
    if (isProduct(e.a)) return fused(e.a, e.b, e.op);
    if (!isProduct(e.b)) return e;
    return e.op === "add" ? fused(e.b, e.a, "add") : k.unary("neg", fused(e.b, e.a, "sub"));
  };
  const onFunc = (f: Func): Func => mapFunc(f, rewrite);
  return { ...program, functions: program.functions.map(onFunc) };
}

/** Units in the last place of an f32 near x. */
const ulp = (x: number): number => (x === 0 ? 2 ** -149 : 2 ** (Math.max(Math.floor(Math.log2(Math.abs(x))), -126) - 23));

/** The largest error in ulp; Infinity where one is special and the other is not the same. */
function worst(names: readonly string[], found: readonly number[], exact: readonly number[]): { error: number; at: string } {
  let result = { error: 0, at: "" };
  found.forEach((y, i) => {
    const e = exact[i]!;
    const rounded = Math.fround(e);
    const special = !Number.isFinite(rounded) || !Number.isFinite(y);
    const sign = y === 0 && rounded === 0 && !Object.is(y, rounded);
    const error = special ? (Object.is(y, rounded) ? 0 : Infinity) : sign ? Infinity : Math.abs(y - e) / ulp(e);
    if (error > result.error) result = { error, at: `${names[i]}: ${y}, expected ${e}` };
  });
  return result;
}

const samples = (from: number, to: number, count = 2000): number[] =>
  Array.from({ length: count }, (_, i) => from + ((to - from) * (i + 0.5)) / count);
const magnitudes = (low: number, high: number): number[] => samples(low, high, 1500).flatMap((e) => [2 ** e, -(2 ** e)]);
const SPECIAL = [0, -0, 1, -1, 0.5, -0.5, 2, -2, Infinity, -Infinity, NaN, 1e-40, -1e-40, 2 ** -149, 2 ** -126, 1e30, -1e30].concat([
  3.4028234663852886e38, -3.4028234663852886e38, 88.7228317, 88.7228394, 89.4159851, 89.4159927, -87.34, -103.9, -103.97, -104.1, 8192,
  8193,
]);

/** Where a function lives, its limit in ulp (the worst of many millions, rounded up), and that on a GPU at its worst. */
const CASES: Readonly<Partial<Record<UnaryOp, { at: number[]; limit: number; gpu: number }>>> = {
  exp: { at: [...samples(-110, 90, 6000), ...samples(-1, 1), ...magnitudes(-30, 3)], limit: 1, gpu: 1 },
  log: { at: [...magnitudes(-149, 128), ...samples(0.5, 2, 6000)], limit: 1, gpu: 1 },
  tanh: { at: [...samples(-11, 11, 6000), ...samples(-0.1, 0.1), ...magnitudes(-40, 5)], limit: 1.5, gpu: 2.5 },
  erf: { at: [...samples(-5, 5, 6000), ...magnitudes(-40, 3)], limit: 1.25, gpu: 1.25 },
  sin: { at: [...samples(-20, 20, 6000), ...magnitudes(-30, 13), ...magnitudes(12, 128)], limit: 3, gpu: 3 },
  cos: { at: [...samples(-20, 20, 6000), ...magnitudes(-30, 13), ...magnitudes(12, 128)], limit: 3, gpu: 3 },
  tan: { at: [...samples(-20, 20, 6000), ...magnitudes(-30, 13), ...magnitudes(12, 128)], limit: 5, gpu: 7 },
  asin: { at: [...samples(-1, 1, 6000), ...magnitudes(-40, 0)], limit: 2, gpu: 2 },
  acos: { at: [...samples(-1, 1, 6000), ...magnitudes(-40, 0)], limit: 1.5, gpu: 1.5 },
  atan: { at: [...samples(-4, 4, 6000), ...magnitudes(-40, 127)], limit: 2, gpu: 4.5 },
  sinh: { at: [...samples(-90, 90, 6000), ...magnitudes(-40, 6)], limit: 1.75, gpu: 1.75 },
  cosh: { at: [...samples(-90, 90, 6000), ...magnitudes(-40, 6)], limit: 1.5, gpu: 1.5 },
  asinh: { at: [...samples(-4, 4, 6000), ...magnitudes(-40, 127)], limit: 2.25, gpu: 2.25 },
  acosh: { at: [...samples(1, 4, 6000), ...magnitudes(0, 127), ...samples(1, 1.001)], limit: 2, gpu: 2 },
  atanh: { at: [...samples(-1, 1, 6000), ...magnitudes(-40, 0)], limit: 1.5, gpu: 3.25 },
};
const OPS = Object.keys(CASES) as UnaryOp[];

/** Multiples of pi/2, where the reduced arguments of circular functions are smallest; the last is the smallest of all. */
const NEAR_POLES = [...samples(0, 3000, 3000), 2 ** 20, 2 ** 30, 2 ** 60]
  .map((n) => Math.round(n) * (Math.PI / 2))
  .concat(16367173 * 2 ** 72);

const argumentsOf = (op: UnaryOp): number[] => [...CASES[op]!.at, ...NEAR_POLES, ...SPECIAL].map(Math.fround);

describe.each(OPS)("%s", (op) => {
  const xs = argumentsOf(op);
  const exact = xs.map((x) => unary(op, "f64", x) as number);
  const program = programOf("f32", (x) => k.unary(op, x), xs.length);

  it("is right to a few ulp", () => {
    const { error, at } = worst(xs.map(String), evaluate(program, xs, xs), exact);
    expect(error, at).toBeLessThanOrEqual(CASES[op]!.limit);
  });

  it.each([1, -1] as const)("holds where products are fused and quotients wrong by %d", (direction) => {
    const { error, at } = worst(xs.map(String), evaluate(onGpu(program, direction), xs, xs), exact);
    expect(error, at).toBeLessThanOrEqual(CASES[op]!.gpu);
  });

  it("is of f32 and 32-bit integers", () => {
    expectSingle(program);
  });
});

describe("of vectors", () => {
  it.each(["exp", "log", "tanh", "erf", "sin", "cos"] as const)("%s gives the bits of the scalar function", (op) => {
    const all = argumentsOf(op);
    const xs = all.slice(0, all.length - (all.length % 4));
    const [scalar, vector] = (["f32", "f32x4"] as const).map((type) => programOf(type, (x) => k.unary(op, x), xs.length));
    expect(vector!.functions.map((f) => f.name)).not.toContain(`lanes_${op}_f32x4`);
    expect(evaluate(vector!, xs, xs)).toEqual(evaluate(scalar!, xs, xs));
  });
});

const OPERANDS = SPECIAL.concat(
  [3, -3, 1.5, -2.5, 7, -7.25, 1e-3, 100, 1e10, -1e10, 1e-30, 1e37, 1e38, 1e-37, 2 ** 24, 2 ** 31, 2 ** 40, 16777215, -16777215],
  [...samples(-3, 3, 60), ...samples(-40, 40, 40), ...magnitudes(-149, 127).filter((_, i) => i % 60 === 0)],
).map(Math.fround);
const PAIRS = OPERANDS.flatMap((x) => OPERANDS.map((y) => [x, y] as const));
/** Powers in range of many sizes: near one and far from it, of small and large exponents. */
const POWERS = [
  ...magnitudes(-126, 126).flatMap((x, i) =>
    [0.5, 1.1, -0.77, 120 / (Math.log2(Math.abs(x)) + 0.001)].map((y) => [Math.abs(x), y + (i % 7) * 0.01]),
  ),
  ...samples(0.5, 2, 6000).map((x, i) => [x, ((i % 200) - 100) / Math.max(0.8, Math.abs(Math.log2(x)))]),
  ...samples(0.999, 1.001, 2000).map((x, i) => [x, (i % 80) * 1000]),
].map(([x, y]) => [Math.fround(x!), Math.fround(y!)] as const);

describe.each([
  ["pow", [...PAIRS, ...POWERS], 5, 5],
  ["atan2", PAIRS, 2, 5],
  ["rem", PAIRS, 0, 0],
] as const)("%s", (op, pairs, limit, gpu) => {
  const [xs, ys] = [pairs.map(([x]) => x), pairs.map(([, y]) => y)];
  const names = pairs.map(([x, y]) => `${op}(${x}, ${y})`);
  const exact = pairs.map(([x, y]) => binary(op, "f64", x, y) as number);
  const program = programOf("f32", (x, y) => k.binary(op, x, y), xs.length);

  it("is right to a few ulp, and C's in the special cases", () => {
    const { error, at } = worst(names, evaluate(program, xs, ys), exact);
    expect(error, at).toBeLessThanOrEqual(limit);
  });

  it.each([1, -1] as const)("holds where products are fused and quotients wrong by %d", (direction) => {
    const { error, at } = worst(names, evaluate(onGpu(program, direction), xs, ys), exact);
    expect(error, at).toBeLessThanOrEqual(gpu);
  });

  it("is of f32 and 32-bit integers", () => {
    expectSingle(program);
  });
});

describe("pow", () => {
  const powers = samples(-50.5, 50.5, 101).flatMap((x) =>
    samples(-30.5, 30.5, 61)
      .map((y) => [Math.round(x), Math.round(y), Math.round(x) ** Math.round(y)] as const)
      .filter(([x, , z]) => x !== 0 && Math.fround(z) === z && Math.abs(z) < 2 ** 100),
  );
  const [xs, ys, zs] = [0, 1, 2].map((i) => powers.map((p) => p[i]!));
  const program = programOf("f32", (x, y) => k.binary("pow", x, y), powers.length);

  it("is exact where the result is a float", () => {
    expect(powers.length).toBeGreaterThan(500);
    expect(evaluate(program, xs!, ys!)).toEqual(zs);
    for (const direction of [1, -1] as const) expect(evaluate(onGpu(program, direction), xs!, ys!)).toEqual(zs);
  });
});

it("says so where a program needs f64 all the same", () => {
  const program = arenaProgram([k.store("f64", k.variable("arena", "ptr"), k.unary("exp", k.load("f64", k.variable("arena", "ptr"))))], 8);
  expect(() => legalize(program, TARGET)).toThrow(/math_exp_f64/);
});

describe("quotients that become whole numbers", () => {
  // What lies halfway between two steps, as nearly as floats come, and a few others beside it.
  const near = (n: number, y: number, by: number): number => {
    const x = new Int32Array(Float32Array.of((n + 0.5) * y).buffer);
    return new Float32Array(x.map((pattern) => pattern + by).buffer)[0]!;
  };
  const scales = samples(-12, 3, 300).map((e) => Math.fround(2 ** e));
  const pairs = scales.flatMap((y, k) =>
    [-3, -2, -1, 0, 1, 2, 3].map((by) => [near((k * 37) % 300, y, by) * (k % 2 ? 1 : -1), y] as const),
  );
  pairs.push(...SPECIAL.flatMap((x) => [1, 3, 0.1].map((y) => [Math.fround(x), Math.fround(y)] as const)));
  while (pairs.length % 4 > 0) pairs.push([1, 1]);
  const [xs, ys] = [pairs.map(([x]) => x), pairs.map(([, y]) => y)];
  const expected = pairs.map(([x, y]) => unary("round_even", "f32", Math.fround(x / y)) as number);
  const target = { ...TARGET, quotients: false, maths: ["round_even"] } as const;

  it.each(["f32", "f32x4"] as const)("are exact in %s, whatever the division rounds to", (type) => {
    const of = (x: Expr, y: Expr): Expr => k.unary("round_even", k.binary("div", x, y));
    const program = programOf(type, of, xs.length, target);
    for (const p of [program, onGpu(program, 1), onGpu(program, -1)]) {
      const found = evaluate(p, xs, ys);
      expect(found.filter((f, i) => !(Object.is(f, expected[i]) || (f === 0 && expected[i] === 0)))).toEqual([]);
    }
    expectSingle(program);
  });
});
