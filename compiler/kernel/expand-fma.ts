// Fused multiply-adds as a multiply and an add, for targets without them.

import { add, mul } from "../../ir/kernel/build.ts";
import { mapFunc } from "../../ir/kernel/walk.ts";
import type { KernelPass } from "./legalize.ts";

export const expandFma: KernelPass = {
  name: "expand-fma",
  establishes: "no fma unless the target has it",
  run: (program, can) =>
    can.fma
      ? program
      : { ...program, functions: program.functions.map((f) => mapFunc(f, (e) => (e.kind === "fma" ? add(mul(e.a, e.b), e.c) : e))) },
};
