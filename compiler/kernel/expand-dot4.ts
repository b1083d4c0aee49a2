// Products of packed bytes as four multiplies of bytes, for targets without them.

import { add, binary, i32, mul, wrap } from "../../ir/kernel/build.ts";
import type { Expr } from "../../ir/kernel/types.ts";
import { mapFunc } from "../../ir/kernel/walk.ts";
import type { KernelPass } from "./legalize.ts";

const byte = (word: Expr, number: number): Expr => wrap("i8", number === 0 ? word : binary("shr", word, i32(8 * number)));

const expanded = (a: Expr, b: Expr): Expr => [0, 1, 2, 3].map((n) => mul(byte(a, n), byte(b, n))).reduce(add);

export const expandDot4: KernelPass = {
  name: "expand-dot4",
  establishes: "no dot4 unless the target has it",
  run: (program, can) =>
    can.dot4
      ? program
      : { ...program, functions: program.functions.map((f) => mapFunc(f, (e) => (e.kind === "dot4" ? expanded(e.a, e.b) : e))) },
};
