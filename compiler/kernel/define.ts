// Writes kernel functions with a result: parameters become expressions, intermediate values become variables.

import { constant, let_, splat, variable } from "../../ir/kernel/build.ts";
import { type Expr, type Func, isVector, LANE_TYPE, type Stmt, type ValueType, type VectorType } from "../../ir/kernel/types.ts";
import type { ScalarType } from "../../ir/scalar/types.ts";

export interface Body {
  /** Names a value, so that it is computed once. */
  name(value: Expr): Expr;
  /** Declares a variable that statements may set. */
  variable(initial: Expr): Expr & { readonly kind: "var" };
  add(...statements: readonly Stmt[]): void;
}

/** A function of parameters `a`, `b`, ... of the given types, with the expression that `build` returns as its result. */
export function define(name: string, doc: string, types: readonly ValueType[], build: (body: Body, ...params: Expr[]) => Expr): Func {
  const params = types.map((type, i) => ({ name: "abcdef"[i]!, type: type as ScalarType | VectorType }));
  const statements: Stmt[] = [];
  let count = 0;
  const declare = (value: Expr): Expr & { kind: "var" } => {
    const fresh = `t${count++}`;
    statements.push(let_(fresh, value));
    return variable(fresh, value.type) as Expr & { kind: "var" };
  };
  const body: Body = {
    name: (value) => (value.kind === "const" || value.kind === "var" ? value : declare(value)),
    variable: declare,
    add: (...more) => void statements.push(...more),
  };
  const result = build(body, ...params.map((p) => variable(p.name, p.type)));
  return { name, doc, params, body: statements, result };
}

/** A constant of a scalar type, or of every lane of a vector type. */
export function literal(type: ValueType, value: number): Expr {
  return isVector(type) ? splat(type, constant(LANE_TYPE[type], value)) : constant(type as ScalarType, value);
}
