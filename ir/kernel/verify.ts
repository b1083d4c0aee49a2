// Rejects kernel programs that are not well formed: types, scopes, pointer discipline, calls. Every backend may rely on what passes.

import { errors } from "../diagnostics.ts";
import { expressionType, type Place } from "./typing.ts";
import type { Expr, Func, Param, Program, Stmt, ValueType } from "./types.ts";
import { LOADED, MEMORY_BYTES } from "./types.ts";

const IDENTIFIER = /^[A-Za-z_][A-Za-z0-9_]*$/;

interface Variable {
  readonly type: ValueType;
  /** For pointers, the parameter into whose buffer they point. */
  readonly root: string | undefined;
  readonly mutable: boolean;
}

/**
 * Throws `bad-kernel` unless the program is well formed: types agree, names are identifiers declared once and before use, a `let` is visible
 * in its block only, pointer variables stay in the buffer of one parameter and respect its access, functions are called after their
 * definition (so there is no recursion), and functions with a result neither store nor assert.
 */
export function verify(program: Program): void {
  const known = new Map<string, Func>();
  for (const func of program.functions) {
    const place: Place = { func: func.name, functions: known, fail: (why) => fail(func.name, why) };
    if (known.has(func.name)) fail(func.name, "defined twice");
    if (!IDENTIFIER.test(func.name)) fail(func.name, "not an identifier");
    new FunctionCheck(func, place, program.faults.length).check();
    known.set(func.name, func);
  }
  const entry = known.get(program.entry);
  if (!entry) fail(program.entry, "the entry is not defined");
  if (entry?.result) fail(program.entry, "the entry has a result");
}

function fail(func: string, why: string): never {
  throw errors.badKernel(func, why);
}
