// Copies short straight-line functions with vector results, such as `exp` of four lanes, into the loops that call them.

import { let_, variable } from "../../ir/kernel/build.ts";
import { type Expr, type Func, isVector, type Program, type Stmt } from "../../ir/kernel/types.ts";
import { expressionsOf, mapOperands, mapStmt, operands, rewriter, visitExpressions, visitStatements } from "../../ir/kernel/walk.ts";
import type { KernelPass } from "./legalize.ts";

/** A function that calls another more often than this keeps the calls: the code would grow more than the calls cost. */
const MOST_COPIES = 8;

export const inline: KernelPass = {
  name: "inline",
  establishes: "functions that nothing calls are gone, and few vector functions are called in loops",
  run(program) {
    const done = new Map<string, Func>();
    for (const f of program.functions) done.set(f.name, inlineInto(f, done));
    return withoutUnreachable({ ...program, functions: [...done.values()] });
  },
};

const isStraight = (f: Func): boolean => f.result !== undefined && isVector(f.result.type) && f.body.every((s) => s.kind === "let");

function withoutUnreachable(program: Program): Program {
  const reached = new Set([program.entry]);
  // Callers come after callees, so one sweep from the end suffices.
  for (const f of [...program.functions].reverse()) {
    if (!reached.has(f.name)) continue;
    visitExpressions(f, (e) => void (e.kind === "call" && reached.add(e.name)));
    visitStatements(f.body, (s) => void (s.kind === "call" && reached.add(s.name)));
  }
  return { ...program, functions: program.functions.filter((f) => reached.has(f.name)) };
}

function inlineInto(func: Func, functions: ReadonlyMap<string, Func>): Func {
  const copied = calleesOf(func, functions);
  if (copied.size === 0) return func;
  let count = 0;

  const copy = (callee: Func, args: readonly Expr[], before: Stmt[]): Expr => {
    const suffix = `_${callee.name}_${count++}`;
    const rename = rewriter((e) => (e.kind === "var" ? variable(e.name + suffix, e.type) : e));
    callee.params.forEach((p, i) => before.push(let_(p.name + suffix, args[i]!)));
    for (const s of callee.body) if (s.kind === "let") before.push(let_(s.name + suffix, rename(s.value)));
    return rename(callee.result!);
  };

  const expression = (e: Expr, before: Stmt[]): Expr => {
    // The sides of a select are evaluated when chosen: nothing of theirs may come before.
    if (e.kind === "select" && !isVector(e.cond.type)) return { ...e, cond: expression(e.cond, before) };
    const mapped = mapOperands(e, (x) => expression(x, before));
    return mapped.kind === "call" && copied.has(mapped.name) ? copy(functions.get(mapped.name)!, mapped.args, before) : mapped;
  };

  const block = (body: readonly Stmt[]): readonly Stmt[] =>
    body.flatMap((s) => {
      const before: Stmt[] = [];
      const repeated = s.kind === "while" || s.kind === "repeat";
      const mapped = mapStmt(s, (e) => (repeated ? e : expression(e, before)), block);
      return [...before, mapped];
    });

  const body = block(func.body);
  if (!func.result) return { ...func, body };
  const before: Stmt[] = [];
  const result = expression(func.result, before);
  return { ...func, body: [...body, ...before], result };
}

/** The functions worth copying into `func`. */
function calleesOf(func: Func, functions: ReadonlyMap<string, Func>): ReadonlySet<string> {
  const calls = new Map<string, number>();
  const count = (e: Expr): void => {
    if (e.kind === "call") calls.set(e.name, (calls.get(e.name) ?? 0) + 1);
    operands(e).forEach(count);
  };
  visitStatements(func.body, (s) => expressionsOf(s).forEach(count));
  if (func.result) count(func.result);
  return new Set([...calls].flatMap(([name, n]) => (n <= MOST_COPIES && isStraight(functions.get(name)!) ? [name] : [])));
}
