// Activation functions: elementwise, on floats, their parameters attributes.

import { type Compute, type ComputeOp, defineOp, type InferContext } from "../op.ts";
import { add, compare, constant, div, max, min, mul, select, sub, unary } from "../scalar/build.ts";
import type { Scalar } from "../scalar/scalar.ts";
import type { TensorType } from "../types.ts";
import { FLOAT, type Kind, NUMBER, numberAttr, operandOf, stringAttr } from "./rules.ts";

/** Constants of the operand's type, and the parameters. */
interface Terms {
  readonly x: Scalar;
  lit(value: number): Scalar;
  param(name: string): Scalar;
}

function activation(
  name: string,
  doc: string,
  params: readonly string[],
  f: (t: Terms) => Scalar,
  kinds: readonly Kind[] = FLOAT,
): ComputeOp {
  return defineOp({
    name,
    doc,
    operands: ["x"],
    elementwise: true,
    infer(c: InferContext): TensorType {
      for (const p of params) numberAttr(c, p);
      return { dtype: operandOf(c, 0, kinds).dtype, shape: c.types[0]!.shape };
    },
    compute(c: Compute) {
      const x = c.operand(0);
      const lit = (value: number): Scalar => constant(x.type as "f32", value);
      return f({ x, lit, param: (p) => lit(c.attrs[p] as number) });
    },
  });
}

const exp = (x: Scalar): Scalar => unary<Scalar>("exp", x);
const below = (x: Scalar, y: Scalar): Scalar => compare<Scalar>("lt", x, y);

export const sigmoidOf = (x: Scalar): Scalar => {
  const one = constant(x.type as "f32", 1);
  return div<Scalar>(one, add<Scalar>(one, exp(unary<Scalar>("neg", x))));
};

/** log(1 + y) for y >= 0, exact to rounding: log(u) y / (u - 1) with u = 1 + y (Kahan). */
function log1p(y: Scalar): Scalar {
  const one = constant(y.type as "f32", 1);
  const u = add<Scalar>(one, y);
  return select<Scalar>(compare<Scalar>("eq", u, one), y, div<Scalar>(mul<Scalar>(unary<Scalar>("log", u), y), sub<Scalar>(u, one)));
}

/** max(x, 0) + log(1 + e^-|x|): log(1 + e^x) without overflow. */
const softplusOf = (x: Scalar): Scalar =>
  add<Scalar>(max<Scalar>(x, constant(x.type as "f32", 0)), log1p(exp(unary<Scalar>("neg", unary<Scalar>("abs", x)))));

const unitClamp = ({ lit }: Terms, x: Scalar): Scalar => max<Scalar>(lit(0), min<Scalar>(lit(1), x));

export const gelu = defineOp({
  name: "gelu",
  doc: "x times the normal distribution function of x: x/2 (1 + erf(x / sqrt 2)), or its `tanh` approximation.",
  operands: ["x"],
  elementwise: true,
  infer(c) {
    stringAttr(c, "approximate", ["none", "tanh"]);
    return { dtype: operandOf(c, 0, FLOAT).dtype, shape: c.types[0]!.shape };
  },
  compute(c) {
    const x = c.operand(0);
    const lit = (value: number): Scalar => constant(x.type as "f32", value);
    const cubic = add<Scalar>(x, mul<Scalar>(lit(0.044715), mul<Scalar>(x, mul<Scalar>(x, x))));
    const inner =
      c.attrs["approximate"] === "tanh"
        ? unary<Scalar>("tanh", mul<Scalar>(lit(Math.sqrt(2 / Math.PI)), cubic))
        : unary<Scalar>("erf", mul<Scalar>(x, lit(Math.SQRT1_2)));
    return mul<Scalar>(mul<Scalar>(lit(0.5), x), add<Scalar>(lit(1), inner));
  },
});

export const activationOps: readonly ComputeOp[] = [
  activation("relu", "max(x, 0); NaN stays NaN.", [], ({ x, lit }) => max<Scalar>(x, lit(0)), NUMBER),
  activation("sigmoid", "1 / (1 + e^-x).", [], ({ x }) => sigmoidOf(x)),
  activation("leaky_relu", "x, times `alpha` below 0.", ["alpha"], ({ x, lit, param }) =>
    select<Scalar>(below(x, lit(0)), mul<Scalar>(param("alpha"), x), x),
  ),
  activation("elu", "x, and alpha (e^x - 1) below 0.", ["alpha"], ({ x, lit, param }) =>
    select<Scalar>(below(x, lit(0)), mul<Scalar>(param("alpha"), sub<Scalar>(exp(x), lit(1))), x),
  ),
  activation("selu", "gamma x, and gamma alpha (e^x - 1) at and below 0.", ["alpha", "gamma"], ({ x, lit, param }) =>
    mul<Scalar>(param("gamma"), select<Scalar>(below(x, lit(0)), mul<Scalar>(param("alpha"), sub<Scalar>(exp(x), lit(1))), x)),
  ),
  activation("celu", "max(0, x) + min(0, alpha (e^(x / alpha) - 1)).", ["alpha"], ({ x, lit, param }) =>
    add<Scalar>(
      max<Scalar>(lit(0), x),
      min<Scalar>(lit(0), mul<Scalar>(param("alpha"), sub<Scalar>(exp(div<Scalar>(x, param("alpha"))), lit(1)))),
    ),
  ),
  activation("hard_sigmoid", "alpha x + beta, kept within 0 and 1.", ["alpha", "beta"], (t) =>
    unitClamp(t, add<Scalar>(mul<Scalar>(t.param("alpha"), t.x), t.param("beta"))),
  ),
  activation("hard_swish", "x times x / 6 + 1 / 2 kept within 0 and 1.", [], (t) =>
    mul<Scalar>(t.x, unitClamp(t, add<Scalar>(mul<Scalar>(t.lit(1 / 6), t.x), t.lit(0.5)))),
  ),
  activation("softplus", "log(1 + e^x).", [], ({ x }) => softplusOf(x)),
  activation("softsign", "x / (1 + |x|).", [], ({ x, lit }) => div<Scalar>(x, add<Scalar>(lit(1), unary<Scalar>("abs", x)))),
  activation("mish", "x tanh(log(1 + e^x)).", [], ({ x }) => mul<Scalar>(x, unary<Scalar>("tanh", softplusOf(x)))),
  gelu,
  activation("thresholded_relu", "x above `alpha`, else 0.", ["alpha"], ({ x, lit, param }) =>
    select<Scalar>(below(param("alpha"), x), x, lit(0)),
  ),
  activation("shrink", "x + bias below -lambda, x - bias above lambda, 0 between.", ["bias", "lambda"], ({ x, lit, param }) =>
    select<Scalar>(
      below(x, unary<Scalar>("neg", param("lambda"))),
      add<Scalar>(x, param("bias")),
      select<Scalar>(below(param("lambda"), x), sub<Scalar>(x, param("bias")), lit(0)),
    ),
  ),
  activation("silu", "x / (1 + e^-x).", [], ({ x }) => mul<Scalar>(x, sigmoidOf(x))),
  activation("swish", "x / (1 + e^(-alpha x)).", ["alpha"], ({ x, param }) => mul<Scalar>(x, sigmoidOf(mul<Scalar>(param("alpha"), x)))),
];
