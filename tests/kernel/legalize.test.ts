// Kernel passes: what each establishes, and that it keeps the meaning.

import { describe, expect, it } from "vitest";
import type { Capabilities } from "../../compiler/backend.ts";
import { kernelPasses, legalize } from "../../compiler/kernel/legalize.ts";
import * as k from "../../ir/kernel/build.ts";
import { printProgram } from "../../ir/kernel/print.ts";
import { type Expr, type Func, isVector, type Program } from "../../ir/kernel/types.ts";
import { visitExpressions } from "../../ir/kernel/walk.ts";
import { fromF16, toF16 } from "../../ir/scalar/f16.ts";
import { arenaProgram, runInterpreter, runOn, targets } from "./support.ts";

const arena = k.variable("arena", "ptr");
const v = k.variable;
const everything: Capabilities = {
  vectors: ["f32x4", "i32x4", "i16x8", "i8x16", "f64x2", "i64x2"],
  f16: true,
  fma: true,
  maths: ["round_even", "exp", "rem"],
  accumulators: 8,
};
const kinds = (p: Program): Set<string> => {
  const found = new Set<string>();
  for (const f of p.functions)
    visitExpressions(f, (e) => {
      found.add(e.kind === "unary" || e.kind === "binary" ? e.op : e.kind);
      if (isVector(e.type)) found.add("vector");
      if (e.kind === "load" && e.memory === "f16") found.add("f16");
    });
  return found;
};
const names = (p: Program): string[] => p.functions.map((f) => f.name);
const storing = (value: Expr, memory: "f32" | "f32x4" | "f64" = "f32"): Program => arenaProgram([k.store(memory, arena, value)], 64);

describe("legalize", () => {
  it("is a list of named passes, and leaves alone what the target has", () => {
    expect(kernelPasses.map((p) => p.name)).toEqual([
      "spread-out",
      "share-out",
      "expand-dot4",
      "name-shared",
      "scalarize",
      "expand-f16",
      "join-stores",
      "expand-lanes",
      "expand-maths",
      "expand-fma",
      "inline",
    ]);
    expect(kernelPasses.every((p) => p.establishes.length > 10)).toBe(true);
    const program = storing(
      k.fma(k.unary("exp", k.load("f16", arena)), k.load("f32", arena, 4), k.unary("round_even", k.load("f32", arena, 8))),
    );
    expect(printProgram(legalize(program, everything))).toBe(printProgram(program));
  });

  it("names what a statement would compute twice, but nothing that is evaluated only at times", () => {
    const twice = (at: number): Expr => k.add(k.load("f32", arena, at), k.f32(1));
    const cond = k.lt(k.load("i32", arena), k.i32(1));
    const body = [k.store("f32", arena, k.mul(twice(4), k.add(twice(4), k.select(cond, k.mul(twice(8), twice(8)), twice(4)))))];
    expect(printProgram(legalize(arenaProgram(body, 64), everything))).toContain(`
  let shared0: f32 = f32[arena + 4] + 1:f32
  f32[arena] = shared0 * (shared0 + select(i32[arena] < 1, (f32[arena + 8] + 1:f32) * (f32[arena + 8] + 1:f32), shared0))
`);
    const chain = Array.from({ length: 40 }).reduce<Expr>((x) => k.mul(x, x), k.load("f32", arena));
    expect(legalize(storing(chain), everything).functions[0]!.body.length).toBe(41);
  });

  it("adds only the functions that are called, callees first", () => {
    const program = storing(k.binary("pow", k.load("f32", arena), k.load("f32", arena)));
    const order = ["math_pow_finish", "math_exp_f64", "math_log_reduced", "math_log_wide", "math_pow_f32", "main"];
    expect(names(legalize(program, everything))).toEqual(order);
    expect(names(legalize(storing(k.unary("sqrt", k.load("f32", arena))), { ...everything, maths: [] }))).toEqual(["main"]);
  });

  it("adds one function once, however often it is called, and none for what only a dead function calls", () => {
    const dead: Func = { name: "dead", params: [{ name: "a", type: "f32" }], body: [], result: k.unary("sin", v("a", "f32")) };
    const body = [0, 4, 8].map((at) => k.store("f32", arena, k.unary("log", k.load("f32", arena, at)), at));
    expect(names(legalize(arenaProgram(body, 64, [dead]), everything))).toEqual([
      "math_log_reduced",
      "math_log_wide",
      "math_log_f32",
      "main",
    ]);
  });

  it("removes vectors, fma and f16 where the target lacks them", () => {
    const bare: Capabilities = { ...everything, vectors: [], f16: false, fma: false };
    const program = storing(k.fma(k.load("f32x4", arena), k.splat("f32x4", k.load("f16", arena)), k.load("f32x4", arena, 16)), "f32x4");
    expect([...kinds(program)]).toEqual(expect.arrayContaining(["vector", "fma", "f16"]));
    const found = kinds(legalize(program, bare));
    expect(["vector", "fma", "f16"].filter((x) => found.has(x))).toEqual([]);
  });

  it("inlines vector functions into loops, but not where there are many, nor into sides of a select", () => {
    const load = (at: number): Expr => k.load("f32x4", arena, at);
    const few = arenaProgram([k.store("f32x4", arena, k.unary("tanh", load(0)))], 256);
    const many = arenaProgram(
      Array.from({ length: 9 }, (_, i) => k.store("f32x4", arena, k.unary("tanh", load(16 * i)), 16 * i)),
      256,
    );
    const lazy = arenaProgram(
      [k.store("f32x4", arena, k.select(k.lt(k.load("i32", arena), k.i32(3)), k.unary("tanh", load(16)), load(0)))],
      256,
    );
    const all = { ...everything, maths: ["round_even"] } as const;
    expect(names(legalize(few, all))).toEqual(["main"]);
    expect(names(legalize(many, all))).toEqual(["math_tanh_f32x4", "main"]);
    expect(names(legalize(lazy, all))).toEqual(["math_tanh_f32x4", "main"]);
  });

  it("splits functions of vectors, and keeps loads in guarded sides of a select guarded", () => {
    const param = [{ name: "a", type: "f32x4" }] as const;
    const swap: Func = { name: "swap", params: param, body: [], result: k.shuffle(v("a", "f32x4"), v("a", "f32x4"), [1, 0, 3, 2]) };
    const far = k.call("f32x4", "swap", [k.load("f32x4", arena, 16)]);
    const guarded = k.select(k.lt(k.load("i32", arena, 60), k.i32(1)), far, k.load("f32x4", arena, 1000));
    const program = arenaProgram([k.store("f32x4", arena, guarded, 32)], 64, [swap]);
    const start = new Uint8Array(64);
    new Float32Array(start.buffer).set([0, 0, 0, 0, 1, 2, 3, 4]);
    const legal = legalize(program, { ...everything, vectors: [] });
    expect(names(legal)).toEqual(["swap__0", "swap__1", "swap__2", "swap__3", "main"]);
    expect([...new Float32Array(runInterpreter(legal, start).arena.buffer, 32, 4)]).toEqual([2, 1, 4, 3]);
  });
});

describe.each(targets)("$name", (target) => {
  it("decodes all f16 bits and rounds to them", async () => {
    const n = 65536;
    const i = v("i");
    const x = k.load("f16", k.advance(arena, k.mul(i, k.i32(2))));
    const between = k.load("f32", k.advance(arena, k.add(k.i32(2 * n), k.mul(i, k.i32(4)))));
    const body = [
      k.for_("i", k.i32(0), k.i32(n), [
        k.store("f32", k.advance(arena, k.add(k.i32(6 * n), k.mul(i, k.i32(4)))), x),
        k.store("f16", k.advance(arena, k.add(k.i32(10 * n), k.mul(i, k.i32(2)))), between),
      ]),
    ];
    const start = new Uint8Array(12 * n);
    const halves = new Uint16Array(start.buffer, 0, n).map((_, h) => h);
    // Near the middle of neighbours: below, on and above it by turns.
    const inputs = Float32Array.from(halves, (h) => {
      const middle = (fromF16(h) + fromF16((h + 1) & 0xffff)) / 2;
      return Number.isFinite(middle) ? middle * (1 + ((h % 3) - 1) * 2 ** -22) : fromF16(h);
    });
    new Uint16Array(start.buffer).set(halves);
    new Float32Array(start.buffer, 2 * n, n).set(inputs);
    const { arena: bytes } = await runOn(target, arenaProgram(body, 12 * n), start);
    const decoded = new Float32Array(bytes.buffer, 6 * n, n);
    const encoded = new Uint16Array(bytes.buffer, 10 * n, n);
    expect([...halves].filter((h) => !Object.is(decoded[h], fromF16(h)))).toEqual([]);
    expect([...halves].filter((h) => encoded[h] !== toF16(inputs[h]!))).toEqual([]);
  });
});
