// Vector operators that no SIMD instruction set has, lane by lane, in functions of their own.

import * as k from "../../ir/kernel/build.ts";
import { type Expr, type Func, isVector, LANES, type VectorType } from "../../ir/kernel/types.ts";
import type { BinaryOp, UnaryOp } from "../../ir/scalar/types.ts";
import { define, literal } from "./define.ts";
import type { KernelPass } from "./legalize.ts";
import { link } from "./link.ts";
import { vector } from "./maths/vector.ts";

const ROUNDING: ReadonlySet<UnaryOp> = new Set(["neg", "abs", "not", "sqrt", "floor", "ceil", "trunc", "round_even"]);
const IN_LIBRARY: ReadonlySet<string> = new Set(vector.map((f) => f.name));
const isFloat = (t: VectorType): boolean => t === "f32x4" || t === "f64x2";

/** Whether SIMD instruction sets have it, or the library of vector maths does. */
const isWhole = (op: UnaryOp, t: VectorType): boolean => ROUNDING.has(op) || IN_LIBRARY.has(`math_${op}_${t}`);

function hasInstruction(op: BinaryOp, t: VectorType): boolean {
  switch (op) {
    case "rem":
    case "pow":
    case "atan2":
      return false;
    case "div":
      return isFloat(t);
    case "mul":
      return t !== "i8x16";
    case "min":
    case "max":
      return t !== "i64x2";
    default:
      return true;
  }
}

const nameOf = (op: string, t: VectorType): string => `lanes_${op}_${t}`;

/** Applies a scalar operator to every lane of one or two vectors. */
function laneFunction(op: string, t: VectorType, operands: number): Func {
  const scalar = (args: readonly Expr[]): Expr =>
    args.length === 1 ? k.unary(op as UnaryOp, args[0]!) : k.binary(op as BinaryOp, args[0]!, args[1]!);
  return define(nameOf(op, t), `${op} of every lane`, new Array<VectorType>(operands).fill(t), (_, ...args) =>
    Array.from({ length: LANES[t] }, (_, lane) => scalar(args.map((a) => k.extract(a, lane)))).reduce(
      (v, x, lane) => k.replace(v, lane, x),
      literal(t, 0),
    ),
  );
}

export const expandLanes: KernelPass = {
  name: "expand-lanes",
  establishes: "vector operators are those of SIMD instruction sets and of the library of maths",
  run(program) {
    const made = new Map<string, Func>();
    const lanes = (op: string, t: VectorType, args: readonly Expr[]): Expr => {
      const name = nameOf(op, t);
      if (!made.has(name)) made.set(name, laneFunction(op, t, args.length));
      return k.call(t, name, args);
    };
    const rewrite = (e: Expr): Expr => {
      if (e.kind === "unary" && isVector(e.type) && !isWhole(e.op, e.type)) return lanes(e.op, e.type, [e.a]);
      if (e.kind === "binary" && isVector(e.type) && !hasInstruction(e.op, e.type)) return lanes(e.op, e.type, [e.a, e.b]);
      return e;
    };
    return link(program, rewrite, (name) => made.get(name));
  },
};
