// Mathematical functions that the target lacks, as calls of functions of ours: the same bits on every target.

import { errors } from "../../ir/diagnostics.ts";
import * as k from "../../ir/kernel/build.ts";
import type { Expr, Func } from "../../ir/kernel/types.ts";
import type { BinaryOp, UnaryOp } from "../../ir/scalar/types.ts";
import type { Capabilities } from "../backend.ts";
import type { KernelPass } from "./legalize.ts";
import { link } from "./link.ts";
import { exact } from "./maths/exact.ts";
import { exponential } from "./maths/exponential.ts";
import { hyperbolic } from "./maths/hyperbolic.ts";
import { circularFunctions } from "./maths/single/circular.ts";
import { exponential as exponentialSingle } from "./maths/single/exponential.ts";
import { hyperbolic as hyperbolicSingle } from "./maths/single/hyperbolic.ts";
import { inverseCircular } from "./maths/single/inverse-circular.ts";
import { power } from "./maths/single/power.ts";
import { quotients } from "./maths/single/quotient.ts";
import { remainder } from "./maths/single/remainder.ts";
import { trigonometric } from "./maths/trigonometric.ts";
import { vector } from "./maths/vector.ts";

type Library = ReadonlyMap<string, Func>;
const libraryOf = (...families: readonly (readonly Func[])[]): Library => new Map(families.flat().map((f) => [f.name, f]));

const LIBRARY = libraryOf(exact, exponential, trigonometric, hyperbolic, vector);
/** Without an f64 anywhere, for targets that have none. */
const SINGLE = libraryOf(exact, exponentialSingle, power, circularFunctions, inverseCircular, hyperbolicSingle, quotients, remainder);

/** Every target has these. */
const EVERYWHERE: ReadonlySet<UnaryOp> = new Set(["neg", "abs", "not", "sqrt", "floor", "ceil", "trunc"]);
const EXPANDED: ReadonlySet<BinaryOp> = new Set(["pow", "atan2", "rem"]);

/** A call of the library's function for `op`; f32 goes through f64 where there is none for f32. Throws `bad-kernel` where there is no f64. */
function callOf(op: UnaryOp | BinaryOp, args: readonly Expr[], library: Library): Expr {
  const type = args[0]!.type;
  const name = `math_${op}_${type}`;
  if (library.has(name)) return k.call(type, name, args);
  if (library === SINGLE) throw errors.badKernel(name, "is not there on a target without f64");
  const wide = k.call(
    "f64",
    `math_${op}_f64`,
    args.map((a) => k.cast("f64", a)),
  );
  return k.cast("f32", wide);
}

/** A quotient that is rounded to a whole number, perhaps within bounds, by a function of ours: a last bit could become a whole step. */
function wholeOf(e: Expr): Expr {
  if (e.kind === "binary" && (e.op === "min" || e.op === "max")) return { ...e, a: wholeOf(e.a) };
  if (e.kind !== "binary" || e.op !== "div") return e;
  const { a, b } = e;
  if (e.type === "f32") return k.call("f32", "math_quotient_f32", [a, b]);
  if (e.type !== "f32x4") return e;
  const lane = (n: number): Expr => k.call("f32", "math_quotient_f32", [k.extract(a, n), k.extract(b, n)]);
  return [1, 2, 3].reduce((v, n) => k.replace(v, n, lane(n)), k.splat("f32x4", lane(0)));
}

const isInteger = (t: string): boolean => t === "i32" || t === "u32" || t === "i64" || t === "u64";

function rewriteFor(can: Capabilities, library: Library): (e: Expr) => Expr {
  const has: ReadonlySet<UnaryOp | BinaryOp> = new Set<UnaryOp | BinaryOp>(can.maths);
  return (e) => {
    if (e.kind === "unary" && e.op === "round_even" && can.quotients === false && e.a !== wholeOf(e.a)) return { ...e, a: wholeOf(e.a) };
    if (e.kind === "unary" && !EVERYWHERE.has(e.op) && !has.has(e.op)) return callOf(e.op, [e.a], library);
    if (e.kind !== "binary" || !EXPANDED.has(e.op)) return e;
    if (isInteger(e.type)) return e.op === "pow" ? callOf("pow", [e.a, e.b], library) : e;
    return has.has(e.op) ? e : callOf(e.op, [e.a, e.b], library);
  };
}

export const expandMaths: KernelPass = {
  name: "expand-maths",
  establishes: "mathematical functions are those that the target has, and calls",
  run(program, can) {
    const library = can.f64 === false ? SINGLE : LIBRARY;
    return link(program, rewriteFor(can, library), (name) => library.get(name));
  },
};
