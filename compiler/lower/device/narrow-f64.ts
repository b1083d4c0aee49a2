// Kernels whose operands and results are no f64, but which compute in it: in f32 instead, for targets that have no f64.

import { f32 } from "../../../ir/kernel/build.ts";
import type { Expr, Func, Stmt } from "../../../ir/kernel/types.ts";
import { mapFunc } from "../../../ir/kernel/walk.ts";
import type { Lowered } from "../template.ts";

/** Values and scratch memory of f64 become f32, which keeps to the error model of such targets; bytes of scratch stay as they are. */
export const narrowF64 = (lowered: Lowered): Lowered => ({ ...lowered, functions: lowered.functions.map(narrowFunc) });

function narrowFunc(func: Func): Func {
  const narrowed = mapFunc(func, narrowExpr, narrowStmt);
  const params = narrowed.params.map((p) => (p.type === "f64" ? { ...p, type: "f32" as const } : p));
  return { ...narrowed, params };
}

function narrowExpr(e: Expr): Expr {
  if (e.kind === "const" && e.type === "f64") return f32(Number(e.value));
  if (e.kind === "load" && e.memory === "f64") return { ...e, type: "f32", memory: "f32" };
  if (e.kind === "cast" && e.type === "f64") return e.a.type === "f32" ? e.a : { ...e, type: "f32" };
  if (e.kind === "cast" && e.type === e.a.type) return e.a;
  return e.type === "f64" ? ({ ...e, type: "f32" } as Expr) : e;
}

const narrowStmt = (s: Stmt): Stmt => (s.kind === "store" && s.memory === "f64" ? { ...s, memory: "f32" } : s);
