// The type rules of kernel expressions: recomputes every type and says what is wrong where it differs.

import type { BinaryOp, CompareOp, ScalarType, UnaryOp } from "../scalar/types.ts";
import { type Expr, type Func, isVector, LANE_TYPE, LANES, LOADED, type ValueType, type VectorType } from "./types.ts";

export interface Place {
  readonly functions: ReadonlyMap<string, Func>;
  readonly variable: (name: string) => ValueType;
  readonly fail: (why: string) => never;
  /** Expressions checked already in the same scope: shared ones are checked once. */
  readonly known: Map<Expr, ValueType>;
}

const INTS: ReadonlySet<string> = new Set(["i32", "u32", "i64", "u64", "i8x16", "i16x8", "i32x4", "i64x2"]);
const FLOATS: ReadonlySet<string> = new Set(["f32", "f64", "f32x4", "f64x2"]);
/** The lane mask that comparing two vectors gives, and that a select of them takes. */
export const MASK: Readonly<Record<VectorType, VectorType>> = {
  i8x16: "i8x16",
  i16x8: "i16x8",
  i32x4: "i32x4",
  i64x2: "i64x2",
  f32x4: "i32x4",
  f64x2: "i64x2",
};
const BITS: Readonly<Record<ScalarType, number>> = { bool: 1, i32: 32, u32: 32, f32: 32, i64: 64, u64: 64, f64: 64 };

const isInt = (t: string): boolean => INTS.has(t);
const isFloat = (t: string): boolean => FLOATS.has(t);

export function unaryAllowed(op: UnaryOp, t: ValueType): boolean {
  if (op === "not") return t === "bool" || isInt(t);
  if (op === "neg" || op === "abs") return isInt(t) || isFloat(t);
  return isFloat(t);
}

export function binaryAllowed(op: BinaryOp, t: ValueType): boolean {
  switch (op) {
    case "add":
    case "sub":
    case "mul":
    case "div":
    case "rem":
    case "min":
    case "max":
    case "pow":
      return isInt(t) || isFloat(t);
    case "atan2":
      return isFloat(t);
    case "and":
    case "or":
    case "xor":
      return t === "bool" || isInt(t);
    case "shl":
    case "shr":
      return isInt(t);
  }
}

const comparesAsBool = (op: CompareOp, t: ValueType): boolean => t !== "bool" || op === "eq" || op === "ne";

const castAllowed = (from: ValueType, to: ValueType): boolean =>
  isVector(from) || isVector(to)
    ? (from === "i32x4" && to === "f32x4") || (from === "f32x4" && to === "i32x4")
    : from !== "ptr" && to !== "ptr";

const bitcastAllowed = (from: ValueType, to: ValueType): boolean =>
  isVector(from) || isVector(to)
    ? isVector(from) && isVector(to)
    : from !== "ptr" && to !== "ptr" && BITS[from as ScalarType] === BITS[to as ScalarType];

/** The type of `e`, after checking it and everything below it. */
export function expressionType(e: Expr, place: Place): ValueType {
  const known = place.known.get(e);
  if (known) return known;
  const found = derive(e, place);
  place.known.set(e, found);
  if (found !== e.type) place.fail(`${e.kind} claims type ${e.type} but has type ${found}`);
  return found;
}

function same(a: ValueType, b: ValueType, e: Expr, place: Place): ValueType {
  if (a !== b) place.fail(`${e.kind} of ${a} and ${b}`);
  return a;
}

function expect(found: ValueType, expected: ValueType, what: string, place: Place): void {
  if (found !== expected) place.fail(`${what} is ${found}, expected ${expected}`);
}

function checkConst(e: Expr & { kind: "const" }, place: Place): ValueType {
  if (isVector(e.type)) place.fail("vector constants are splats");
  const big = e.type === "i64" || e.type === "u64";
  if ((typeof e.value === "bigint") !== big) place.fail(`constant ${e.value} of type ${e.type} is a ${typeof e.value}`);
  const whole = e.type === "i32" ? Number(e.value) | 0 : e.type === "u32" ? Number(e.value) >>> 0 : e.value;
  if (e.type === "bool" ? e.value !== 0 && e.value !== 1 : !Object.is(whole, e.value)) place.fail(`constant ${e.value} is no ${e.type}`);
  if (e.type === "f32" && !Object.is(Math.fround(e.value as number), e.value)) place.fail(`constant ${e.value} is not rounded to f32`);
  return e.type;
}

function derive(e: Expr, place: Place): ValueType {
  const type = (x: Expr): ValueType => expressionType(x, place);
  switch (e.kind) {
    case "const":
      return checkConst(e, place);
    case "var":
      return place.variable(e.name);
    case "unary": {
      const t = type(e.a);
      return unaryAllowed(e.op, t) ? t : place.fail(`${e.op} of ${t}`);
    }
    case "binary": {
      const t = same(type(e.a), type(e.b), e, place);
      if (!binaryAllowed(e.op, t)) place.fail(`${e.op} of ${t}`);
      if (isVector(t) && (e.op === "shl" || e.op === "shr") && e.b.kind !== "splat") place.fail(`${e.op} of ${t} by other than a splat`);
      return t;
    }
    case "compare": {
      const t = same(type(e.a), type(e.b), e, place);
      if (!comparesAsBool(e.op, t)) place.fail(`${e.op} of ${t}`);
      return isVector(t) ? MASK[t] : "bool";
    }
    case "select": {
      const cond = type(e.cond);
      const t = same(type(e.a), type(e.b), e, place);
      if (cond !== "bool" && !(isVector(t) && cond === MASK[t])) place.fail(`select of ${t} by ${cond}`);
      return t;
    }
    case "cast": {
      const from = type(e.a);
      return castAllowed(from, e.type) ? e.type : place.fail(`cast of ${from} to ${e.type}`);
    }
    case "bitcast": {
      const from = type(e.a);
      return bitcastAllowed(from, e.type) ? e.type : place.fail(`bitcast of ${from} to ${e.type}`);
    }
    case "wrap": {
      const t = type(e.a);
      return t === (e.to === "f16" ? "f32" : "i32") ? t : place.fail(`wrap of ${t} to ${e.to}`);
    }
    case "load":
      expect(type(e.ptr), "ptr", "the address of a load", place);
      if (!Number.isSafeInteger(e.offset) || e.offset < 0) place.fail(`a load at offset ${e.offset}`);
      return LOADED[e.memory];
    case "advance":
      expect(type(e.ptr), "ptr", "what is advanced", place);
      expect(type(e.bytes), "i32", "the distance of advance", place);
      return "ptr";
    case "splat":
      expect(type(e.a), LANE_TYPE[e.type] ?? place.fail(`splat to ${e.type}`), "what is splat", place);
      return e.type;
    case "extract":
    case "replace": {
      const t = type(e.a);
      if (!isVector(t)) return place.fail(`${e.kind} of ${t}`);
      if (!Number.isInteger(e.lane) || e.lane < 0 || e.lane >= LANES[t]) place.fail(`lane ${e.lane} of ${t}`);
      if (e.kind === "extract") return LANE_TYPE[t];
      expect(type(e.value), LANE_TYPE[t], "the new lane", place);
      return t;
    }
    case "shuffle": {
      const t = same(type(e.a), type(e.b), e, place);
      if (!isVector(t)) return place.fail(`shuffle of ${t}`);
      const n = LANES[t];
      if (e.lanes.length !== n || !e.lanes.every((x) => Number.isInteger(x) && x >= 0 && x < 2 * n))
        place.fail(`shuffle of ${t} by [${e.lanes}]`);
      return t;
    }
    case "fma": {
      const t = same(same(type(e.a), type(e.b), e, place), type(e.c), e, place);
      return isFloat(t) ? t : place.fail(`fma of ${t}`);
    }
    case "dot":
      expect(type(e.a), "i16x8", "an operand of dot", place);
      expect(type(e.b), "i16x8", "an operand of dot", place);
      return "i32x4";
    case "dot4":
      expect(type(e.a), "i32", "an operand of dot4", place);
      expect(type(e.b), "i32", "an operand of dot4", place);
      return "i32";
    case "dot_bytes":
      expect(type(e.a), "i8x16", "an operand of dot_bytes", place);
      expect(type(e.b), "i8x16", "an operand of dot_bytes", place);
      expect(type(e.c), "i32x4", "what is added to dot_bytes", place);
      return "i32x4";
    case "dot_pairs":
      expect(type(e.a), "i8x16", "an operand of dot_pairs", place);
      expect(type(e.b), "i8x16", "an operand of dot_pairs", place);
      return "i16x8";
    case "narrow": {
      const wide = e.to === "i16" ? "i32x4" : "i16x8";
      expect(type(e.a), wide, "an operand of narrow", place);
      expect(type(e.b), wide, "an operand of narrow", place);
      return e.to === "i16" ? "i16x8" : "i8x16";
    }
    case "team":
      return "i32";
    case "call": {
      const callee = checkCall(e.name, e.args, place);
      return callee.result ? callee.result.type : place.fail(`${e.name} has no result`);
    }
  }
}

/** Checks that `name` is defined earlier and takes these arguments; access of pointers is checked by the caller. */
export function checkCall(name: string, args: readonly Expr[], place: Place): Func {
  const callee = place.functions.get(name) ?? place.fail(`calls '${name}', which is not defined before it`);
  if (callee.params.length !== args.length) place.fail(`${name} takes ${callee.params.length} arguments, given ${args.length}`);
  callee.params.forEach((p, i) => {
    expect(expressionType(args[i]!, place), p.type, `argument '${p.name}' of ${name}`, place);
  });
  return callee;
}
