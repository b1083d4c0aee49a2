// Integer expressions as a constant plus multiples of what cannot be taken apart: how addresses are split over loops.

import type { Expr } from "../../../ir/kernel/types.ts";

export interface Affine {
  readonly constant: number;
  /** Sum of `of * by`; each `of` is a variable or an opaque expression, and occurs once. */
  readonly terms: readonly { readonly of: Expr; readonly by: number }[];
}

/** Collects an i32 expression. */
export function affineOf(e: Expr): Affine {
  const terms = new Map<Expr | string, { of: Expr; by: number }>();
  let constant = 0;
  const visit = (x: Expr, by: number): void => {
    if (x.kind === "const") {
      constant += Number(x.value) * by;
      return;
    }
    if (x.kind === "binary" && (x.op === "add" || x.op === "sub")) {
      visit(x.a, by);
      return visit(x.b, x.op === "add" ? by : -by);
    }
    if (x.kind === "binary" && x.op === "mul") {
      if (x.b.kind === "const") return visit(x.a, by * Number(x.b.value));
      if (x.a.kind === "const") return visit(x.b, by * Number(x.a.value));
    }
    if (x.kind === "binary" && x.op === "shl" && x.b.kind === "const") return visit(x.a, by * 2 ** Number(x.b.value));
    const key = x.kind === "var" ? x.name : x;
    const term = terms.get(key);
    if (term) term.by += by;
    else terms.set(key, { of: x, by });
  };
  visit(e, 1);
  return { constant, terms: [...terms.values()].filter((t) => t.by !== 0) };
}

/** How much an i32 expression grows when variable `name` grows by one, or undefined where that is not constant. */
export function coefficient(e: Expr, name: string, mentions: (x: Expr) => boolean): number | undefined {
  let total = 0;
  for (const { of, by } of affineOf(e).terms) {
    if (of.kind === "var" && of.name === name) total += by;
    else if (mentions(of)) return undefined;
  }
  return total;
}
