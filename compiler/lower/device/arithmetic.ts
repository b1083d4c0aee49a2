// What products on a device are made of: floats, or words of four signed bytes that are multiplied and added up at once.

import { add, call, dot4, extract, f32, fma, i32, replace, splat, variable } from "../../../ir/kernel/build.ts";
import type { Expr, Func } from "../../../ir/kernel/types.ts";

/** Elements of four bytes each, and what becomes of them. Sums of words are of i32. */
export interface Arithmetic {
  readonly element: "f32" | "i32";
  readonly vector: "f32x4" | "i32x4";
  /** Four of nothing. */
  readonly zero: Expr;
  /** `sums` and the products of one element by four, which are variables. */
  multiplyAdd(factor: Expr, four: Expr, sums: Expr): Expr;
  /** What that calls. */
  readonly functions: readonly Func[];
}

export const floats: Arithmetic = {
  element: "f32",
  vector: "f32x4",
  zero: splat("f32x4", f32(0)),
  multiplyAdd: (factor, four, sums) => fma(splat("f32x4", factor), four, sums),
  functions: [],
};

const wordVector = "i32x4";
const noWords = splat(wordVector, i32(0));

/** Words; `name` is the function's that sums them. */
export function wordArithmetic(name: string): Arithmetic {
  const params = [
    { name: "factor", type: "i32" },
    { name: "four", type: wordVector },
    { name: "sums", type: wordVector },
  ] as const;
  const [factor, four, sums] = params.map((p) => variable(p.name, p.type)) as [Expr, Expr, Expr];
  const dots = [0, 1, 2, 3].reduce<Expr>((v, lane) => replace(v, lane, dot4(factor, extract(four, lane))), noWords);
  return {
    element: "i32",
    vector: wordVector,
    zero: noWords,
    multiplyAdd: (...args) => call(wordVector, name, args),
    functions: [{ name, params, body: [], result: add(sums, dots) }],
  };
}
