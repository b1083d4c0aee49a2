// Elementwise operators with one, two or three operands: arithmetic, functions, comparisons, logic. NumPy broadcasting.

import { type Compute, type ComputeOp, defineOp, type InferContext } from "../op.ts";
import { add, and, binaryOp, compare, constant, div, max, min, or, rem, select, unary } from "../scalar/build.ts";
import type { Scalar } from "../scalar/scalar.ts";
import type { BinaryOp, CompareOp, UnaryOp } from "../scalar/types.ts";
import type { TensorType } from "../types.ts";
import { ANY, FLOAT, type Kind, LOGICAL, NUMBER, operandOf, sharedDType, sharedShape } from "./rules.ts";

/** A constant of the type of `like`. */
const lit = (like: Scalar, value: number): Scalar => constant(like.type as "f32", value);

/** One operand, the same type out. */
function map(name: string, doc: string, kinds: readonly Kind[], f: (x: Scalar) => Scalar): ComputeOp {
  return defineOp({
    name,
    doc,
    operands: ["x"],
    elementwise: true,
    infer: (c: InferContext): TensorType => ({ dtype: operandOf(c, 0, kinds).dtype, shape: c.types[0]!.shape }),
    compute: (c: Compute) => f(c.operand(0)),
  });
}

const scalarMap = (name: UnaryOp, doc: string, kinds: readonly Kind[] = FLOAT, op: UnaryOp = name): ComputeOp =>
  map(name, doc, kinds, (x) => unary<Scalar>(op, x));

const sign = (x: Scalar): Scalar =>
  select<Scalar>(compare<Scalar>("gt", x, lit(x, 0)), lit(x, 1), select<Scalar>(compare<Scalar>("lt", x, lit(x, 0)), lit(x, -1), x));

const unaryOps: readonly ComputeOp[] = [
  scalarMap("neg", "-x; integers wrap.", NUMBER),
  scalarMap("abs", "|x|; integers wrap.", NUMBER),
  scalarMap("not", "Not x: of bools logical, of integers bit by bit.", LOGICAL),
  scalarMap("sqrt", "The square root of x; NaN below 0."),
  scalarMap("floor", "The largest integer not above x."),
  scalarMap("ceil", "The smallest integer not below x."),
  scalarMap("trunc", "x without its fraction."),
  map("round", "The integer nearest to x, halves to even.", FLOAT, (x) => unary<Scalar>("round_even", x)),
  scalarMap("exp", "e to the power of x."),
  scalarMap("log", "The natural logarithm of x."),
  scalarMap("sin", "The sine of x, in radians."),
  scalarMap("cos", "The cosine of x, in radians."),
  scalarMap("tan", "The tangent of x, in radians."),
  scalarMap("asin", "The angle in [-pi/2, pi/2] whose sine is x."),
  scalarMap("acos", "The angle in [0, pi] whose cosine is x."),
  scalarMap("atan", "The angle in (-pi/2, pi/2) whose tangent is x."),
  scalarMap("sinh", "(e^x - e^-x) / 2."),
  scalarMap("cosh", "(e^x + e^-x) / 2."),
  scalarMap("tanh", "sinh(x) / cosh(x)."),
  scalarMap("asinh", "The number whose sinh is x."),
  scalarMap("acosh", "The number >= 0 whose cosh is x."),
  scalarMap("atanh", "The number whose tanh is x."),
  scalarMap("erf", "The error function, 2/sqrt(pi) times the integral of e^(-t^2) from 0 to x."),
  map("sign", "1, 0 or -1 as x is above, at or below 0; NaN for NaN.", NUMBER, sign),
  map("reciprocal", "1 / x.", FLOAT, (x) => div<Scalar>(lit(x, 1), x)),
];

export const isNan = defineOp({
  name: "is_nan",
  doc: "Whether x is NaN.",
  operands: ["x"],
  elementwise: true,
  infer: (c) => ({ dtype: "bool", shape: operandOf(c, 0, FLOAT).shape }),
  compute: (c) => compare<Scalar>("ne", c.operand(0), c.operand(0)),
});

export const isInf = defineOp({
  name: "is_inf",
  doc: "Whether x is infinite: +inf counts with `positive`, -inf with `negative`.",
  operands: ["x"],
  elementwise: true,
  infer: (c) => ({ dtype: "bool", shape: operandOf(c, 0, FLOAT).shape }),
  compute(c) {
    const x = c.operand(0);
    const equals = (value: number, on: boolean): Scalar => (on ? compare<Scalar>("eq", x, lit(x, value)) : constant("bool", false));
    return or<Scalar>(
      equals(Number.POSITIVE_INFINITY, c.attrs["positive"] === true),
      equals(Number.NEGATIVE_INFINITY, c.attrs["negative"] === true),
    );
  },
});

/** Two operands of one element type; bool out if `predicate`. */
function zip(name: string, doc: string, kinds: readonly Kind[], f: (a: Scalar, b: Scalar) => Scalar, predicate = false): ComputeOp {
  return defineOp({
    name,
    doc,
    operands: ["a", "b"],
    elementwise: true,
    infer(c: InferContext): TensorType {
      operandOf(c, 0, kinds);
      const dtype = sharedDType(c);
      return { dtype: predicate ? "bool" : dtype, shape: sharedShape(c) };
    },
    compute: (c: Compute) => f(c.operand(0), c.operand(1)),
  });
}

const scalarZip = (name: BinaryOp, doc: string, kinds: readonly Kind[] = NUMBER): ComputeOp =>
  zip(name, doc, kinds, (a, b) => binaryOp<Scalar>(name, a, b));
const comparison = (name: CompareOp, doc: string, kinds: readonly Kind[]): ComputeOp =>
  zip(name, doc, kinds, (a, b) => compare<Scalar>(name, a, b), true);

/** The remainder of flooring division: it has the divisor's sign. */
function floorMod(a: Scalar, b: Scalar): Scalar {
  const r = rem<Scalar>(a, b);
  const zero = lit(r, 0);
  const opposite = compare<Scalar>("ne", compare<Scalar>("lt", r, zero), compare<Scalar>("lt", b, zero));
  return select<Scalar>(and<Scalar>(compare<Scalar>("ne", r, zero), opposite), add<Scalar>(r, b), r);
}

const binaryOps: readonly ComputeOp[] = [
  scalarZip("add", "a + b; integers wrap."),
  scalarZip("sub", "a - b; integers wrap."),
  scalarZip("mul", "a * b; integers wrap."),
  scalarZip("div", "a / b; on integers truncated towards 0, and 0 where b is 0."),
  scalarZip("rem", "What a / b truncated leaves, with the sign of a (C's fmod); 0 where an integer b is 0."),
  zip("mod", "What a / b floored leaves, with the sign of b; 0 where an integer b is 0.", NUMBER, floorMod),
  scalarZip("pow", "a to the power of b; integers wrap."),
  scalarZip("min", "The smaller of a and b; NaN if either is."),
  scalarZip("max", "The larger of a and b; NaN if either is."),
  scalarZip("and", "a and b: of bools logical, of integers bit by bit.", LOGICAL),
  scalarZip("or", "a or b: of bools logical, of integers bit by bit.", LOGICAL),
  scalarZip("xor", "Either a or b: of bools logical, of integers bit by bit.", LOGICAL),
  scalarZip("shl", "a shifted left by b bits; 0 for b of at least the width.", ["int", "uint"]),
  scalarZip("shr", "a shifted right by b bits, keeping the sign of signed integers.", ["int", "uint"]),
  comparison("eq", "Whether a = b.", ANY),
  comparison("ne", "Whether a and b differ; NaN differs from all.", ANY),
  comparison("lt", "Whether a < b.", NUMBER),
  comparison("le", "Whether a <= b.", NUMBER),
  comparison("gt", "Whether a > b.", NUMBER),
  comparison("ge", "Whether a >= b.", NUMBER),
];

export const where = defineOp({
  name: "where",
  doc: "a where `cond` holds, else b.",
  operands: ["cond", "a", "b"],
  elementwise: true,
  infer(c) {
    operandOf(c, 0, ["bool"]);
    return { dtype: sharedDType(c, [1, 2]), shape: sharedShape(c) };
  },
  compute: (c) => select<Scalar>(c.operand(0), c.operand(1), c.operand(2)),
});

export const clip = defineOp({
  name: "clip",
  doc: "min(max(x, lo), hi): x between the scalars `lo` and `hi`, `hi` where lo > hi; NaN stays NaN.",
  operands: ["x", "lo", "hi"],
  elementwise: true,
  infer(c) {
    const x = operandOf(c, 0, NUMBER);
    const dtype = sharedDType(c);
    for (const k of [1, 2])
      if (c.types[k]!.shape.length !== 0) c.fail(`the bounds must be scalars, operand ${k} has ${c.types[k]!.shape.length} axes`);
    return { dtype, shape: x.shape };
  },
  compute: (c) => min<Scalar>(max<Scalar>(c.operand(0), c.operand(1)), c.operand(2)),
});

export const elementwiseOps: readonly ComputeOp[] = [...unaryOps, isNan, isInf, ...binaryOps, where, clip];
