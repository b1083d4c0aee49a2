// The values that an integer expression can take, from the bounds of the loops around it: guards that always hold need no code.

import type { Expr } from "../../../ir/kernel/types.ts";
import type { CompareOp } from "../../../ir/scalar/types.ts";

/** Inclusive. */
export interface Range {
  readonly low: number;
  readonly high: number;
}

/** The range of an i32 expression over variables of known ranges, or undefined. Assumes that nothing overflows, as coordinates do not. */
export function rangeOf(e: Expr, variable: (name: string) => Range | undefined): Range | undefined {
  if (e.type !== "i32") return undefined;
  if (e.kind === "const") return { low: Number(e.value), high: Number(e.value) };
  if (e.kind === "var") return variable(e.name);
  if (e.kind !== "binary") return undefined;
  const [a, b] = [rangeOf(e.a, variable), rangeOf(e.b, variable)];
  if (!a || !b) return undefined;
  switch (e.op) {
    case "add":
      return { low: a.low + b.low, high: a.high + b.high };
    case "sub":
      return { low: a.low - b.high, high: a.high - b.low };
    case "mul": {
      const corners = [a.low * b.low, a.low * b.high, a.high * b.low, a.high * b.high];
      return { low: Math.min(...corners), high: Math.max(...corners) };
    }
    case "min":
      return { low: Math.min(a.low, b.low), high: Math.min(a.high, b.high) };
    case "max":
      return { low: Math.max(a.low, b.low), high: Math.max(a.high, b.high) };
    case "div":
      return b.low === b.high && b.low > 0 ? { low: Math.trunc(a.low / b.low), high: Math.trunc(a.high / b.low) } : undefined;
    case "rem":
      return b.low === b.high && b.low > 0 && a.low >= 0 ? { low: 0, high: Math.min(a.high, b.low - 1) } : undefined;
    default:
      return undefined;
  }
}

/** Whether a comparison always holds (true), never holds (false), or hangs on where the loops stand. */
export function decide(op: CompareOp, a: Range | undefined, b: Range | undefined): boolean | undefined {
  if (!a || !b) return undefined;
  switch (op) {
    case "lt":
      return a.high < b.low ? true : a.low >= b.high ? false : undefined;
    case "ge":
      return a.low >= b.high ? true : a.high < b.low ? false : undefined;
    case "le":
      return a.high <= b.low ? true : a.low > b.high ? false : undefined;
    case "gt":
      return a.low > b.high ? true : a.high <= b.low ? false : undefined;
    case "eq":
    case "ne": {
      if (a.high < b.low || a.low > b.high) return op === "ne";
      return a.low === a.high && b.low === b.high ? op === "eq" : undefined;
    }
  }
}
