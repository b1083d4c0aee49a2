// The kernel interpreter and verifier: control flow, memory, faults, bounds, and what is rejected.

import { describe, expect, it } from "vitest";
import * as k from "../../ir/kernel/build.ts";
import { interpret, interpreter } from "../../ir/kernel/interpret.ts";
import { printProgram } from "../../ir/kernel/print.ts";
import type { Func, Program, Stmt } from "../../ir/kernel/types.ts";
import { verify } from "../../ir/kernel/verify.ts";

const out = k.variable("out", "ptr");
const input = k.variable("x", "ptr");
const func = (name: string, body: readonly Stmt[], params = [k.pointer("x", "read", 64), k.pointer("out", "readwrite", 64)]): Func => ({
  name,
  params,
  body,
});
const program = (...functions: readonly Func[]): Program => ({ functions, entry: functions.at(-1)!.name, faults: ["negative", "other"] });

function run(p: Program, input: ArrayBufferView = new Uint8Array(64), outputs = 64): { fault: number; out: Uint8Array } {
  const result = new Uint8Array(outputs);
  const bytes = new Uint8Array(input.buffer, input.byteOffset, input.byteLength);
  const { fault } = interpret(p, p.entry, [{ bytes }, { bytes: result }]);
  return { fault, out: result };
}
const codeOf = (f: () => unknown): string => {
  try {
    f();
  } catch (e) {
    return (e as { code: string }).code;
  }
  return "nothing thrown";
};

describe("interpret", () => {
  it("runs counted, do-while and while loops", () => {
    const i = k.variable("i");
    const body: Stmt[] = [
      k.let_("sum", k.i32(0)),
      k.for_("i", k.i32(1), k.i32(10), [k.set("sum", k.add(k.variable("sum"), i))], 3), // 1 + 4 + 7
      k.let_("n", k.i32(0)),
      k.repeat([k.set("n", k.add(k.variable("n"), k.i32(1)))], k.lt(k.variable("n"), k.i32(0))), // once
      k.while_(k.lt(k.variable("n"), k.i32(5)), [k.set("n", k.add(k.variable("n"), k.i32(2)))]), // 1, 3, 5
      k.store("i32", out, k.variable("sum")),
      k.store("i32", out, k.variable("n"), 4),
    ];
    const ints = new Int32Array(run(program(func("f", body))).out.buffer);
    expect([...ints.subarray(0, 2)]).toEqual([12, 5]);
  });

  it("calls functions with windows on the caller's buffers, and functions with results", () => {
    const square: Func = {
      name: "square",
      params: [{ name: "a", type: "f32" }],
      body: [],
      result: k.mul(k.variable("a", "f32"), k.variable("a", "f32")),
    };
    const inner = func(
      "inner",
      [k.store("f32", out, k.call("f32", "square", [k.load("f32", input)]))],
      [k.pointer("x", "read", 4), k.pointer("out", "write", 4)],
    );
    const outer = func("outer", [k.callStmt("inner", [k.advance(input, k.i32(8)), k.advance(out, k.i32(4))])]);
    const { out: bytes } = run(program(square, inner, outer), new Float32Array([1, 2, 3, 4]));
    expect([...new Float32Array(bytes.buffer).subarray(0, 3)]).toEqual([0, 9, 0]);
  });

  it("works lane by lane on vectors", () => {
    const v = k.load("f32x4", input);
    const body = [
      k.store("f32x4", out, k.select(k.compare("gt", v, k.splat("f32x4", k.f32(2))), v, k.splat("f32x4", k.f32(0)))),
      k.store("i32x4", out, k.dot(k.splat("i16x8", k.i32(70000)), k.load("i16x8", input, 16)), 16),
      k.store("f32x4", out, k.shuffle(v, k.replace(v, 1, k.f32(9)), [3, 5, 0, 0]), 32),
    ];
    const data = new Uint8Array(64);
    new Float32Array(data.buffer).set([1, 2, 3, 4]);
    new Int16Array(data.buffer, 16).set([1, 2, 3, 4, 5, 6, 7, 8]);
    const bytes = run(program(func("f", body)), data).out.buffer;
    expect([...new Float32Array(bytes).subarray(0, 4)]).toEqual([0, 0, 3, 4]);
    expect([...new Int32Array(bytes, 16).subarray(0, 4)]).toEqual([3, 7, 11, 15].map((n) => n * 4464)); // 70000 wraps to 4464 in i16
    expect([...new Float32Array(bytes, 32).subarray(0, 4)]).toEqual([4, 9, 1, 1]);
  });

  it("multiplies packed bytes and adds the products up", () => {
    const dots = [
      [0x01020304, 0x05060708],
      [0x80808080 | 0, 0x80808080 | 0],
      [0x80808080 | 0, 0x7f7f7f7f],
      [-1, 0x00000100],
    ].map(([a, b], i) => k.store("i32", out, k.dot4(k.i32(a!), k.i32(b!)), 4 * i));
    const found = new Int32Array(run(program(func("f", dots))).out.buffer);
    expect([...found.subarray(0, 4)]).toEqual([5 + 12 + 21 + 32, 65536, -65024, -1]);
  });

  it("reads and writes every memory type as narrow types widen and wrap", () => {
    const store = (memory: "u8" | "i16" | "f16", at: number, from: "i32" | "f32") => k.store(memory, out, k.load(from, input, at), at);
    const data = new Uint8Array(64);
    const view = new DataView(data.buffer);
    view.setInt32(0, 300, true);
    view.setInt32(4, 40000, true);
    view.setFloat32(8, 1 / 3, true);
    const { out: bytes } = run(program(func("f", [store("u8", 0, "i32"), store("i16", 4, "i32"), store("f16", 8, "f32")])), data);
    const result = new DataView(bytes.buffer);
    expect([result.getUint8(0), result.getInt16(4, true), result.getUint16(8, true)]).toEqual([44, -25536, 0x3555]);
  });

  it("evaluates only the chosen side of a select by a bool", () => {
    const guarded = k.select(k.lt(k.load("i32", input), k.i32(1)), k.i32(7), k.load("i32", input, 1000));
    expect(new Int32Array(run(program(func("f", [k.store("i32", out, guarded)]))).out.buffer)[0]).toBe(7);
    expect(codeOf(() => run(program(func("f", [k.store("i32", out, guarded)])), new Int32Array(16).fill(5)))).toBe("kernel-access");
  });

  it("returns the fault of the assert that failed, and keeps what was stored before", () => {
    const body = [k.store("i32", out, k.i32(1)), k.assert(k.lt(k.i32(-1), k.load("i32", input)), 1), k.store("i32", out, k.i32(2))];
    const failed = run(program(func("f", body)), new Int32Array(16).fill(-3));
    expect([failed.fault, failed.out[0]]).toEqual([1, 1]);
    const fine = run(program(func("f", body)));
    expect([fine.fault, fine.out[0]]).toEqual([-1, 2]);
  });

  it("stops at the budget", () => {
    const forever = program(func("f", [k.while_(k.constant("bool", true), [])]));
    const buffers = [{ bytes: new Uint8Array(4) }, { bytes: new Uint8Array(4) }];
    expect(codeOf(() => interpreter(forever, { steps: 1000 })("f", buffers))).toBe("kernel-budget");
  });

  it.each([
    ["past the declared bytes", k.store("f32", out, k.f32(1), 64), "touches bytes 64..67"],
    ["before the buffer, even when displaced into it", k.store("f32", k.advance(out, k.i32(-4)), k.f32(1), 8), "byte -4"],
    ["misaligned", k.store("f32", out, k.f32(1), 2), "no multiple of 4"],
    ["a vector over the end", k.store("f32x4", out, k.splat("f32x4", k.f32(1)), 52), "bytes 52..67"],
  ])("rejects an access %s", (_, statement, message) => {
    expect(() => run(program(func("f", [statement])), new Uint8Array(64), 100)).toThrow(message);
  });

  it("bounds a callee by its own declaration and by its caller's", () => {
    const inner = func("inner", [k.store("i32", out, k.i32(1), 4)], [k.pointer("out", "write", 8)]);
    const outer = func("outer", [k.callStmt("inner", [k.advance(out, k.i32(60))])]);
    expect(() => run(program(inner, outer))).toThrow("a buffer of 4");
  });
});

describe("verify", () => {
  const rejects = (message: string, ...functions: readonly Func[]): void => expect(() => verify(program(...functions))).toThrow(message);
  const x = k.variable("x", "ptr");

  it("accepts shadow-free block scopes and `again` seeing its body", () => {
    const body = [
      k.let_("n", k.i32(3)),
      k.repeat([k.let_("m", k.sub(k.variable("n"), k.i32(1))), k.set("n", k.variable("m"))], k.lt(k.i32(0), k.variable("m"))),
    ];
    expect(() => verify(program(func("f", body)))).not.toThrow();
  });

  it("rejects what has no meaning", () => {
    rejects("not declared here", func("f", [k.set("a", k.i32(1))]));
    rejects(
      "not declared here",
      func("f", [k.if_(k.constant("bool", true), [k.let_("a", k.i32(1))]), k.store("i32", out, k.variable("a"))]),
    );
    rejects("declares 'a' twice", func("f", [k.let_("a", k.i32(1)), k.let_("a", k.i32(1))]));
    rejects("claims type", func("f", [k.let_("a", k.i32(1)), k.store("f32", out, k.variable("a", "f32"))]));
    rejects("read-only", func("f", [k.store("i32", x, k.i32(1))]));
    rejects("sets 'i'", func("f", [k.for_("i", k.i32(0), k.i32(3), [k.set("i", k.i32(1))])]));
    rejects("out of the buffer", func("f", [k.let_("p", x), k.set("p", out)]));
    rejects("into either", func("f", [k.let_("p", k.select(k.lt(k.load("i32", x), k.i32(0)), x, out))]));
    rejects("not defined before it", func("f", [k.callStmt("f", [x, out])]));
    rejects("asserts fault 2", func("f", [k.assert(k.constant("bool", true), 2)]));
    rejects("not an identifier", func("f-1", []));
    rejects("has a result and an effect", { ...func("g", [k.store("i32", out, k.i32(1))]), result: k.i32(1) }, func("f", []));
    rejects("which is read-only", func("g", [], [k.pointer("out", "write", 4)]), func("f", [k.callStmt("g", [x])]));
    rejects("is not rounded to f32", func("f", [k.let_("a", { kind: "const", type: "f32", value: 0.1 })]));
    rejects(
      "by other than a splat",
      func("f", [k.let_("v", k.load("i32x4", x)), k.let_("w", k.binary("shl", k.variable("v", "i32x4"), k.variable("v", "i32x4")))]),
    );
  });
});

describe("print", () => {
  it("prints a program readably", () => {
    const body = [
      k.for_("i", k.i32(0), k.i32(4), [k.store("f32", out, k.mul(k.load("f32", input, 4), k.f32(0.5)))]),
      k.assert(k.lt(k.variable("n"), k.i32(3)), 0),
    ];
    const f = func("f", body, [k.pointer("x", "read", 64), k.pointer("out", "readwrite", 64), { name: "n", type: "i32" }]);
    expect(printProgram(program(f))).toBe(`func f(x: read 64, out: readwrite 64, n: i32) {
  for i in 0..4 {
    f32[out] = f32[x + 4] * 0.5:f32
  }
  assert n < 3 fault 0
}

entry f
// fault 0: negative
// fault 1: other
`);
  });
});
