// Every scalar operator on every type over edge values: each backend against the interpreter, bit for bit.

import { describe, expect, it } from "vitest";
import * as k from "../../ir/kernel/build.ts";
import { type Expr, LOADED, MEMORY_BYTES, type MemoryType, type Stmt } from "../../ir/kernel/types.ts";
import type { BinaryOp, CompareOp, NarrowType, ScalarType, UnaryOp } from "../../ir/scalar/types.ts";
import { arenaProgram, runInterpreter, runOn, targets } from "./support.ts";

type Values = readonly (number | bigint)[];
const BIG = [
  0n,
  1n,
  -1n,
  2n,
  -2n,
  3n,
  7n,
  31n,
  32n,
  33n,
  63n,
  64n,
  65n,
  -7n,
  2n ** 31n,
  -(2n ** 31n),
  2n ** 32n - 1n,
  2n ** 53n + 1n,
  2n ** 63n - 1n,
  -(2n ** 63n),
];
const INT = [
  0,
  1,
  -1,
  2,
  -2,
  3,
  7,
  -7,
  8,
  31,
  32,
  33,
  63,
  64,
  255,
  256,
  -128,
  32768,
  65535,
  1e9,
  -1e9,
  2 ** 31 - 1,
  -(2 ** 31),
  -(2 ** 31) + 1,
  46341,
];
const FLOAT = [
  0,
  -0,
  1,
  -1,
  0.5,
  -0.5,
  1.5,
  2.5,
  -2.5,
  3,
  -7.25,
  0.1,
  1e-3,
  65504,
  65520,
  1e9,
  2147483647.5,
  -2147483649,
  4294967295.5,
  4294967296,
  8388609.5,
  9.3e18,
  -9.3e18,
  1.9e19,
  1e30,
  -1e30,
  1e-40,
  5e-324,
  1.1754943508222875e-38,
  3.4028234663852886e38,
  Infinity,
  -Infinity,
  NaN,
];
const VALUES: Readonly<Record<ScalarType, Values>> = {
  bool: [0, 1],
  i32: INT,
  u32: INT.map((x) => x >>> 0),
  i64: BIG,
  u64: BIG.map((x) => BigInt.asUintN(64, x)),
  f32: FLOAT.map(Math.fround),
  f64: FLOAT,
};
const TYPES = Object.keys(VALUES) as ScalarType[];
const isInt = (t: ScalarType): boolean => t !== "bool" && t !== "f32" && t !== "f64";

const UNARY: readonly UnaryOp[] = ["neg", "abs", "not", "sqrt", "floor", "ceil", "trunc", "round_even"];
const BINARY: readonly BinaryOp[] = ["add", "sub", "mul", "div", "rem", "min", "max", "pow", "and", "or", "xor", "shl", "shr"];
const COMPARE: readonly CompareOp[] = ["eq", "ne", "lt", "le", "gt", "ge"];

function unaryOps(t: ScalarType): readonly UnaryOp[] {
  if (t === "bool") return ["not"];
  return UNARY.filter((op) => (isInt(t) ? op === "neg" || op === "abs" || op === "not" : op !== "not"));
}
function binaryOps(t: ScalarType): readonly BinaryOp[] {
  if (t === "bool") return ["and", "or", "xor"];
  return BINARY.filter((op) => isInt(t) || !["and", "or", "xor", "shl", "shr", "pow"].includes(op));
}

interface Case {
  readonly name: string;
  readonly value: Expr;
}

/** What to compute for each pair (a, b) of edge values of a type. */
function cases(t: ScalarType, a: Expr, b: Expr): readonly Case[] {
  const casts = TYPES.map((to): Case => ({ name: `cast to ${to}`, value: k.cast(to, a) }));
  const bits = { i32: "f32", u32: "i32", f32: "u32", i64: "f64", u64: "i64", f64: "u64", bool: "bool" } as const;
  const wraps: NarrowType[] = t === "i32" ? ["i4", "u4", "i8", "u8", "i16", "u16"] : t === "f32" ? ["f16"] : [];
  const constants = isInt(t) ? [0, 1, -1, 5, 31, 32, 63, 64].map((x) => k.constant(t, x)) : [];
  const byConstant = constants.flatMap((c) =>
    (["div", "rem", "shl", "shr", "min"] as const).map(
      (op): Case => ({ name: `${op} by ${c.kind === "const" && c.value}`, value: k.binary(op, a, c) }),
    ),
  );
  return [
    ...unaryOps(t).map((op): Case => ({ name: op, value: k.unary(op, a) })),
    ...binaryOps(t).map((op): Case => ({ name: op, value: k.binary(op, a, b) })),
    ...COMPARE.slice(0, t === "bool" ? 2 : 6).map((op): Case => ({ name: op, value: k.compare(op, a, b) })),
    { name: "select", value: k.select(k.compare("eq", a, b), b, a) },
    ...casts,
    ...(t === "bool" ? [] : [{ name: "bitcast", value: k.bitcast(bits[t], a) }]),
    ...wraps.map((to): Case => ({ name: `wrap to ${to}`, value: k.wrap(to, a) })),
    ...byConstant,
    ...(t === "i32" ? [{ name: "dot4", value: k.dot4(a, b) }] : []),
    // Operands that are no plain variables, so that printers must name them.
    ...(isInt(t)
      ? (["div", "rem", "min", "shr"] as const).map((op): Case => ({ name: `nested ${op}`, value: k.binary(op, k.sub(a, b), k.add(b, a)) }))
      : []),
  ];
}

function write(bytes: Uint8Array<ArrayBuffer>, t: ScalarType, at: number, values: Values): void {
  const view = new DataView(bytes.buffer);
  values.forEach((x, i) => {
    const p = at + i * 8;
    if (typeof x === "bigint") view.setBigInt64(p, x, true);
    else if (t === "f32") view.setFloat32(p, x, true);
    else if (t === "f64") view.setFloat64(p, x, true);
    else if (t === "bool") view.setUint8(p, x);
    else view.setInt32(p, x, true);
  });
}

function read(bytes: Uint8Array<ArrayBuffer>, t: ScalarType, at: number): number | bigint {
  const view = new DataView(bytes.buffer);
  switch (t) {
    case "bool":
      return view.getUint8(at);
    case "i32":
      return view.getInt32(at, true);
    case "u32":
      return view.getUint32(at, true);
    case "i64":
      return view.getBigInt64(at, true);
    case "u64":
      return view.getBigUint64(at, true);
    case "f32":
      return view.getFloat32(at, true);
    case "f64":
      return view.getFloat64(at, true);
  }
}

describe.each(targets)("$name", (target) => {
  it.each(TYPES)("computes on %s what the interpreter does", async (t) => {
    const values = VALUES[t];
    const n = values.length;
    const [x, y] = [k.variable("x", t), k.variable("y", t)];
    const list = cases(t, x, y);
    const [count, input] = [list.length, n * 8];
    const bytes = input + n * n * count * 8;
    const arena = k.variable("arena", "ptr");
    const row = k.advance(k.variable("out", "ptr"), k.i32(count * 8));
    const body: Stmt[] = [
      k.let_("out", k.advance(arena, k.i32(input))),
      k.for_("i", k.i32(0), k.i32(n), [
        k.let_("x", k.load(t, k.advance(arena, k.mul(k.variable("i"), k.i32(8))))),
        k.for_("j", k.i32(0), k.i32(n), [
          k.let_("y", k.load(t, k.advance(arena, k.mul(k.variable("j"), k.i32(8))))),
          ...list.map(({ value }, c) => k.store(value.type as ScalarType, k.variable("out", "ptr"), value, c * 8)),
          k.set("out", row),
        ]),
      ]),
    ];
    const program = arenaProgram(body, bytes);
    const start = new Uint8Array(bytes);
    write(start, t, 0, values);
    const expected = runInterpreter(program, start);
    const found = await runOn(target, program, start);
    expect(found.fault).toBe(-1);
    const wrong: string[] = [];
    for (let i = 0; i < n; i++)
      for (let j = 0; j < n; j++)
        for (let c = 0; c < count; c++) {
          const at = input + ((i * n + j) * count + c) * 8;
          const type = list[c]!.value.type as ScalarType;
          const [a, b] = [read(expected.arena, type, at), read(found.arena, type, at)];
          // The bits of a NaN are nobody's business: an integer made of them may differ.
          const nanBits = list[c]!.name === "bitcast" && Number.isNaN(values[i]);
          if (!Object.is(a, b) && !nanBits) wrong.push(`${list[c]!.name}(${values[i]}, ${values[j]}): ${b}, expected ${a}`);
        }
    expect(wrong.slice(0, 20)).toEqual([]);
  });

  it("loads and stores every memory type", async () => {
    const memories: MemoryType[] = ["i8", "u8", "bool", "i16", "u16", "i32", "u32", "i64", "u64", "f16", "f32", "f64"];
    const patterns = [0, 1, 0x7f, 0x80, 0xff, 0x3c00, 0x7bff, 0x7c00, 0x8001, 0xfbff, 0xffff, 0x0001, 0x03ff, 0x0400];
    const arena = new Uint8Array(8 * patterns.length * (1 + memories.length));
    patterns.forEach((p, i) => new DataView(arena.buffer).setUint16(8 * i, p, true));
    const base = k.variable("arena", "ptr");
    const body = memories.flatMap((m, row) =>
      patterns.map((_, i): Stmt => {
        const value = k.load(m, base, 8 * i);
        // Something in between, or a load and a store of the same type would cancel out.
        const changed = LOADED[m] === "bool" ? value : k.add(value, k.cast(LOADED[m] as ScalarType, k.i32(3)));
        return k.store(m, base, changed, 8 * (patterns.length * (row + 1) + i));
      }),
    );
    const program = arenaProgram(body, arena.length);
    const found = await runOn(target, program, arena);
    const expected = runInterpreter(program, arena);
    const rows = (bytes: Uint8Array): unknown[] =>
      memories.map((m, row) =>
        patterns.map((_, i) => {
          const at = 8 * (patterns.length * (row + 1) + i);
          return [...bytes.subarray(at, at + MEMORY_BYTES[m])].join();
        }),
      );
    expect(rows(found.arena)).toEqual(rows(expected.arena));
  });

  it("reports the fault of a failed assert, and runs again", async () => {
    const base = k.variable("arena", "ptr");
    const body = [k.store("i32", base, k.i32(5), 4), k.assert(k.lt(k.load("i32", base), k.i32(10)), 1), k.store("i32", base, k.i32(6), 4)];
    const program = arenaProgram(body, 8, [], ["zero", "one"]);
    const bad = await runOn(target, program, new Uint8Array([10, 0, 0, 0, 0, 0, 0, 0]));
    expect([bad.fault, bad.arena[4]]).toEqual([1, 5]);
    const good = await runOn(target, program, new Uint8Array(8));
    expect([good.fault, good.arena[4]]).toEqual([-1, 6]);
  });
});
