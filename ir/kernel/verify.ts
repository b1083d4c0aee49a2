// Rejects kernel programs that are not well formed: types, scopes, pointer discipline, calls. Every backend may rely on what passes.

import { errors } from "../diagnostics.ts";
import { sharedFunctions } from "./team.ts";
import {
  type Expr,
  type Func,
  type Grid,
  LOADED,
  MEMORY_BYTES,
  type Param,
  type PointerParam,
  type Program,
  type Stmt,
  type ValueType,
} from "./types.ts";
import { checkCall, expressionType, type Place } from "./typing.ts";
import { operands, visitStatements } from "./walk.ts";

const IDENTIFIER = /^[A-Za-z_][A-Za-z0-9_]*$/;

/** Types that threads of a workgroup can swap. */
const SWAPPED: ReadonlySet<ValueType> = new Set(["f32", "i32", "u32", "f32x4", "i32x4"]);

interface Variable {
  readonly type: ValueType;
  /** For pointers, the parameter into whose buffer they point. */
  readonly root: PointerParam | undefined;
  /** Neither a parameter nor a loop's counter. */
  readonly mutable: boolean;
}

/**
 * Throws `bad-kernel` unless the program is well formed: types agree, names are identifiers declared once and before use, a `let` is visible
 * in its block only (and in `again` of a repeat), pointers stay in the buffer of one parameter and respect its access, functions are called
 * after their definition (so there is no recursion), and functions with a result have no effect.
 */
export function verify(program: Program): void {
  const known = new Map<string, Func>();
  const shared = sharedFunctions(program.functions);
  for (const func of program.functions) {
    if (known.has(func.name)) fail(func.name, "is defined twice");
    verifyFunc(func, known, program.faults.length, shared);
    known.set(func.name, func);
  }
  const entry = known.get(program.entry);
  if (!entry) fail(program.entry, "is the entry but not defined");
  if (entry?.result) fail(program.entry, "is the entry but has a result");
}

function fail(func: string, why: string): never {
  throw errors.badKernel(func, why);
}

/** Checks one function, given those defined before it. */
export function verifyFunc(
  func: Func,
  functions: ReadonlyMap<string, Func>,
  faults: number,
  shared: ReadonlySet<string> = sharedFunctions([...functions.values()]),
): void {
  const names = new Set<string>();
  const scopes: Map<string, Variable>[] = [new Map()];
  const fails = (why: string): never => fail(func.name, why);
  if (!IDENTIFIER.test(func.name)) fails("is not an identifier");

  const find = (name: string): Variable => {
    for (let i = scopes.length - 1; i >= 0; i--) {
      const found = scopes[i]!.get(name);
      if (found) return found;
    }
    return fails(`uses '${name}', which is not declared here`);
  };
  const declare = (name: string, variable: Variable): void => {
    if (!IDENTIFIER.test(name)) fails(`'${name}' is not an identifier`);
    if (names.has(name)) fails(`declares '${name}' twice`);
    names.add(name);
    scopes.at(-1)!.set(name, variable);
  };

  const place: Place = { functions, variable: (name) => find(name).type, fail: fails, known: new Map() };

  const root = (e: Expr): PointerParam => {
    if (e.kind === "var") return find(e.name).root ?? fails(`'${e.name}' points nowhere`);
    if (e.kind === "advance") return root(e.ptr);
    if (e.kind !== "select") return fails(`a pointer out of a ${e.kind}`);
    const [a, b] = [root(e.a), root(e.b)];
    return a === b ? a : fails(`a pointer into either '${a.name}' or '${b.name}'`);
  };

  const mayRead = (p: PointerParam): void => {
    if (p.access === "write") fails(`reads '${p.name}', which is write-only`);
  };
  const mayWrite = (p: PointerParam): void => {
    if (p.access === "read") fails(`writes '${p.name}', which is read-only`);
  };

  const checkAccess = (params: readonly Param[], args: readonly Expr[]): void =>
    params.forEach((p, i) => {
      if (p.type !== "ptr") return;
      const from = root(args[i]!);
      if (p.access !== "write") mayRead(from);
      if (p.access !== "read") mayWrite(from);
    });

  const seen = new Set<Expr>();
  const checkReads = (e: Expr): void => {
    if (e.kind === "load") mayRead(root(e.ptr));
    if (e.kind === "compare" && e.a.type === "ptr" && root(e.a) !== root(e.b)) fails("compares pointers into different buffers");
    if (e.kind === "call") checkAccess(functions.get(e.name)!.params, e.args);
  };
  const typeOf = (e: Expr): ValueType => {
    const type = expressionType(e, place);
    place.known.clear();
    seen.clear();
    walkOnce(e, seen, checkReads);
    return type;
  };
  const expect = (e: Expr, type: ValueType, what: string): void => {
    const found = typeOf(e);
    if (found !== type) fails(`${what} is ${found}, expected ${type}`);
  };

  /** What one thread runs alone is not shared out again. */
  const checkParallel = (cost: number, loop: Stmt & { kind: "for" }): void => {
    if (!Number.isInteger(cost) || cost < 1) fails(`the cost ${cost} of '${loop.name}'`);
    visitStatements(loop.body, (s) => {
      if (
        s.kind === "barrier" ||
        s.kind === "swap" ||
        (s.kind === "for" && s.parallel !== undefined) ||
        (s.kind === "call" && shared.has(s.name))
      )
        fails(`shares out work within '${loop.name}', which is shared out`);
    });
  };

  const scoped = (body: readonly Stmt[], inside?: () => void): void => {
    scopes.push(new Map());
    body.forEach(check);
    inside?.();
    scopes.pop();
  };

  const check = (s: Stmt): void => {
    if (func.result && (s.kind === "store" || s.kind === "assert" || s.kind === "call" || s.kind === "barrier" || s.kind === "swap"))
      fails(`has a result and an effect (${s.kind})`);
    switch (s.kind) {
      case "let": {
        const type = typeOf(s.value);
        declare(s.name, { type, root: type === "ptr" ? root(s.value) : undefined, mutable: true });
        return;
      }
      case "set": {
        const v = find(s.name);
        if (!v.mutable) fails(`sets '${s.name}', a parameter or loop counter`);
        expect(s.value, v.type, `the new value of '${s.name}'`);
        if (v.root && root(s.value) !== v.root) fails(`moves '${s.name}' out of the buffer of '${v.root.name}'`);
        return;
      }
      case "store":
        expect(s.ptr, "ptr", "the address of a store");
        expect(s.value, LOADED[s.memory], `what is stored as ${s.memory}`);
        if (!Number.isSafeInteger(s.offset) || s.offset < 0) fails(`a store at offset ${s.offset}`);
        mayWrite(root(s.ptr));
        return;
      case "for":
        expect(s.from, "i32", `the start of '${s.name}'`);
        expect(s.to, "i32", `the end of '${s.name}'`);
        if (!Number.isInteger(s.step) || s.step < 1) fails(`the step ${s.step} of '${s.name}'`);
        if (s.parallel !== undefined) checkParallel(s.parallel, s);
        scopes.push(new Map());
        declare(s.name, { type: "i32", root: undefined, mutable: false });
        scoped(s.body);
        scopes.pop();
        return;
      case "repeat":
        scoped(s.body, () => expect(s.again, "bool", "the condition of a repeat"));
        return;
      case "while":
        expect(s.cond, "bool", "the condition of a while");
        scoped(s.body);
        return;
      case "if":
        expect(s.cond, "bool", "the condition of an if");
        scoped(s.then);
        scoped(s.else);
        return;
      case "call":
        if (checkCall(s.name, s.args, place).result) fails(`ignores the result of ${s.name}`);
        if (func.grid && functions.get(s.name)!.grid) fails(`has a grid and calls ${s.name}, which has one`);
        s.args.forEach(typeOf);
        checkAccess(functions.get(s.name)!.params, s.args);
        return;
      case "assert":
        expect(s.cond, "bool", "the condition of an assert");
        if (!Number.isInteger(s.fault) || s.fault < 0 || s.fault >= faults) fails(`asserts fault ${s.fault} of ${faults}`);
        return;
      case "swap": {
        const v = find(s.name);
        if (!func.grid) fails("swaps, but has no grid");
        if (!v.mutable || !SWAPPED.has(v.type)) fails(`swaps '${s.name}', no variable of a number or four`);
        expect(s.by, "i32", "the distance of a swap");
        return;
      }
      case "barrier":
        return;
    }
  };

  const declareGrid = ({ workgroups, size, shared: arrays }: Grid): void => {
    if (![workgroups, size, ...arrays.map((a) => a.length)].every((n) => Number.isSafeInteger(n) && n >= 1))
      fails(`a grid of ${workgroups} workgroups of ${size} threads`);
    if (func.result) fails("has a grid and a result");
    for (const { name, memory, length } of arrays) {
      const root: PointerParam = { name, type: "ptr", access: "readwrite", bytes: length * MEMORY_BYTES[memory] };
      declare(name, { type: "ptr", root, mutable: false });
    }
  };

  for (const p of func.params) declare(p.name, { type: p.type, root: p.type === "ptr" ? (p as PointerParam) : undefined, mutable: false });
  if (func.grid) declareGrid(func.grid);
  func.body.forEach(check);
  if (func.result && typeOf(func.result) === "ptr") fails("returns a pointer");
}

function walkOnce(e: Expr, seen: Set<Expr>, visit: (e: Expr) => void): void {
  if (seen.has(e)) return;
  seen.add(e);
  visit(e);
  for (const x of operands(e)) walkOnce(x, seen, visit);
}
