// Replaces expressions by calls of library functions and adds those functions that are called to the program.

import type { Expr, Func, Program } from "../../ir/kernel/types.ts";
import { mapFunc, visitExpressions } from "../../ir/kernel/walk.ts";

/**
 * The program with every expression rewritten by `rewrite`, preceded by the library functions that it calls, directly or through each other;
 * they are rewritten too. `library` gives a function for a name, or undefined for names that are not its own. Functions already in the
 * program are taken to be the library's own, from an earlier pass.
 */
export function link(program: Program, rewrite: (e: Expr) => Expr, library: (name: string) => Func | undefined): Program {
  const present = new Set(program.functions.map((f) => f.name));
  const linked: Func[] = [];
  const require = (func: Func): Func => {
    const rewritten = mapFunc(func, rewrite);
    visitExpressions(rewritten, (e) => {
      if (e.kind !== "call" || present.has(e.name)) return;
      const needed = library(e.name);
      if (!needed) return;
      present.add(e.name);
      linked.push(require(needed));
    });
    return rewritten;
  };
  const functions = program.functions.map(require);
  if (linked.length === 0 && functions.every((f, i) => f === program.functions[i])) return program;
  return { ...program, functions: [...linked, ...functions] };
}
