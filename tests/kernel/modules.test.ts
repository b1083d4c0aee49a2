// What the backends emit, as files: valid to a second validator, deterministic, readable; and what they refuse.

import { describe, expect, it } from "vitest";
import wabt from "wabt";
import { js, printModule as printJs } from "../../backends/js/index.ts";
import { assemble } from "../../backends/wasm/assemble.ts";
import { printModule, wasm } from "../../backends/wasm/index.ts";
import { legalize } from "../../compiler/kernel/legalize.ts";
import * as k from "../../ir/kernel/build.ts";
import type { Func, Program, Stmt } from "../../ir/kernel/types.ts";
import { RESERVED } from "../../runtime/executor.ts";
import { arenaProgram } from "./support.ts";

const arena = k.variable("arena", "ptr");
const v = k.variable;

/** Every kind of statement, and expressions that take several instructions. */
function everything(): Program {
  const scale: Func = { name: "scale", params: [{ name: "a", type: "f32" }], body: [], result: k.mul(v("a", "f32"), k.f32(2)) };
  const vector = k.fma(k.splat("f32x4", k.load("f32", arena)), k.load("f32x4", arena, 16), k.unary("exp", k.load("f32x4", arena, 32)));
  const body: Stmt[] = [
    k.let_("n", k.load("i32", arena)),
    k.assert(k.lt(v("n"), k.i32(100)), 0),
    k.for_(
      "i",
      k.i32(0),
      v("n"),
      [k.if_(k.lt(v("i"), k.i32(3)), [k.set("n", k.div(v("n"), v("i")))], [k.set("n", k.max(v("n"), v("i")))])],
      2,
    ),
    k.while_(k.lt(v("n"), k.i32(0)), [k.set("n", k.add(v("n"), k.i32(1)))]),
    k.repeat([k.let_("m", k.rem(v("n"), k.i32(7))), k.set("n", v("m"))], k.lt(k.i32(5), v("m"))),
    k.store("f32x4", arena, vector, 48),
    k.store("f32", arena, k.call("f32", "scale", [k.binary("pow", k.load("f32", arena), k.load("f16", arena, 8))])),
    k.store("i64", arena, k.binary("shr", k.load("i64", arena, 8), k.load("i64", arena)), 8),
    k.store("f64", arena, k.unary("sin", k.load("f64", arena)), 8),
    k.store("f32x4", arena, k.binary("rem", k.load("f32x4", arena), k.load("f32x4", arena, 16)), 48),
  ];
  return arenaProgram(body, 64, [scale], ["n is too large"]);
}

describe.each(wasm.variants)("wasm:$name", (variant) => {
  const emit = async (program: Program): Promise<Uint8Array> => {
    const { code, files } = await wasm.emit(legalize(program, variant.can), variant);
    return files[code] as Uint8Array;
  };

  it("emits a module that wabt accepts, importing memory and exporting run", async () => {
    const { readWasm } = await wabt();
    const module = readWasm(await emit(everything()), {
      simd: true,
      relaxed_simd: variant.needs.includes("relaxed-simd"),
      readDebugNames: true,
    });
    module.validate();
    const text = module.toText({});
    module.destroy();
    expect([...text.matchAll(/\((import|export) .*/g)].map((m) => m[0])).toEqual([
      '(import "env" "memory" (memory (;0;) 1))',
      expect.stringMatching(/^\(export "run" \(func \d+\)\)/),
    ]);
    expect(text).not.toContain("$scale");
  });

  it("uses relaxed SIMD in the variant that needs it only", () => {
    const text = printModule(legalize(everything(), variant.can), { relaxed: variant.needs.includes("relaxed-simd") });
    expect(text.includes("relaxed_madd")).toBe(variant.needs.includes("relaxed-simd"));
  });

  it("emits the same bytes every time", async () => {
    expect(await emit(everything())).toEqual(await emit(everything()));
  });
});

it("names the files of variants apart", async () => {
  const p = v("arena", "ptr");
  const bytes = k.store("i32x4", p, k.dotBytes(k.load("i8x16", p), k.load("i8x16", p), k.load("i32x4", p), "unsigned"));
  const signed = k.store("i32x4", p, k.dotBytes(k.load("i8x16", p), k.load("i8x16", p), k.load("i32x4", p), "signed"));
  const small = k.store("i16x8", p, k.dotPairs(k.load("i8x16", p), k.load("i8x16", p), true));
  const pairs = k.store("i16x8", p, k.dotPairs(k.load("i8x16", p), k.load("i8x16", p)));
  const emitted = await Promise.all([
    wasm.emit(arenaProgram([bytes, pairs], 16), wasm.variants[0]!),
    wasm.emit(arenaProgram([pairs], 16), wasm.variants[0]!),
    wasm.emit(arenaProgram([signed, small], 16), wasm.variants[1]!),
    wasm.emit(arenaProgram([pairs, small], 16), wasm.variants[2]!),
    ...[0, 1, 2].map((i) => wasm.emit(arenaProgram([small], 16), wasm.variants[i]!)),
    ...wasm.variants.map((x) => wasm.emit(arenaProgram([], 0), x)),
    js.emit(arenaProgram([], 0), js.variants[0]!),
  ]);
  expect(emitted.map((e) => e.code)).toEqual([
    "model.relaxed-dots.wasm",
    "model.relaxed-pairs.wasm",
    "model.relaxed-signed-dots.wasm",
    "model.relaxed-pairs.wasm",
    "model.relaxed-small-pairs.wasm",
    "model.relaxed-small-pairs.wasm",
    "model.relaxed-small-pairs.wasm",
    // What takes no dot products of bytes is the next variant's.
    "model.relaxed.wasm",
    "model.relaxed.wasm",
    "model.relaxed.wasm",
    "model.relaxed.wasm",
    "model.wasm",
    "kernels.js",
  ]);
  const uses = [["byte-dots", "byte-pairs"], ["byte-pairs"], ["signed-byte-dots", "small-byte-pairs"], ["byte-pairs", "small-byte-pairs"]];
  const small3 = Array.from({ length: 3 }, () => ["small-byte-pairs"]);
  expect(emitted.map((e) => e.uses ?? [])).toEqual([...uses, ...small3, [], [], [], [], [], []]);
});

describe("printed code", () => {
  const relu = (): Program => {
    const [x, n] = [v("x", "ptr"), v("n")];
    const loop = k.repeat(
      [
        k.store("f32x4", x, k.max(k.load("f32x4", x), k.splat("f32x4", k.f32(0)))),
        k.set("x", k.advance(x, k.i32(16))),
        k.set("n", k.sub(n, k.i32(1))),
      ],
      k.compare("ne", n, k.i32(0)),
    );
    const body = [k.let_("x", arena), k.let_("n", k.i32(4)), loop];
    const func: Func = { name: "relu", doc: "max(x, 0) of 16 f32, in place", params: [k.pointer("arena", "readwrite", 64)], body };
    return arenaProgram([k.callStmt("relu", [arena])], 64, [func]);
  };

  it("is readable WebAssembly text", () => {
    expect(printModule(legalize(relu(), wasm.variants[1]!.can), { relaxed: false })).toBe(`(module
  (import "env" "memory" (memory 1))
  ;; max(x, 0) of 16 f32, in place
  (func $relu (param $arena i32)
    (local $x i32) (local $n i32)
    (local.set $x (local.get $arena))
    (local.set $n (i32.const 4))
    (loop $loop0
      (v128.store (local.get $x) (f32x4.add (f32x4.pmax (v128.load (local.get $x)) (v128.const f32x4 0 0 0 0)) (v128.const i64x2 0 0)))
      (local.set $x (i32.add (local.get $x) (i32.const 16)))
      (local.set $n (i32.sub (local.get $n) (i32.const 1)))
      (br_if $loop0 (i32.ne (local.get $n) (i32.const 0))))
  )
  (func $main (param $weights i32) (param $arena i32)
    (call $relu (local.get $arena))
  )
  (func (export "run") (param $weights i32) (param $arena i32) (result i32)
    (call $main (local.get $weights) (local.get $arena))
    (i32.const -1)
  )
)
`);
  });

  it("keeps vector constants in a table in memory if asked to, and in the code once the table is full", () => {
    const x = k.load("f32x4", arena);
    const sum = Array.from({ length: 300 }, (_, i) => k.splat("f32x4", k.f32(i + 0.5))).reduce(k.add, x);
    const body = [k.store("f32x4", arena, k.mul(sum, k.splat("f32x4", k.f32(0.5))))];
    const text = printModule(arenaProgram(body, 64), { relaxed: true, constantsInMemory: true });
    expect(text).toContain('(data (i32.const 16) "\\00\\00\\00\\3f\\00\\00\\c0\\3f');
    const places = [...text.matchAll(/v128.load32_splat offset=(\d+) \(i32.const 0\)/g)].map((m) => Number(m[1]));
    expect([Math.min(...places), Math.max(...places), new Set(places).size]).toEqual([16, RESERVED - 4, 252]);
    expect(text.match(/v128.const/g)).toHaveLength(300 - 252);
  });

  it("is readable JavaScript", () => {
    expect(printJs(legalize(relu(), js.variants[0]!.can))).toBe(`// Kernels printed by sparsec. Pointers are byte addresses in one buffer.


class Fault {
  constructor(number) {
    this.number = number;
  }
}

export function instantiate(buffer) {
  const F32 = new Float32Array(buffer);

  // max(x, 0) of 16 f32, in place
  function relu(arena) {
    let x = arena;
    let n = 4;
    do {
      const lane0 = Math.max(F32[x >> 2], 0);
      const lane1 = Math.max(F32[(x + 4) >> 2], 0);
      const lane2 = Math.max(F32[(x + 8) >> 2], 0);
      const lane3 = Math.max(F32[(x + 12) >> 2], 0);
      F32[x >> 2] = lane0;
      F32[(x + 4) >> 2] = lane1;
      F32[(x + 8) >> 2] = lane2;
      F32[(x + 12) >> 2] = lane3;
      x = x + 16;
      n = (n - 1) | 0;
    } while (n !== 0);
  }

  function main(weights, arena) {
    relu(arena);
  }

  function run(weights, arena) {
    try {
      main(weights, arena);
      return -1;
    } catch (thrown) {
      if (thrown instanceof Fault) return thrown.number;
      throw thrown;
    }
  }

  return { run };
}
`);
  });

  it("keeps JavaScript's words and its own apart from a kernel's names", () => {
    const body = [
      k.let_("function", k.i32(1)),
      k.let_("F32", k.i32(2)),
      k.let_("main", k.add(v("function"), v("F32"))),
      k.store("i32", arena, v("main")),
    ];
    const text = printJs(arenaProgram(body, 4));
    expect(text).toContain("const main$ = (function$ + F32$) | 0;");
  });
});

describe("what backends refuse", () => {
  const codeOf = async (f: () => unknown): Promise<string> => {
    try {
      await f();
    } catch (e) {
      return (e as { code: string }).code;
    }
    return "nothing thrown";
  };
  const exp = arenaProgram([k.store("f32", arena, k.unary("exp", k.load("f32", arena)))], 4);

  it("is what `legalize` has not been over", async () => {
    expect(await codeOf(() => printModule(exp, { relaxed: false }))).toBe("not-legal");
    expect(await codeOf(() => printJs(exp))).toBe("not-legal");
    expect(await codeOf(() => printJs(arenaProgram([k.let_("x", k.load("f32x4", arena))], 16)))).toBe("not-legal");
  });

  it("is an entry of another shape, and text that does not validate", async () => {
    const odd: Program = { functions: [{ name: "main", params: [], body: [] }], entry: "main", faults: [] };
    expect(await codeOf(() => wasm.emit(odd, wasm.variants[0]!))).toBe("bad-entry");
    expect(await codeOf(() => js.emit(odd, js.variants[0]!))).toBe("bad-entry");
    expect(await codeOf(() => assemble("(module (func (result i32) (f32.const 1)))", false))).toBe("invalid-wasm");
    expect(await codeOf(() => assemble("(module (func (frob)))", false))).toBe("invalid-wasm");
    expect(
      await codeOf(() =>
        assemble(
          "(module (func (result v128) (f32x4.relaxed_madd (v128.const i64x2 0 0) (v128.const i64x2 0 0) (v128.const i64x2 0 0))))",
          false,
        ),
      ),
    ).toBe("invalid-wasm");
  });
});
