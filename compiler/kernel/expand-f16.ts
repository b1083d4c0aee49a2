// f16 memory as u16 memory and conversions of bits, for targets without it.

import { call, load, store } from "../../ir/kernel/build.ts";
import type { Expr, Program, Stmt } from "../../ir/kernel/types.ts";
import { mapFunc } from "../../ir/kernel/walk.ts";
import type { KernelPass } from "./legalize.ts";
import { link } from "./link.ts";
import { f16 } from "./maths/f16.ts";

const decode = (bits: Expr): Expr => call("f32", "math_f16_decode", [bits]);
const encode = (value: Expr): Expr => call("i32", "math_f16_encode", [value]);

function rewrite(e: Expr): Expr {
  if (e.kind === "load" && e.memory === "f16") return decode(load("u16", e.ptr, e.offset));
  if (e.kind === "wrap" && e.to === "f16") return decode(encode(e.a));
  return e;
}

const rewriteStore = (s: Stmt): Stmt => (s.kind === "store" && s.memory === "f16" ? store("u16", s.ptr, encode(s.value), s.offset) : s);

export const expandF16: KernelPass = {
  name: "expand-f16",
  establishes: "no f16 memory or rounding unless the target has it",
  run(program: Program, can) {
    if (can.f16) return program;
    const library = new Map(f16.map((f) => [f.name, f]));
    const functions = program.functions.map((f) => mapFunc(f, (e) => e, rewriteStore));
    return link({ ...program, functions }, rewrite, (name) => library.get(name));
  },
};
