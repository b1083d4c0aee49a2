// Fused multiply-adds as a multiply and an add, for targets without them.

import { add, mul } from "../../ir/kernel/build.ts";
import type { Expr } from "../../ir/kernel/types.ts";
import { mapFunc } from "../../ir/kernel/walk.ts";
import type { KernelPass } from "./legalize.ts";

export const expandFma: KernelPass = {
  name: "expand-fma",
  establishes: "no fma unless the target has it, and may use it",
  run: (program, can) => {
    if (can.fma) return program;
    const plain = (e: Expr): Expr => (e.kind === "fma" && !(e.whole && can.wholeFma) ? add(mul(e.a, e.b), e.c) : e);
    return { ...program, functions: program.functions.map((f) => mapFunc(f, plain)) };
  },
};
