// Mathematical functions that the target lacks, as calls of functions of ours: the same bits on every target.

import * as k from "../../ir/kernel/build.ts";
import type { Expr, Func } from "../../ir/kernel/types.ts";
import type { BinaryOp, UnaryOp } from "../../ir/scalar/types.ts";
import type { Capabilities } from "../backend.ts";
import type { KernelPass } from "./legalize.ts";
import { link } from "./link.ts";
import { exact } from "./maths/exact.ts";
import { exponential } from "./maths/exponential.ts";
import { hyperbolic } from "./maths/hyperbolic.ts";
import { trigonometric } from "./maths/trigonometric.ts";
import { vector } from "./maths/vector.ts";

const LIBRARY: ReadonlyMap<string, Func> = new Map(
  [...exact, ...exponential, ...trigonometric, ...hyperbolic, ...vector].map((f) => [f.name, f]),
);

/** Every target has these. */
const EVERYWHERE: ReadonlySet<UnaryOp> = new Set(["neg", "abs", "not", "sqrt", "floor", "ceil", "trunc"]);
const EXPANDED: ReadonlySet<BinaryOp> = new Set(["pow", "atan2", "rem"]);

/** A call of the library's function for `op`; f32 goes through f64 where there is none for f32. */
function callOf(op: UnaryOp | BinaryOp, args: readonly Expr[]): Expr {
  const type = args[0]!.type;
  const name = `math_${op}_${type}`;
  if (LIBRARY.has(name)) return k.call(type, name, args);
  const wide = k.call(
    "f64",
    `math_${op}_f64`,
    args.map((a) => k.cast("f64", a)),
  );
  return k.cast("f32", wide);
}

const isInteger = (t: string): boolean => t === "i32" || t === "u32" || t === "i64" || t === "u64";

function rewriteFor(can: Capabilities): (e: Expr) => Expr {
  const has: ReadonlySet<UnaryOp | BinaryOp> = new Set<UnaryOp | BinaryOp>(can.maths);
  return (e) => {
    if (e.kind === "unary" && !EVERYWHERE.has(e.op) && !has.has(e.op)) return callOf(e.op, [e.a]);
    if (e.kind !== "binary" || !EXPANDED.has(e.op)) return e;
    if (isInteger(e.type)) return e.op === "pow" ? callOf("pow", [e.a, e.b]) : e;
    return has.has(e.op) ? e : callOf(e.op, [e.a, e.b]);
  };
}

export const expandMaths: KernelPass = {
  name: "expand-maths",
  establishes: "mathematical functions are those that the target has, and calls",
  run: (program, can) => link(program, rewriteFor(can), (name) => LIBRARY.get(name)),
};
