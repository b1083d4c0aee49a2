// Walking and rebuilding kernel expressions and statements: what every kernel pass stands on.

import type { Expr, Func, Stmt } from "./types.ts";

/** The direct operands of an expression. */
export function operands(e: Expr): readonly Expr[] {
  switch (e.kind) {
    case "const":
    case "var":
    case "team":
      return [];
    case "unary":
    case "cast":
    case "bitcast":
    case "wrap":
    case "splat":
    case "extract":
      return [e.a];
    case "binary":
    case "compare":
    case "shuffle":
    case "dot":
    case "dot4":
    case "dot_pairs":
    case "narrow":
      return [e.a, e.b];
    case "select":
      return [e.cond, e.a, e.b];
    case "load":
      return [e.ptr];
    case "advance":
      return [e.ptr, e.bytes];
    case "replace":
      return [e.a, e.value];
    case "fma":
    case "dot_bytes":
      return [e.a, e.b, e.c];
    case "call":
      return e.args;
  }
}

/** The same expression over operands `f(operand)`; the very same object where nothing changed. */
export function mapOperands(e: Expr, f: (operand: Expr) => Expr): Expr {
  const before = operands(e);
  const after = before.map(f);
  if (after.every((x, i) => x === before[i])) return e;
  const [x, y, z] = after as [Expr, Expr, Expr];
  switch (e.kind) {
    case "const":
    case "var":
    case "team":
      return e;
    case "unary":
    case "cast":
    case "bitcast":
    case "wrap":
    case "splat":
    case "extract":
      return { ...e, a: x };
    case "binary":
    case "compare":
    case "shuffle":
    case "dot":
    case "dot4":
    case "dot_pairs":
    case "narrow":
      return { ...e, a: x, b: y };
    case "select":
      return { ...e, cond: x, a: y, b: z };
    case "load":
      return { ...e, ptr: x };
    case "advance":
      return { ...e, ptr: x, bytes: y };
    case "replace":
      return { ...e, a: x, value: y };
    case "fma":
    case "dot_bytes":
      return { ...e, a: x, b: y, c: z };
    case "call":
      return { ...e, args: after };
  }
}

/** A bottom-up rewrite of expressions; shared subtrees are rewritten once and stay shared. */
export function rewriter(f: (e: Expr) => Expr): (e: Expr) => Expr {
  const done = new Map<Expr, Expr>();
  const rewrite = (e: Expr): Expr => {
    const known = done.get(e);
    if (known) return known;
    const result = f(mapOperands(e, rewrite));
    done.set(e, result);
    return result;
  };
  return rewrite;
}

/** A statement with its own expressions mapped by `expr` and its nested blocks by `block`. */
export function mapStmt(s: Stmt, expr: (e: Expr) => Expr, block: (body: readonly Stmt[]) => readonly Stmt[]): Stmt {
  switch (s.kind) {
    case "let":
    case "set":
      return { ...s, value: expr(s.value) };
    case "store":
      return { ...s, ptr: expr(s.ptr), value: expr(s.value) };
    case "for":
      return { ...s, from: expr(s.from), to: expr(s.to), body: block(s.body) };
    case "repeat":
      return { ...s, body: block(s.body), again: expr(s.again) };
    case "while":
      return { ...s, cond: expr(s.cond), body: block(s.body) };
    case "if":
      return { ...s, cond: expr(s.cond), then: block(s.then), else: block(s.else) };
    case "call":
      return { ...s, args: s.args.map(expr) };
    case "assert":
      return { ...s, cond: expr(s.cond) };
    case "swap":
      return { ...s, by: expr(s.by) };
    case "barrier":
      return s;
  }
}

/** A function with every expression rewritten by `f`, bottom up. */
export function mapFunc(func: Func, f: (e: Expr) => Expr, statement: (s: Stmt) => Stmt = (s) => s): Func {
  const rewrite = rewriter(f);
  const block = (body: readonly Stmt[]): readonly Stmt[] => body.map((s) => statement(mapStmt(s, rewrite, block)));
  const body = block(func.body);
  return func.result ? { ...func, body, result: rewrite(func.result) } : { ...func, body };
}

/** The expressions that a statement itself evaluates, not those of nested blocks. */
export function expressionsOf(s: Stmt): readonly Expr[] {
  switch (s.kind) {
    case "let":
    case "set":
      return [s.value];
    case "store":
      return [s.ptr, s.value];
    case "for":
      return [s.from, s.to];
    case "repeat":
      return [s.again];
    case "while":
    case "if":
    case "assert":
      return [s.cond];
    case "call":
      return s.args;
    case "swap":
      return [s.by];
    case "barrier":
      return [];
  }
}

export function blocksOf(s: Stmt): readonly (readonly Stmt[])[] {
  switch (s.kind) {
    case "for":
    case "repeat":
    case "while":
      return [s.body];
    case "if":
      return [s.then, s.else];
    default:
      return [];
  }
}

/** Visits every expression of a function, each shared subtree once. */
export function visitExpressions(func: Func, visit: (e: Expr) => void): void {
  const seen = new Set<Expr>();
  const walk = (e: Expr): void => {
    if (seen.has(e)) return;
    seen.add(e);
    visit(e);
    operands(e).forEach(walk);
  };
  visitStatements(func.body, (s) => expressionsOf(s).forEach(walk));
  if (func.result) walk(func.result);
}

export function visitStatements(body: readonly Stmt[], visit: (s: Stmt) => void): void {
  for (const s of body) {
    visit(s);
    for (const block of blocksOf(s)) visitStatements(block, visit);
  }
}
