// How much a kernel does, reckoned from its text: multiply-adds, memory accesses and other operations of all its threads.

import { type Expr, type Func, isVector, LANES, type Stmt } from "./types.ts";
import { operands } from "./walk.ts";

/** Rounds of a loop whose bounds hang on data. */
const UNKNOWN_ROUNDS = 16;
/** Operations that a call of a mathematical function stands for, where the target computes it itself. */
const MATHS = 8;

/** The cost of a call of `func`; `functions` are those that it calls. */
export function costOf(func: Func, functions: ReadonlyMap<string, Func>): number {
  const known = new Map<Expr, number>();
  const expression = (e: Expr): number => {
    const found = known.get(e);
    if (found !== undefined) return found;
    const lanes = isVector(e.type) ? LANES[e.type] : 1;
    const own = e.kind === "call" ? costOf(functions.get(e.name)!, functions) : ownCost(e) * lanes;
    const total = operands(e).reduce((sum, x) => sum + expression(x), own);
    known.set(e, total);
    return total;
  };
  const block = (body: readonly Stmt[]): number => body.reduce((sum, s) => sum + statement(s), 0);
  const statement = (s: Stmt): number => {
    switch (s.kind) {
      case "let":
      case "set":
        return expression(s.value);
      case "store":
        return 1 + expression(s.ptr) + expression(s.value);
      case "for": {
        const fixed = s.from.kind === "const" && s.to.kind === "const";
        const rounds = fixed
          ? Math.max(0, Math.ceil((Number((s.to as { value: number }).value) - Number((s.from as { value: number }).value)) / s.step))
          : UNKNOWN_ROUNDS;
        return rounds * (1 + block(s.body));
      }
      case "repeat":
        return UNKNOWN_ROUNDS * (expression(s.again) + block(s.body));
      case "while":
        return UNKNOWN_ROUNDS * (expression(s.cond) + block(s.body));
      case "if":
        return expression(s.cond) + Math.max(block(s.then), block(s.else));
      case "call":
        return costOf(functions.get(s.name)!, functions);
      case "assert":
        return expression(s.cond);
      case "swap":
      case "barrier":
        return 1;
    }
  };
  const { grid } = func;
  return block(func.body) * (grid ? grid.workgroups * grid.size : 1);
}

function ownCost(e: Expr): number {
  switch (e.kind) {
    case "const":
    case "var":
    case "team":
    case "splat":
    case "extract":
    case "bitcast":
      return 0;
    case "unary":
      return e.op === "exp" || e.op === "log" || e.op === "tanh" || e.op === "erf" || e.op === "sin" || e.op === "cos" ? MATHS : 1;
    case "dot4":
      return 4;
    default:
      return 1;
  }
}
