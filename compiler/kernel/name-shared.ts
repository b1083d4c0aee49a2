// Names what a statement would compute twice: equal subexpressions become one `let` before it.

import { let_, variable } from "../../ir/kernel/build.ts";
import { type Expr, type Func, isVector, type Stmt } from "../../ir/kernel/types.ts";
import { expressionsOf, mapOperands, mapStmt, operands, visitStatements } from "../../ir/kernel/walk.ts";
import type { KernelPass } from "./legalize.ts";

export const nameShared: KernelPass = {
  name: "name-shared",
  establishes: "no statement computes the same subexpression twice, save in sides of a select and conditions of loops",
  run: (program) => ({ ...program, functions: program.functions.map(nameIn) }),
};

/** Cheaper to repeat than to keep. */
function isCheap(e: Expr): boolean {
  if (e.kind === "const" || e.kind === "var" || e.kind === "team") return true;
  if (e.kind === "splat") return e.a.kind === "const";
  return e.kind === "advance" && e.ptr.kind === "var" && e.bytes.kind === "const";
}

/** The sides of a select by a bool are evaluated when chosen. */
const lazyFrom = (e: Expr): number => (e.kind === "select" && !isVector(e.cond.type) ? 1 : operands(e).length);

/** What an expression is besides its operands. */
function shapeOf(e: Expr): string {
  switch (e.kind) {
    case "const":
      return Object.is(e.value, -0) ? "-0" : String(e.value);
    case "var":
      return e.name;
    case "unary":
    case "binary":
    case "compare":
      return e.op;
    case "wrap":
      return e.to;
    case "load":
      return `${e.memory}+${e.offset}`;
    case "extract":
    case "replace":
      return String(e.lane);
    case "shuffle":
      return e.lanes.join();
    case "call":
      return e.name;
    case "team":
      return e.of;
    default:
      return "";
  }
}

interface Use {
  readonly expr: Expr;
  count: number;
  /** Evaluated whenever the statement is. */
  eager: boolean;
}

/** One object for equal expressions, with how often each is used. */
function census(roots: readonly Expr[]): { readonly roots: readonly Expr[]; readonly uses: ReadonlyMap<Expr, Use> } {
  const byKey = new Map<string, Expr>();
  const known = new Map<Expr, Expr>();
  const uses = new Map<Expr, Use>();
  const ids = new Map<Expr, number>();
  const intern = (e: Expr): Expr => {
    const found = known.get(e);
    if (found) return found;
    const same = mapOperands(e, intern);
    const key = `${e.kind} ${e.type} ${shapeOf(e)} ${operands(same)
      .map((x) => ids.get(x))
      .join()}`;
    const canonical = byKey.get(key) ?? same;
    if (canonical === same) {
      byKey.set(key, same);
      ids.set(same, ids.size);
      uses.set(same, { expr: same, count: 0, eager: false });
      for (const x of operands(same)) uses.get(x)!.count++;
    }
    known.set(e, canonical);
    return canonical;
  };
  const interned = roots.map(intern);
  const mark = (e: Expr): void => {
    const use = uses.get(e)!;
    if (use.eager) return;
    use.eager = true;
    operands(e).slice(0, lazyFrom(e)).forEach(mark);
  };
  for (const e of interned) {
    uses.get(e)!.count++;
    mark(e);
  }
  return { roots: interned, uses };
}

function nameIn(func: Func): Func {
  const taken = new Set(func.params.map((p) => p.name));
  visitStatements(func.body, (s) => {
    if (s.kind === "let" || s.kind === "for") taken.add(s.name);
  });
  let count = 0;
  const fresh = (): string => {
    let name = `shared${count++}`;
    while (taken.has(name)) name = `shared${count++}`;
    return name;
  };

  /** The expressions over names, and the lets that give the names. */
  const share = (roots: readonly Expr[]): { readonly before: readonly Stmt[]; readonly after: readonly Expr[] } => {
    const { roots: interned, uses } = census(roots);
    const before: Stmt[] = [];
    const done = new Map<Expr, Expr>();
    const name = (e: Expr): Expr => {
      const found = done.get(e);
      if (found) return found;
      const inner = mapOperands(e, name);
      const use = uses.get(e)!;
      const shared = use.count > 1 && use.eager && !isCheap(e);
      const declared = shared ? fresh() : "";
      if (shared) before.push(let_(declared, inner));
      const result = shared ? variable(declared, e.type) : inner;
      done.set(e, result);
      return result;
    };
    return { after: interned.map(name), before };
  };

  const block = (body: readonly Stmt[]): readonly Stmt[] =>
    body.flatMap((s) => {
      if (s.kind === "while" || s.kind === "repeat") return [mapStmt(s, (e) => e, block)];
      const own = expressionsOf(s);
      const { before, after } = share(own);
      const renamed = new Map(own.map((e, i) => [e, after[i]!]));
      return [...before, mapStmt(s, (e) => renamed.get(e)!, block)];
    });

  const body = block(func.body);
  if (!func.result) return { ...func, body };
  const { before, after } = share([func.result]);
  return { ...func, body: [...body, ...before], result: after[0]! };
}
