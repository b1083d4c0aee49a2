// ONNX operators that compute element by element: functions, arithmetic, comparisons, logic.

import { isFloat } from "../../../ir/dtype.ts";
import type { Value } from "../../../ir/graph.ts";
import { defineOnnxOp, type ImportContext, type OnnxOp } from "../op.ts";
import { castTo, toScalar, widened } from "../widen.ts";

/** An operator that is one of ours on its operands as they are. */
const direct = (name: string, op: string, operands: number): OnnxOp =>
  defineOnnxOp({
    name,
    import: (c) =>
      c.add(
        op,
        Array.from({ length: operands }, (_, k) => c.input(k)),
      ),
  });

const UNARY: readonly (readonly [string, string])[] = [
  ["Abs", "abs"],
  ["Neg", "neg"],
  ["Not", "not"],
  ["BitwiseNot", "not"],
  ["Sqrt", "sqrt"],
  ["Floor", "floor"],
  ["Ceil", "ceil"],
  ["Round", "round"],
  ["Exp", "exp"],
  ["Log", "log"],
  ["Sin", "sin"],
  ["Cos", "cos"],
  ["Tan", "tan"],
  ["Asin", "asin"],
  ["Acos", "acos"],
  ["Atan", "atan"],
  ["Sinh", "sinh"],
  ["Cosh", "cosh"],
  ["Tanh", "tanh"],
  ["Asinh", "asinh"],
  ["Acosh", "acosh"],
  ["Atanh", "atanh"],
  ["Erf", "erf"],
  ["Sign", "sign"],
  ["Reciprocal", "reciprocal"],
  ["IsNaN", "is_nan"],
];

const BINARY: readonly (readonly [string, string])[] = [
  ["Add", "add"],
  ["Sub", "sub"],
  ["Mul", "mul"],
  ["Div", "div"],
  ["And", "and"],
  ["Or", "or"],
  ["Xor", "xor"],
  ["BitwiseAnd", "and"],
  ["BitwiseOr", "or"],
  ["BitwiseXor", "xor"],
  ["Equal", "eq"],
  ["Less", "lt"],
  ["LessOrEqual", "le"],
  ["Greater", "gt"],
  ["GreaterOrEqual", "ge"],
];

const isInf = defineOnnxOp({
  name: "IsInf",
  import: (c) =>
    c.add("is_inf", [c.input(0)], { positive: c.int("detect_positive", 1) !== 0, negative: c.int("detect_negative", 1) !== 0 }),
});

const mod = defineOnnxOp({ name: "Mod", import: (c) => c.add(c.int("fmod", 0) !== 0 ? "rem" : "mod", [c.input(0), c.input(1)]) });

const bitShift = defineOnnxOp({
  name: "BitShift",
  import(c) {
    const direction = c.string("direction");
    if (direction !== "LEFT" && direction !== "RIGHT") c.bad(`attribute 'direction' is ${JSON.stringify(direction)}`);
    return c.add(direction === "LEFT" ? "shl" : "shr", [c.input(0), c.input(1)]);
  },
});

/** The result has the base's type; exponents of another type are brought to one in which both can be powers. */
const pow = defineOnnxOp({
  name: "Pow",
  import(c) {
    const [base, exponent] = [c.input(0), c.input(1)];
    const [from, to] = [exponent.type.dtype, base.type.dtype];
    if (from === to) return c.add("pow", [base, exponent]);
    if (isFloat(to)) return c.add("pow", [base, castTo(c, exponent, to)]);
    if (isFloat(from)) return castTo(c, c.add("pow", [castTo(c, base, "f64"), castTo(c, exponent, "f64")]), to);
    // Powers of integers wrap, in 64 bits as in fewer.
    const wide = from === "u64" || to === "u64" ? "u64" : "i64";
    return castTo(c, c.add("pow", [castTo(c, base, wide), castTo(c, exponent, wide)]), to);
  },
});

const where = direct("Where", "where", 3);

/** One operand after another through a binary operator. */
function chain(c: ImportContext, op: string): Value {
  const values = c.inputs.map((_, k) => c.input(k));
  if (values.length === 0) c.bad("it has no operands");
  return values.reduce((a, b) => c.add(op, [a, b]));
}

const variadic = (name: string, op: string): OnnxOp => defineOnnxOp({ name, import: (c) => chain(c, op) });

const mean = defineOnnxOp({
  name: "Mean",
  import: (c) =>
    widened(
      c,
      c.inputs.map((_, k) => c.input(k)),
      (values) => {
        const sum = values.reduce((a, b) => c.add("add", [a, b]));
        return values.length === 1 ? sum : c.add("div", [sum, c.scalar(sum.type.dtype, values.length)]);
      },
    ),
});

/** Bounds as attributes before version 11, as optional operands since. */
const clip = defineOnnxOp({
  name: "Clip",
  import(c) {
    const x = c.input(0);
    const { dtype } = x.type;
    const attribute = (name: string): Value | undefined => (c.opset < 11 && c.attribute(name) ? c.scalar(dtype, c.float(name)) : undefined);
    const operand = (k: number): Value | undefined => c.inputs[k] && toScalar(c, c.inputs[k]);
    const [lo, hi] = c.opset < 11 ? [attribute("min"), attribute("max")] : [operand(1), operand(2)];
    if (lo && hi) return c.add("clip", [x, lo, hi]);
    return lo ? c.add("max", [x, lo]) : hi ? c.add("min", [x, hi]) : x;
  },
});

/** x, times the slope below 0; the slope broadcasts to x. */
const prelu = defineOnnxOp({
  name: "PRelu",
  import(c) {
    const [x, slope] = [c.input(0), c.input(1)];
    const y = c.add("where", [c.add("lt", [x, c.scalar(x.type.dtype, 0)]), c.add("mul", [x, slope]), x]);
    if (y.type.shape.length !== x.type.shape.length) c.bad("the slope has more axes than the input");
    return y;
  },
});

export const elementwiseTable: readonly OnnxOp[] = [
  ...UNARY.map(([name, op]) => direct(name, op, 1)),
  ...BINARY.map(([name, op]) => direct(name, op, 2)),
  isInf,
  mod,
  bitShift,
  pow,
  where,
  variadic("Sum", "add"),
  variadic("Max", "max"),
  variadic("Min", "min"),
  mean,
  clip,
  prelu,
];
