// Teams of threads in the interpreter, which judges races: what is shared out, where they meet, and that they come to what one thread does.

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { shareOut } from "../../compiler/kernel/share-out.ts";
import { defaultPipeline, runPipeline } from "../../compiler/pipeline.ts";
import {
  add,
  barrier,
  call,
  callStmt,
  compare,
  for_,
  i32,
  if_,
  let_,
  load,
  mul,
  pointer,
  section,
  store,
  swap,
  team,
  variable,
  while_,
} from "../../ir/kernel/build.ts";
import { interpret } from "../../ir/kernel/interpret.ts";
import { printFunc } from "../../ir/kernel/print.ts";
import type { Expr, Func, Program, Stmt } from "../../ir/kernel/types.ts";
import { verify } from "../../ir/kernel/verify.ts";
import { codeOf } from "../support/code-of.ts";
import { randomGraphs } from "../support/random-graph.ts";
import { runLowered, SCALAR_TARGET, VECTOR_TARGET } from "../support/run-lowered.ts";

const y = variable("y", "ptr");
const at = (i: Expr, bytes = 4): Expr => ({ kind: "advance", type: "ptr", ptr: y, bytes: mul(i, i32(bytes)) });
const program = (body: readonly Stmt[], before: readonly Func[] = []): Program => ({
  functions: [...before, { name: "run", params: [pointer("y", "readwrite", 64)], body }],
  entry: "run",
  faults: ["a fault"],
});

/** What `threads` threads leave in 16 words. */
function run(p: Program, threads: number): number[] {
  const bytes = new Uint8Array(64);
  const { fault } = interpret(shareOut.run(p, { ...SCALAR_TARGET, threads }), "run", [{ bytes }], { threads });
  return [fault, ...new Int32Array(bytes.buffer)];
}
const who = (i: Expr): Stmt => store("i32", at(i), add(mul(team("rank"), i32(100)), i));

describe("sharing out", () => {
  test("a loop in contiguous parts", () => {
    const p = program([for_("i", i32(0), i32(7), [who(variable("i"))], 1, 1)]);
    expect(run(p, 2).slice(1, 8)).toEqual([0, 1, 2, 103, 104, 105, 106]);
    expect(run(p, 3).slice(1, 8)).toEqual([0, 1, 102, 103, 204, 205, 206]);
  });

  test("loops that stand together as one, by what they cost", () => {
    const p = program([for_("i", i32(0), i32(9), [who(variable("i"))], 3, 4), section("last", [who(i32(9))], 12)]);
    const [, ...words] = run(p, 2);
    expect([0, 3, 6, 9].map((i) => words[i])).toEqual([0, 3, 6, 109]);
  });

  test("loops of any bounds, every round once", () => {
    const loop = fc.record({
      from: fc.nat(3),
      count: fc.nat(6),
      step: fc.integer({ min: 1, max: 3 }),
      cost: fc.integer({ min: 1, max: 9 }),
      fixed: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(loop, { minLength: 1, maxLength: 4 }), fc.integer({ min: 2, max: 8 }), (loops, threads) => {
        // Bounds that are not constants: plus what `y` holds at its end, zero.
        const bound = (n: number, fixed: boolean): Expr => (fixed ? i32(n) : add(i32(n), load("i32", y, 1020)));
        const once = loops.map((l, k) =>
          for_(
            `i${k}`,
            bound(l.from, l.fixed),
            bound(l.from + l.count, l.fixed),
            [store("i32", at(variable(`i${k}`)), add(load("i32", at(variable(`i${k}`)), 64 * k), i32(1)), 64 * k)],
            l.step,
            l.cost,
          ),
        );
        const p: Program = {
          functions: [{ name: "run", params: [pointer("y", "readwrite", 1024)], body: once }],
          entry: "run",
          faults: [],
        };
        const found = [1, threads].map((size) => {
          const bytes = new Uint8Array(1024);
          interpret(shareOut.run(p, { ...SCALAR_TARGET, threads: size }), "run", [{ bytes }], { threads: size });
          return bytes;
        });
        expect(found[1]).toEqual(found[0]);
      }),
    );
  });

  test("none of it is left for targets without threads", () => {
    const p = program([section("first", [who(i32(0))], 1), barrier, store("i32", y, team("size"), 4)]);
    const alone = shareOut.run(p, SCALAR_TARGET).functions[0]!;
    expect(printFunc(alone)).not.toMatch(/parallel|barrier|rank|size/);
    expect(run(p, 1).slice(0, 3)).toEqual([-1, 0, 1]);
  });
});

describe("meeting", () => {
  const others = add(i32(1), mul(team("rank"), i32(-1)));

  test("what one thread writes before a barrier, others read after it; in functions, loops and branches too", () => {
    const exchange: Func = {
      name: "exchange",
      params: [pointer("y", "readwrite", 64)],
      body: [
        store("i32", at(team("rank")), add(team("rank"), i32(5))),
        barrier,
        store("i32", at(team("rank")), load("i32", at(others)), 8),
        barrier,
      ],
    };
    const step = [
      callStmt("exchange", [y]),
      if_(compare("eq", team("rank"), i32(0)), [store("i32", y, add(load("i32", y, 16), i32(1)), 16)]),
      barrier,
    ];
    const p = program(
      [for_("i", i32(0), i32(3), step), while_(compare("lt", load("i32", y, 16), i32(5)), [if_(compare("lt", i32(0), i32(1)), step)])],
      [exchange],
    );
    expect(run(p, 2)).toEqual([-1, 5, 6, 6, 5, 5, ...Array(11).fill(0)]);
  });

  test("without it, it is a race", async () => {
    const codes = [
      [store("i32", at(team("rank")), i32(1)), store("i32", at(team("rank")), load("i32", at(others)), 8)],
      [store("i32", y, i32(1))],
      [for_("i", i32(0), i32(4), [store("i32", at(variable("i")), i32(1)), store("i32", y, i32(2), 32)], 1, 1)],
    ].map((body) => codeOf(() => run(program(body), 2)));
    expect(await Promise.all(codes)).toEqual(["kernel-race", "kernel-race", "kernel-race"]);
    expect(await codeOf(() => run(program([if_(compare("eq", team("rank"), i32(0)), [barrier])]), 2))).toBe("bad-kernel");
  });

  test("a fault of any thread is the run's", () => {
    const assert: Stmt = { kind: "assert", cond: compare("lt", variable("i"), i32(3)), fault: 0 };
    expect(run(program([for_("i", i32(0), i32(4), [assert], 1, 1), barrier]), 2)[0]).toBe(0);
  });

  test("what one thread runs is not shared out again", async () => {
    const inner: Func = { name: "inner", params: [], body: [for_("j", i32(0), i32(2), [], 1, 1)] };
    const bad = [
      program([for_("i", i32(0), i32(4), [barrier], 1, 1)]),
      program([for_("i", i32(0), i32(4), [section("s", [], 1)], 1, 1)]),
      program([for_("i", i32(0), i32(4), [callStmt("inner", [])], 1, 1)], [inner]),
      program([for_("i", i32(0), i32(4), [], 1, 0)]),
    ];
    for (const p of bad) expect(await codeOf(() => verify(p))).toBe("bad-kernel");
    expect(call("i32", "f", []).kind).toBe("call");
  });
});

describe("random graphs", () => {
  const parameters = { numRuns: Number(process.env["SPARSEC_RUNS"] ?? 60), seed: Number(process.env["SPARSEC_SEED"] ?? 20261121) };
  test.each([
    ["vectors", VECTOR_TARGET],
    ["scalars", SCALAR_TARGET],
  ])("by two and three threads, with %s: the same bits as by one", { timeout: 300_000 }, (_, can) => {
    fc.assert(
      fc.property(randomGraphs({}), ({ graph, inputs }) => {
        const better = runPipeline(graph, defaultPipeline, {}).graph;
        const alone = runLowered(better, inputs, can);
        for (const threads of [2, 3]) expect(runLowered(better, inputs, { ...can, threads })).toEqual(alone);
      }),
      parameters,
    );
  });
});

describe("threads in step", () => {
  const body = (by: number): readonly Stmt[] => [
    let_("own", mul(team("rank"), i32(10))),
    swap("own", i32(by)),
    store("i32", at(team("rank")), add(variable("own"), team("lanes"))),
  ];
  const kernel = (size: number, stmts: readonly Stmt[]): Program => ({
    functions: [{ name: "run", params: [pointer("y", "readwrite", 64)], body: stmts, grid: { workgroups: 1, size, shared: [] } }],
    entry: "run",
    faults: [],
  });
  const words = (p: Program, lanes: number): number[] => {
    const bytes = new Uint8Array(64);
    interpret(p, "run", [{ bytes }], { lanes });
    return [...new Int32Array(bytes.buffer)];
  };

  test("swap with those as far away as they are told", () => {
    expect(words(kernel(8, body(1)), 4).slice(0, 8)).toEqual([14, 4, 34, 24, 54, 44, 74, 64]);
    expect(words(kernel(8, body(3)), 4).slice(0, 8)).toEqual([34, 24, 14, 4, 74, 64, 54, 44]);
  });

  test("swap with no others, all together, and variables of numbers alone", async () => {
    const guarded = [let_("own", team("rank")), if_(compare("eq", team("rank"), i32(0)), [swap("own", i32(1))])];
    const pointers = [let_("p", y), swap("p", i32(1))];
    const bad = [kernel(8, body(4)), kernel(6, body(1)), kernel(8, guarded), kernel(8, pointers), program(body(1))];
    for (const p of bad) expect(await codeOf(() => words(p, 4))).toBe("bad-kernel");
  });
});
