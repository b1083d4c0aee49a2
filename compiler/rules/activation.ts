// Activation functions spelled out as small operators: GELU, SiLU, Mish, hard sigmoid, hard swish, in whatever order they are multiplied.

import { isFloat } from "../../ir/dtype.ts";
import type { GraphBuilder, Value } from "../../ir/graph.ts";
import { any, op, type Rule, rule } from "../../ir/rewrite.ts";
import { sameType } from "../../ir/types.ts";
import { splatOf } from "./constants.ts";

/** A product taken apart: the scalar constants as one number, and the other factors. */
interface Factors {
  readonly constant: number;
  readonly others: readonly Value[];
}

const MOST_FACTORS = 6;

/** Takes products and divisions by scalars apart. Factors of another shape than `root` end it: they broadcast. */
function factorsOf(b: GraphBuilder, root: Value): Factors {
  let constant = 1;
  const others: Value[] = [];
  const visit = (v: Value): void => {
    const [x, y] = v.node.inputs;
    const known = x && y && (v.node.op === "mul" || v.node.op === "div") ? splatOf(b, y) : undefined;
    if (known !== undefined && sameType(x!.type, root.type)) {
      constant *= v.node.op === "mul" ? known : 1 / known;
      visit(x!);
    } else if (v.node.op === "mul" && others.length < MOST_FACTORS && v.node.inputs.every((w) => sameType(w.type, root.type)))
      v.node.inputs.forEach(visit);
    else others.push(v);
  };
  visit(root);
  return { constant, others };
}

/** Constants of models are rounded to their type, and sometimes written with six digits. */
export const near = (v: Value, a: number, b: number): boolean => Math.abs(a - b) <= (v.type.dtype === "f16" ? 1e-3 : 2e-6) * Math.abs(b);

/** `v` as x plus a scalar constant. */
function shifted(b: GraphBuilder, v: Value): { readonly x: Value; readonly by: number } | undefined {
  if (v.node.op !== "add") return undefined;
  const by = splatOf(b, v.node.inputs[1]!);
  return by === undefined || !sameType(v.node.inputs[0]!.type, v.type) ? undefined : { x: v.node.inputs[0]!, by };
}

/** Whether `v` is x times `k`. */
function isScaled(b: GraphBuilder, v: Value, x: Value, k: number): boolean {
  const { constant, others } = factorsOf(b, v);
  return others.length === 1 && others[0] === x && near(v, constant, k);
}

const isCube = (b: GraphBuilder, v: Value, x: Value, k: number): boolean => {
  const { constant, others } = factorsOf(b, v);
  if (!near(v, constant, k)) return false;
  if (others.length === 3) return others.every((f) => f === x);
  const [power] = others;
  return others.length === 1 && power!.node.op === "pow" && power!.node.inputs[0] === x && splatOf(b, power!.node.inputs[1]!) === 3;
};

/** Which GELU of x `v + 1` times x/2 would be. */
function geluOf(b: GraphBuilder, v: Value, x: Value): "none" | "tanh" | undefined {
  const t = v.node.inputs[0];
  if (v.node.op === "erf") return isScaled(b, t!, x, Math.SQRT1_2) ? "none" : undefined;
  if (v.node.op !== "tanh") return undefined;
  // tanh(sqrt(2 / pi) (x + 0.044715 x^3))
  const { constant, others } = factorsOf(b, t!);
  const [sum] = others;
  if (others.length !== 1 || !near(v, constant, Math.sqrt(2 / Math.PI)) || sum!.node.op !== "add") return undefined;
  const [p, q] = sum!.node.inputs as readonly [Value, Value];
  return (p === x && isCube(b, q, x, 0.044715)) || (q === x && isCube(b, p, x, 0.044715)) ? "tanh" : undefined;
}

const real = (v: Value): boolean => isFloat(v.type.dtype);

/** The two factors in both orders. */
const bothWays = ([p, q]: readonly Value[]): readonly (readonly [Value, Value])[] => [
  [p!, q!],
  [q!, p!],
];

export const activationRules: readonly Rule[] = [
  rule("x/2 (1 + erf(x / sqrt 2)) -> gelu(x), and its tanh form", op(["mul", "div"]), (_, b, root) => {
    const { constant, others } = factorsOf(b, root);
    if (!real(root) || others.length !== 2 || !near(root, constant, 0.5)) return undefined;
    for (const [x, q] of bothWays(others)) {
      const sum = shifted(b, q);
      const approximate = sum && near(root, sum.by, 1) ? geluOf(b, sum.x, x) : undefined;
      if (approximate) return b.value("gelu", [x], { approximate }, root.node.locs);
    }
    return undefined;
  }),
  rule("x sigmoid(x) -> silu(x)", op("mul", any("x"), op("sigmoid", any("x"))), ({ x }, b, root) =>
    b.value("silu", [x], {}, root.node.locs),
  ),
  rule("sigmoid(x) x -> silu(x)", op("mul", op("sigmoid", any("x")), any("x")), ({ x }, b, root) =>
    b.value("silu", [x], {}, root.node.locs),
  ),
  rule("x tanh(softplus(x)) -> mish(x)", op("mul", any("x"), op("tanh", op("softplus", any("x")))), ({ x }, b, root) =>
    b.value("mish", [x], {}, root.node.locs),
  ),
  rule("x clip(x + 3, 0, 6) / 6 -> hard_swish(x)", op(["mul", "div"]), (_, b, root) => {
    const { constant, others } = factorsOf(b, root);
    if (!real(root) || others.length !== 2) return undefined;
    for (const [x, q] of bothWays(others)) {
      if (q.node.op === "hard_sigmoid" && q.node.inputs[0] === x) {
        const { alpha, beta } = q.node.attrs;
        if (near(root, constant, 1) && near(root, alpha as number, 1 / 6) && beta === 0.5)
          return b.value("hard_swish", [x], {}, root.node.locs);
      }
      const [inner, lo, hi] = q.node.inputs;
      if (q.node.op !== "clip" || !near(root, constant, 1 / 6) || splatOf(b, lo!) !== 0 || splatOf(b, hi!) !== 6) continue;
      const sum = shifted(b, inner!);
      if (sum?.by === 3 && sum.x === x) return b.value("hard_swish", [x], {}, root.node.locs);
    }
    return undefined;
  }),
];
