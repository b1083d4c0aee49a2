// Every vector operator on every vector type: each backend (js by scalarizing) against the interpreter, bit for bit.

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import * as k from "../../ir/kernel/build.ts";
import {
  type ByteReading,
  type Expr,
  LANE_TYPE,
  LANES,
  LOADED,
  PACKED,
  type PackedType,
  type Stmt,
  type VectorType,
} from "../../ir/kernel/types.ts";

import type { BinaryOp, CompareOp, UnaryOp } from "../../ir/scalar/types.ts";
import { hasFeature } from "../../runtime/features.ts";
import { arenaProgram, runInterpreter, runOn, type Target, targets } from "./support.ts";

const TYPES = Object.keys(LANES) as VectorType[];
const isFloat = (t: VectorType): boolean => t === "f32x4" || t === "f64x2";
const INT_BINARY: readonly BinaryOp[] = ["add", "sub", "mul", "div", "rem", "min", "max", "and", "or", "xor", "pow"];
const FLOAT_BINARY: readonly BinaryOp[] = ["add", "sub", "mul", "div", "rem", "min", "max"];
const FLOAT_UNARY: readonly UnaryOp[] = ["neg", "abs", "sqrt", "floor", "ceil", "trunc"];
const COMPARE: readonly CompareOp[] = ["eq", "ne", "lt", "le", "gt", "ge"];

/** 16-byte chunks for each type, with the values where operators are delicate. */
function chunks(t: VectorType): Uint8Array<ArrayBuffer> {
  const n = LANES[t];
  const cycle = <T>(values: readonly T[], rows = 8): T[] =>
    Array.from({ length: rows * n }, (_, i) => values[(i * 7 + (i >> 2)) % values.length]!);
  const FLOATS = [0, -0, 1, -1, 0.5, 1.5, -2.5, 3, 1e9, -3e9, 1e-40, 3e38, Infinity, -Infinity, NaN, 7.25, 2147483647.5];
  const INTS = [0, 1, -1, 2, 3, -7, 127, -128, 255, 32767, -32768, 65535, 2147483647, -2147483648, 100000];
  switch (t) {
    case "f32x4":
      return new Uint8Array(new Float32Array(cycle(FLOATS)).buffer);
    case "f64x2":
      return new Uint8Array(new Float64Array(cycle(FLOATS)).buffer);
    case "i32x4":
      return new Uint8Array(new Int32Array(cycle(INTS)).buffer);
    case "i16x8":
      return new Uint8Array(new Int16Array(cycle(INTS)).buffer);
    case "i8x16":
      return new Uint8Array(new Int8Array(cycle(INTS)).buffer);
    case "i64x2":
      return new Uint8Array(new BigInt64Array(cycle([0n, 1n, -1n, 5n, 2n ** 40n, -(2n ** 63n), 2n ** 63n - 1n, -9n])).buffer);
  }
}

function cases(t: VectorType, a: Expr, b: Expr, memory: Expr): readonly (readonly [string, Expr])[] {
  const n = LANES[t];
  const lane = LANE_TYPE[t];
  const reverse = Array.from({ length: n }, (_, i) => n - 1 - i);
  const interleave = Array.from({ length: n }, (_, i) => (i >> 1) + (i & 1) * n);
  const amount = (x: number): Expr => k.splat(t, k.constant(lane, x));
  const integer: (readonly [string, Expr])[] = isFloat(t)
    ? []
    : [0, 1, 5, 7, 8, 31, 63, 64].flatMap((x) =>
        (["shl", "shr"] as const).map((op) => [`${op} ${x}`, k.binary(op, a, amount(x))] as const),
      );
  const bounds = [0, -0, 6, Number.NaN, Infinity].flatMap((c) =>
    (["min", "max"] as const).flatMap((op) =>
      isFloat(t) ? [[`${op} ${c}`, k.binary(op, a, amount(c))] as const, [`${c} ${op}`, k.binary(op, amount(c), b)] as const] : [],
    ),
  );
  return [
    ...(isFloat(t) ? FLOAT_UNARY : (["neg", "abs", "not"] as const)).map((op) => [op, k.unary(op, a)] as const),
    ...(isFloat(t) ? FLOAT_BINARY : INT_BINARY).map((op) => [op, k.binary(op, a, b)] as const),
    ...integer,
    ...bounds,
    ...(isFloat(t) ? [["round_even", k.unary("round_even", a)] as const] : []),
    ...COMPARE.map((op) => [op, k.compare(op, a, b)] as const),
    ["select", k.select(k.compare("lt", a, b), a, b)],
    ["select of a whole", k.select(k.compare("eq", k.extract(a, 0), k.extract(a, 0)), k.shuffle(a, b, reverse), b)],
    ["mask", k.select(k.unary("not", k.compare("lt", a, b)), b, a)],
    ["shuffle", k.shuffle(a, b, reverse)],
    ["interleave", k.shuffle(a, b, interleave)],
    ["replace", k.replace(a, n - 1, k.extract(b, 0))],
    ["replace by a load", k.replace(k.splat(t, k.constant(lane, 0)), 0, load(t, memory))],
    ["gather", k.replace(a, 1, load(t, memory))],
    ["splat of a load", k.splat(t, load(t, memory))],
    ["splat", k.splat(t, k.extract(b, n - 1))],
    ["splat of a constant", k.add(a, k.splat(t, k.constant(lane, 200)))],
    ...TYPES.map((to) => [`bits as ${to}`, k.bitcast(to, k.binary("add", a, b))] as const).filter(() => !isFloat(t)),
    ...(t === "i32x4" ? [["cast to f32x4", k.cast("f32x4", a)] as const] : []),
    ...(t === "f32x4" ? [["cast to i32x4", k.cast("i32x4", a)] as const] : []),
    ...(t === "i16x8" ? [["dot", k.dot(a, b)] as const] : []),
    ...(t === "i16x8" ? (["i8", "u8"] as const).map((to) => [`narrow to ${to}`, k.narrow(to, a, b)] as const) : []),
    ...(t === "i32x4" ? [["narrow to i16", k.narrow("i16", a, b)] as const] : []),
    ...packed.filter((m) => LOADED[m] === t).map((m) => [`${m} in memory`, k.add(a, k.load(m, memory, 3))] as const),
  ];
}

const packed = Object.keys(PACKED) as PackedType[];

function load(t: VectorType, memory: Expr): Expr {
  const scalar = { i8x16: "i8", i16x8: "i16", i32x4: "i32", i64x2: "i64", f32x4: "f32", f64x2: "f64" } as const;
  return k.load(scalar[t], memory, 16);
}

/** Values of the lanes, as numbers that compare equal when the same, NaNs included. */
const lanesOf = (t: VectorType, bytes: Uint8Array<ArrayBuffer>, at: number): string => {
  const slice = bytes.slice(at, at + 16).buffer;
  const values = isFloat(t) ? (t === "f32x4" ? new Float32Array(slice) : new Float64Array(slice)) : new Uint8Array(slice);
  return [...values].map((x) => (Object.is(x, -0) ? "-0" : String(x))).join(" ");
};

/** Targets without vectors take them apart; wasm has them where the engine is exact. */
const takesPairs = ({ variant: { can } }: Target): boolean =>
  can.vectors.length === 0 || (can.bytePairs === "unsigned" && hasFeature("byte-pairs"));
const takesSmallPairs = ({ variant: { can } }: Target): boolean =>
  can.vectors.length === 0 || (can.bytePairs !== undefined && hasFeature("small-byte-pairs"));
const takesBytes =
  (read: ByteReading) =>
  ({ variant: { can } }: Target): boolean =>
    can.vectors.length === 0 || (can.byteDots === read && hasFeature(read === "unsigned" ? "byte-dots" : "signed-byte-dots"));

describe.each(targets)("$name", (target) => {
  it.each(TYPES)("computes on %s what the interpreter does", async (t) => {
    const input = chunks(t);
    const rows = input.length / 16;
    const [a, b] = [k.variable("a", t), k.variable("b", t)];
    const list = cases(t, a, b, k.variable("p", "ptr"));
    const bytes = input.length + rows * rows * list.length * 16;
    const at = (i: string): Expr => k.advance(k.variable("arena", "ptr"), k.mul(k.variable(i), k.i32(16)));
    const body: Stmt[] = [
      k.let_("out", k.advance(k.variable("arena", "ptr"), k.i32(input.length))),
      k.let_("p", k.advance(k.variable("arena", "ptr"), k.i32(16))),
      k.for_("i", k.i32(0), k.i32(rows), [
        k.for_("j", k.i32(0), k.i32(rows), [
          k.let_("a", k.load(t, at("i"))),
          k.let_("b", k.load(t, at("j"))),
          ...list.map(([, value], c) => k.store(value.type as VectorType, k.variable("out", "ptr"), value, c * 16)),
          k.set("out", k.advance(k.variable("out", "ptr"), k.i32(list.length * 16))),
        ]),
      ]),
    ];
    const program = arenaProgram(body, bytes);
    const start = new Uint8Array(bytes);
    start.set(input);
    const expected = runInterpreter(program, start);
    const found = await runOn(target, program, start);
    const wrong: string[] = [];
    for (let r = 0; r < rows * rows; r++)
      list.forEach(([name, value], c) => {
        const place = input.length + (r * list.length + c) * 16;
        const [x, y] = [expected, found].map((run) => lanesOf(value.type as VectorType, run.arena, place));
        if (x !== y) wrong.push(`${name}, row ${r}: ${y}, expected ${x}`);
      });
    expect(wrong.slice(0, 20)).toEqual([]);
  });

  it("saturates the lanes that it stores as bytes", async () => {
    const p = k.variable("arena", "ptr");
    const lanes = k.load("i32x4", p);
    const words = k.load("i16x8", p, 16);
    const body = [
      k.store("u8x4", p, lanes, 33),
      k.store("i8x4", p, lanes, 37),
      k.store("i8x8", p, words, 41),
      k.store("u8x8", p, words, 50),
    ];
    const program = arenaProgram(body, 64);
    const start = new Uint8Array(64).fill(7);
    const [four, eight] = [new Int32Array(start.buffer, 0, 4), new Int16Array(start.buffer, 16, 8)];
    four.set([-70000, 130, 99, 2 ** 31 - 1]);
    eight.set([-32768, -129, -128, -1, 0, 127, 200, 32767]);
    const expected = start.slice();
    expected.set([0, 130, 99, 255], 33);
    expected.set([128, 127, 99, 127], 37);
    expected.set([128, 128, 128, 255, 0, 127, 127, 127], 41);
    expected.set([0, 0, 0, 0, 0, 127, 200, 255], 50);
    expect(runInterpreter(program, start.slice()).arena).toEqual(expected);
    expect((await runOn(target, program, start.slice())).arena).toEqual(expected);
  });

  it("keeps the order of loads and stores that overlap, and of lanes set at once", async () => {
    const p = k.variable("arena", "ptr");
    const v = k.variable("v", "f32x4");
    const body = [
      k.store("f32x4", p, k.load("f32x4", p), 4), // every lane moves up by one
      k.let_("v", k.load("f32x4", p)),
      k.set("v", k.shuffle(v, v, [1, 2, 3, 0])),
      k.store("f32x4", p, v, 32),
    ];
    const start = new Uint8Array(new Float32Array([1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 0]).buffer);
    const { arena } = await runOn(target, arenaProgram(body, 48), start);
    expect([...new Float32Array(arena.buffer)]).toEqual([1, 1, 2, 3, 4, 6, 7, 8, 1, 2, 3, 1]);
  });

  it("computes random expressions of f32x4 and i32x4 as the interpreter does", async () => {
    const leaf = (t: "f32x4" | "i32x4"): fc.Arbitrary<Expr> =>
      fc.oneof(
        fc.constantFrom("a", "b").map((name) => k.bitcast(t, k.variable(name, "i32x4"))),
        fc.integer({ min: -100, max: 100 }).map((x) => k.splat(t, k.constant(LANE_TYPE[t], x))),
      );
    const { ints } = fc.letrec<{ ints: Expr; floats: Expr }>((tie) => ({
      ints: fc.oneof(
        { maxDepth: 5, withCrossShrink: true },
        leaf("i32x4"),
        fc
          .tuple(fc.constantFrom<BinaryOp>("add", "sub", "mul", "min", "max", "xor", "and"), tie("ints"), tie("ints"))
          .map(([op, x, y]) => k.binary(op, x, y)),
        fc.tuple(tie("floats"), tie("floats"), tie("ints"), tie("ints")).map(([x, y, z, w]) => k.select(k.compare("lt", x, y), z, w)),
        tie("floats").map((x) => k.cast("i32x4", x)),
        fc.tuple(tie("ints"), fc.integer({ min: 0, max: 3 })).map(([x, i]) => k.splat("i32x4", k.extract(x, i))),
      ),
      floats: fc.oneof(
        { maxDepth: 5 },
        tie("ints").map((x) => k.cast("f32x4", x)),
        fc
          .tuple(fc.constantFrom<BinaryOp>("add", "sub", "min", "max"), tie("floats"), tie("floats"))
          .map(([op, x, y]) => k.binary(op, x, y)),
        fc
          .tuple(tie("floats"), fc.shuffledSubarray([0, 1, 2, 3, 4, 5, 6, 7], { minLength: 4, maxLength: 4 }))
          .map(([x, lanes]) => k.shuffle(x, k.unary("abs", x), lanes)),
      ),
    }));
    const property = fc.asyncProperty(
      fc.array(ints, { minLength: 4, maxLength: 12 }),
      fc.array(fc.integer(), { minLength: 8, maxLength: 8 }),
      async (values, input) => {
        const p = k.variable("arena", "ptr");
        const body = [
          k.let_("a", k.load("i32x4", p)),
          k.let_("b", k.load("i32x4", p, 16)),
          ...values.map((x, i) => k.store("i32x4", p, x, 32 + 16 * i)),
        ];
        const start = new Uint8Array(32 + 16 * values.length);
        new Int32Array(start.buffer).set(input);
        const program = arenaProgram(body, start.length);
        expect((await runOn(target, program, start)).arena).toEqual(runInterpreter(program, start).arena);
      },
    );
    await fc.assert(property, { numRuns: 40 });
  });
});

it.each(targets.filter(takesPairs))("$name adds up two products of signed bytes by unsigned ones, to the last bit", async (target) => {
  const p = k.variable("arena", "ptr");
  const dot = k.dotPairs(k.load("i8x16", p), k.load("i8x16", p, 16));
  const program = arenaProgram([k.store("i16x8", p, dot, 32)], 48);
  const run = async (a: readonly number[], b: readonly number[]): Promise<number[]> => {
    const start = new Uint8Array(48);
    start.set(a.map((x) => x & 255));
    start.set(b, 16);
    const { arena } = await runOn(target, program, start);
    expect(arena).toEqual(runInterpreter(program, start.slice()).arena);
    return [...new Int16Array(arena.buffer, 32, 8)];
  };
  const each = <T>(...xs: readonly T[]): T[] => Array.from({ length: 16 }, (_, i) => xs[i % xs.length]!);
  expect(await run(each(64), each(255))).toEqual(Array(8).fill(64 * 255 * 2));
  expect(await run(each(-64), each(255))).toEqual(Array(8).fill(-64 * 255 * 2));
  expect(await run(each(-128, 127), each(127, 1))).toEqual(Array(8).fill(-128 * 127 + 127));
  expect(await run(each(3, -5, 7, 11), each(200, 100, 0, 255))).toEqual([100, 2805, 100, 2805, 100, 2805, 100, 2805]);
});

it("sums of two products that leave 16 bits are no meaning", () => {
  const p = k.variable("arena", "ptr");
  const program = arenaProgram([k.store("i16x8", p, k.dotPairs(k.load("i8x16", p), k.load("i8x16", p, 16)), 32)], 48);
  expect(() => runInterpreter(program, new Uint8Array(48).fill(127, 0, 16).fill(255, 16, 32))).toThrow("64770, which leaves 16 bits");
});

it.each(targets.filter(takesBytes("unsigned")))("$name multiplies signed bytes by unsigned ones, to the last bit", async (target) => {
  const p = k.variable("arena", "ptr");
  const dot = k.dotBytes(k.load("i8x16", p), k.load("i8x16", p, 16), k.load("i32x4", p, 32), "unsigned");
  const program = arenaProgram([k.store("i32x4", p, dot, 48)], 64);
  const start = new Uint8Array(64);
  start.set([127, 127, 127, 127, 128, 128, 128, 128, 1, 255, 3, 4, 0, 200, 0, 9]);
  start.set([255, 255, 255, 255, 255, 255, 255, 255, 9, 8, 128, 1, 77, 250, 0, 255], 16);
  start.set(new Uint8Array(Int32Array.of(-5, 7, 2 ** 31 - 1, 0).buffer), 32);
  const sums = [4 * 127 * 255 - 5, -4 * 128 * 255 + 7, (2 ** 31 - 1 + 9 - 8 + 384 + 4) | 0, -56 * 250 + 9 * 255];
  const of = (arena: Uint8Array): number[] => [...new Int32Array(arena.slice(48).buffer)];
  expect(of(runInterpreter(program, start.slice()).arena)).toEqual(sums);
  expect(of((await runOn(target, program, start.slice())).arena)).toEqual(sums);
});

it.each(targets.filter(takesBytes("signed")))("$name multiplies signed bytes, to the last bit", async (target) => {
  const p = k.variable("arena", "ptr");
  const dot = k.dotBytes(k.load("i8x16", p), k.load("i8x16", p, 16), k.load("i32x4", p, 32), "signed");
  const program = arenaProgram([k.store("i32x4", p, dot, 48)], 64);
  const start = new Uint8Array(64);
  start.set([127, 127, 127, 127, 129, 129, 129, 129, 1, 255, 3, 4, 0, 200, 0, 9]);
  start.set([128, 128, 128, 128, 128, 128, 128, 128, 9, 8, 128, 1, 77, 250, 0, 255], 16);
  start.set(new Uint8Array(Int32Array.of(-5, 7, 2 ** 31 - 1, 0).buffer), 32);
  const sums = [-4 * 127 * 128 - 5, 4 * 127 * 128 + 7, 2 ** 31 - 1 + 9 - 8 - 384 + 4, 56 * 6 - 9];
  const of = (arena: Uint8Array): number[] => [...new Int32Array(arena.slice(48).buffer)];
  expect(of(runInterpreter(program, start.slice()).arena)).toEqual(sums);
  expect(of((await runOn(target, program, start.slice())).arena)).toEqual(sums);
});

it.each(targets.filter(takesSmallPairs))("$name multiplies signed bytes by small ones, in pairs", async (target) => {
  const p = k.variable("arena", "ptr");
  const program = arenaProgram([k.store("i16x8", p, k.dotPairs(k.load("i8x16", p), k.load("i8x16", p, 16), true), 32)], 48);
  const start = new Uint8Array(48);
  start.set([127, 127, 128, 128, 1, 255, 3, 252, 0, 200, 0, 9, 100, 101, 102, 103]);
  start.set([127, 127, 127, 127, 9, 8, 15, 1, 77, 15, 0, 126, 1, 2, 3, 4], 16);
  const sums = [2 * 127 * 127, -2 * 128 * 127, 9 - 8, 45 - 4, -56 * 15, 9 * 126, 302, 718];
  const of = (arena: Uint8Array): number[] => [...new Int16Array(arena.slice(32).buffer)];
  expect(of(runInterpreter(program, start.slice()).arena)).toEqual(sums);
  expect(of((await runOn(target, program, start.slice())).arena)).toEqual(sums);
});

it("sums of two signed products that leave 16 bits are no meaning", () => {
  const p = k.variable("arena", "ptr");
  const dot = k.dotBytes(k.load("i8x16", p), k.load("i8x16", p, 16), k.load("i32x4", p, 32), "signed");
  expect(() => runInterpreter(arenaProgram([k.store("i32x4", p, dot, 48)], 64), new Uint8Array(64).fill(128, 0, 32))).toThrow(
    "leaves 16 bits",
  );
});

it("second operands above 127 are not small", () => {
  const p = k.variable("arena", "ptr");
  const program = arenaProgram([k.store("i16x8", p, k.dotPairs(k.load("i8x16", p), k.load("i8x16", p, 16), true), 32)], 48);
  expect(() => runInterpreter(program, new Uint8Array(48).fill(1, 0, 16).fill(128, 16, 32))).toThrow("not small");
});
