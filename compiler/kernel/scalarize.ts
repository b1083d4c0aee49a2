// Removes vectors for targets without them: every vector variable becomes one scalar per lane.

import * as k from "../../ir/kernel/build.ts";
import { LANE_MEMORY } from "../../ir/kernel/memory.ts";
import {
  type Expr,
  type Func,
  isPacked,
  isVector,
  LANE_TYPE,
  MEMORY_BYTES,
  PACKED,
  type PackedType,
  type Param,
  type Stmt,
  type VectorType,
} from "../../ir/kernel/types.ts";
import { operands, visitExpressions, visitStatements } from "../../ir/kernel/walk.ts";
import { laneName, laneNumbers, type Splitter, splitter } from "./lanes.ts";
import type { KernelPass } from "./legalize.ts";

export const scalarize: KernelPass = {
  name: "scalarize",
  establishes: "no vectors unless the target has them",
  run: (program, can) =>
    can.vectors.length > 0
      ? program
      : { ...program, functions: program.functions.flatMap((f) => (hasVectors(f) ? scalarizeFunc(f) : [f])) },
};

function hasVectors(func: Func): boolean {
  let found = func.params.some((p) => isVector(p.type));
  visitExpressions(func, (e) => {
    found ||= isVector(e.type);
  });
  return found;
}

const isSimple = (e: Expr): boolean => e.kind === "const" || e.kind === "var";
const readsMemory = (e: Expr): boolean => e.kind === "load" || e.kind === "call" || operands(e).some(readsMemory);
const mentions = (e: Expr, names: ReadonlySet<string>): boolean =>
  (e.kind === "var" && names.has(e.name)) || operands(e).some((x) => mentions(x, names));

/** A source of names that the function does not use. */
function freshNames(func: Func): () => string {
  const taken = new Set(func.params.map((p) => p.name));
  visitStatements(func.body, (s) => {
    if (s.kind === "let" || s.kind === "for") taken.add(s.name);
  });
  let count = 0;
  return () => {
    let name = `lane${count++}`;
    while (taken.has(name)) name = `lane${count++}`;
    return name;
  };
}

interface Context {
  readonly split: Splitter;
  /** Names a value by a `let` before the statement. */
  keep(value: Expr): Expr;
  /** The same unless it is a constant or has a name already. */
  name(value: Expr): Expr;
}

/** Conditions of loops are evaluated again and again, so nothing of theirs may come before. */
const lazy = (e: Expr): Expr => splitter((x) => x).scalar(e);

/** One function, or one for each lane of a vector result. */
function scalarizeFunc(func: Func): readonly Func[] {
  const fresh = freshNames(func);

  /** What `make` returns, after the lets that it asked for. */
  const hoisting = (make: (context: Context) => readonly Stmt[]): readonly Stmt[] => {
    const before: Stmt[] = [];
    const keep = (value: Expr): Expr => {
      const declared = fresh();
      before.push(k.let_(declared, value));
      return k.variable(declared, value.type);
    };
    const name = (value: Expr): Expr => (isSimple(value) ? value : keep(value));
    const own = make({ split: splitter(name), keep, name });
    return [...before, ...own];
  };

  const block = (body: readonly Stmt[]): readonly Stmt[] => body.flatMap((s) => hoisting((context) => statement(s, context)));

  const statement = (s: Stmt, context: Context): readonly Stmt[] => {
    const { scalar, lanes, args } = context.split;
    switch (s.kind) {
      case "let":
        return isVector(s.value.type) ? lanes(s.value).map((x, i) => k.let_(laneName(s.name, i), x)) : [{ ...s, value: scalar(s.value) }];
      case "set":
        return isVector(s.value.type) ? setLanes(s.name, lanes(s.value), context) : [{ ...s, value: scalar(s.value) }];
      case "store": {
        if (isPacked(s.memory)) return storeLanes(s.memory, context.name(scalar(s.ptr)), s.offset, lanes(s.value), context);
        if (!isVector(s.memory)) return [{ ...s, ptr: scalar(s.ptr), value: scalar(s.value) }];
        return storeLanes(s.memory, context.name(scalar(s.ptr)), s.offset, lanes(s.value), context);
      }
      case "for":
        return [{ ...s, from: scalar(s.from), to: scalar(s.to), body: block(s.body) }];
      case "repeat":
        return [{ ...s, body: block(s.body), again: lazy(s.again) }];
      case "while":
        return [{ ...s, cond: lazy(s.cond), body: block(s.body) }];
      case "if":
        return [{ ...s, cond: scalar(s.cond), then: block(s.then), else: block(s.else) }];
      case "call":
        return [{ ...s, args: args(s.args) }];
      case "assert":
        return [{ ...s, cond: scalar(s.cond) }];
      case "swap":
      case "barrier":
        return [s];
    }
  };

  const params = func.params.flatMap((p): readonly Param[] => {
    const { type } = p;
    return isVector(type) ? laneNumbers(type).map((i) => ({ name: laneName(p.name, i), type: LANE_TYPE[type] })) : [p];
  });
  const body = block(func.body);
  const { result } = func;
  if (!result) return [{ ...func, params, body }];
  let results: readonly Expr[] = [];
  const last = hoisting(({ split }) => {
    results = isVector(result.type) ? split.lanes(result) : [split.scalar(result)];
    return [];
  });
  const named = (i: number): string => (isVector(result.type) ? laneName(func.name, i) : func.name);
  return results.map((value, i) => ({ ...func, name: named(i), params, body: [...body, ...last], result: value }));
}

/** Lanes are set one after the other, so those that a later one still needs are named first. */
function setLanes(name: string, lanes: readonly Expr[], context: Context): readonly Stmt[] {
  const earlier = new Set<string>();
  const entangled = lanes.some((x, i) => {
    const found = mentions(x, earlier);
    earlier.add(laneName(name, i));
    return found;
  });
  const values = entangled ? lanes.map(context.keep) : lanes;
  return values.map((x, i) => k.set(laneName(name, i), x));
}

/** All lanes are computed before any is stored, as they may be loaded from where they are stored. */
function storeLanes(t: VectorType | PackedType, ptr: Expr, offset: number, lanes: readonly Expr[], context: Context): readonly Stmt[] {
  const values = lanes.some(readsMemory) ? lanes.map(context.name) : lanes;
  const memory = isPacked(t) ? PACKED[t] : LANE_MEMORY[t];
  const [low, high] = memory === "u8" ? [0, 255] : [-128, 127];
  const stored = isPacked(t) ? values.map((x) => k.min(k.max(x, k.i32(low)), k.i32(high))) : values;
  return stored.map((x, i) => k.store(memory, ptr, x, offset + i * MEMORY_BYTES[memory]));
}
