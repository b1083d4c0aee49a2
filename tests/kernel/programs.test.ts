// Random kernel programs with loops, branches, calls and memory: each backend against the interpreter, bit for bit.

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import * as k from "../../ir/kernel/build.ts";
import { printProgram } from "../../ir/kernel/print.ts";
import type { Expr, Func, Stmt } from "../../ir/kernel/types.ts";
import type { BinaryOp, CompareOp } from "../../ir/scalar/types.ts";
import { arenaProgram, runInterpreter, runOn, targets } from "./support.ts";

const CELLS = 16;
const INTS = ["i0", "i1", "i2"];
const FLOATS = ["f0", "f1"];
const int = (name: string): Expr => k.variable(name);
const float = (name: string): Expr => k.variable(name, "f32");
const arena = k.variable("arena", "ptr");
/** One of the arena's cells, whatever the index. */
const cell = (index: Expr): Expr => k.advance(arena, k.mul(k.and(index, k.i32(CELLS - 1)), k.i32(4)));

const helper: Func = {
  name: "blend",
  params: [
    { name: "a", type: "f32" },
    { name: "n", type: "i32" },
  ],
  body: [
    k.let_("s", k.variable("a", "f32")),
    k.for_("j", k.i32(0), k.and(k.variable("n"), k.i32(3)), [k.set("s", k.mul(k.variable("s", "f32"), k.f32(0.75)))]),
  ],
  result: k.variable("s", "f32"),
};

const expressions = fc.letrec<{ int: Expr; float: Expr; bool: Expr }>((tie) => ({
  int: fc.oneof(
    { maxDepth: 4 },
    fc.constantFrom(...INTS).map(int),
    fc.oneof(fc.integer({ min: -9, max: 9 }), fc.integer()).map(k.i32),
    fc
      .tuple(
        fc.constantFrom<BinaryOp>("add", "sub", "mul", "div", "rem", "min", "max", "and", "or", "xor", "shl", "shr"),
        tie("int"),
        tie("int"),
      )
      .map(([op, a, b]) => k.binary(op, a, b)),
    tie("int").map((i) => k.load("i32", cell(i))),
    tie("float").map((x) => k.cast("i32", x)),
    fc.tuple(tie("bool"), tie("int"), tie("int")).map(([c, a, b]) => k.select(c, a, b)),
  ),
  float: fc.oneof(
    { maxDepth: 4 },
    fc.constantFrom(...FLOATS).map(float),
    fc.integer({ min: -8, max: 8 }).map((x) => k.f32(x / 4)),
    fc
      .tuple(fc.constantFrom<BinaryOp>("add", "sub", "mul", "div", "min", "max", "rem"), tie("float"), tie("float"))
      .map(([op, a, b]) => k.binary(op, a, b)),
    tie("int").map((i) => k.cast("f32", i)),
    fc.tuple(tie("float"), tie("int")).map(([x, n]) => k.call("f32", "blend", [x, n])),
    tie("float").map((x) => k.unary("round_even", x)),
  ),
  bool: fc.oneof(
    { maxDepth: 3 },
    fc.tuple(fc.constantFrom<CompareOp>("lt", "le", "eq", "ne"), tie("int"), tie("int")).map(([op, a, b]) => k.compare(op, a, b)),
    fc.tuple(tie("float"), tie("float")).map(([a, b]) => k.compare("ge", a, b)),
    fc.tuple(tie("bool"), tie("bool")).map(([a, b]) => k.and(a, b)),
    tie("bool").map((a) => k.unary("not", a)),
  ),
}));

/** Statements whose loops end; names of counters are made unique afterwards. */
const blocks = fc.letrec<{ block: Stmt[] }>((tie) => {
  const bound = expressions.int.map((e) => k.and(e, k.i32(3)));
  const statement: fc.Arbitrary<Stmt[]> = fc.oneof(
    { maxDepth: 3 },
    fc.tuple(fc.constantFrom(...INTS), expressions.int).map(([name, e]) => [k.set(name, e)]),
    fc.tuple(fc.constantFrom(...FLOATS), expressions.float).map(([name, e]) => [k.set(name, e)]),
    fc.tuple(expressions.int, expressions.int).map(([i, e]) => [k.store("i32", cell(i), e)]),
    expressions.bool.map((c) => [k.assert(c, 1)]),
    fc.tuple(expressions.bool, tie("block"), tie("block")).map(([c, a, b]) => [k.if_(c, a, b)]),
    fc.tuple(bound, tie("block")).map(([n, body]) => [k.for_("c", k.i32(-1), n, body, 2)]),
    fc
      .tuple(bound, tie("block"))
      .map(([n, body]) => [k.let_("c", n), k.repeat([...body, k.set("c", k.sub(int("c"), k.i32(1)))], k.lt(k.i32(0), int("c")))]),
    fc
      .tuple(bound, tie("block"))
      .map(([n, body]) => [k.let_("c", n), k.while_(k.lt(k.i32(0), int("c")), [...body, k.set("c", k.sub(int("c"), k.i32(1)))])]),
  );
  return { block: fc.array(statement, { maxLength: 4 }).map((s) => s.flat()) };
});

/** Renames the counters `c` apart, each in its own scope. */
function apart(body: readonly Stmt[]): Stmt[] {
  let count = 0;
  const walk = (list: readonly Stmt[]): Stmt[] => {
    let current = "c";
    const counter = (e: Expr): Expr => JSON.parse(JSON.stringify(e).replaceAll('"name":"c"', `"name":"${current}"`)) as Expr;
    return list.map((s): Stmt => {
      switch (s.kind) {
        case "let":
          current = `c${count++}`;
          return { ...s, name: current };
        case "for":
          return { ...s, name: `c${count++}`, body: walk(s.body) };
        case "if":
          return { ...s, then: walk(s.then), else: walk(s.else) };
        case "repeat": {
          const outer = current;
          return { ...s, body: renamed(walk(s.body), outer), again: counter(s.again) };
        }
        case "while": {
          const outer = current;
          return { ...s, cond: counter(s.cond), body: renamed(walk(s.body), outer) };
        }
        default:
          return s;
      }
    });
  };
  /** The decrement at the end of a loop's body. */
  const renamed = (list: Stmt[], name: string): Stmt[] =>
    list.map((s, i) => (i === list.length - 1 ? k.set(name, k.sub(int(name), k.i32(1))) : s));
  return walk(body);
}

const programs = fc.tuple(blocks.block, fc.array(fc.integer(), { minLength: CELLS, maxLength: CELLS })).map(([block, cells]) => {
  const start = [
    ...INTS.map((name, i) => k.let_(name, k.load("i32", arena, 4 * i))),
    ...FLOATS.map((name, i) => k.let_(name, k.cast("f32", k.load("i32", arena, 4 * i + 16)))),
  ];
  const end = [
    ...INTS.map((name, i) => k.store("i32", arena, int(name), 64 + 4 * i)),
    ...FLOATS.map((name, i) => k.store("f32", arena, float(name), 80 + 4 * i)),
  ];
  return { program: arenaProgram([...start, ...apart(block), ...end], 96, [helper], ["zero", "one"]), cells };
});

describe.each(targets)("$name", (target) => {
  it("runs random programs as the interpreter does", async () => {
    const property = fc.asyncProperty(programs, async ({ program, cells }) => {
      const bytes = new Uint8Array(96);
      new Int32Array(bytes.buffer).set(cells);
      const [expected, found] = [runInterpreter(program, bytes), await runOn(target, program, bytes)];
      expect(found.fault, printProgram(program)).toBe(expected.fault);
      const ints = (a: Uint8Array<ArrayBuffer>): number[] => [...new Int32Array(a.buffer, 0, 20)];
      const floats = (a: Uint8Array<ArrayBuffer>): number[] => [...new Float32Array(a.buffer, 80, 4)];
      expect(ints(found.arena), printProgram(program)).toEqual(ints(expected.arena));
      expect(floats(found.arena), printProgram(program)).toEqual(floats(expected.arena));
    });
    await fc.assert(property, { numRuns: 150 });
  });
});
