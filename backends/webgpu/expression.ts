// Prints kernel expressions as WGSL. A pointer is an index into the buffer that it points into; a 64-bit integer is two words.

import { type Expr, isVector, type TeamValue, type ValueType } from "../../ir/kernel/types.ts";
import type { BinaryOp, NarrowType, UnaryOp } from "../../ir/scalar/types.ts";
import { errors } from "./diagnostics.ts";
import type { Feature } from "./features.ts";
import { loadText, type Root, unitOf } from "./memory.ts";

/** What printing an expression needs from the function around it. */
export interface Printer {
  readonly func: string;
  variable(name: string): string;
  /** The buffer that a pointer points into. */
  root(ptr: Expr): Root;
  /** The text of a parameter or shared array as a pointer; undefined for other variables. */
  start(name: string): string | undefined;
  /** Text of a call. */
  call(name: string, args: readonly Expr[]): string;
  /** Notes that the module needs a definition of the prelude. */
  use(name: string): string;
  /** Notes that the module needs a feature. */
  need(feature: Feature): void;
  team(of: TeamValue): string;
}

/** Text with how tightly its outermost operator binds: WGSL mixes few operators without parentheses. */
interface Printed {
  readonly text: string;
  readonly level: number;
}
type Of<K extends Expr["kind"]> = Extract<Expr, { kind: K }>;

const ATOM = 4;
const MUL = 3;
const ADD = 2;
const OTHER = 1;

const atom = (text: string): Printed => ({ text, level: ATOM });
const wrap = (p: Printed, level: number): string => (p.level >= level ? p.text : `(${p.text})`);
const apply = (name: string, ...args: readonly Printed[]): Printed => atom(`${name}(${args.map((a) => a.text).join(", ")})`);
function infix(op: string, a: Printed, b: Printed): Printed {
  if (op === "*") return { text: `${wrap(a, MUL)} * ${wrap(b, ATOM)}`, level: MUL };
  if (op === "+" || op === "-") return { text: `${wrap(a, ADD)} ${op} ${wrap(b, MUL)}`, level: ADD };
  return { text: `${wrap(a, ATOM)} ${op} ${wrap(b, ATOM)}`, level: OTHER };
}

const TYPES: Readonly<Partial<Record<ValueType, string>>> = {
  bool: "bool",
  i32: "i32",
  u32: "u32",
  f32: "f32",
  i64: "vec2u",
  u64: "vec2u",
  f32x4: "vec4f",
  i32x4: "vec4i",
  ptr: "i32",
};
/** The WGSL type of a value. Errors: `unsupported` for f64. */
export function typeText(type: ValueType, func: string): string {
  const known = TYPES[type];
  if (known) return known;
  if (type === "f64" || type === "f64x2") throw errors.noType(func, type);
  throw errors.notLegal(func, `a ${type}`);
}

const isBig = (t: string): boolean => t === "i64" || t === "u64";
const isFloat = (t: string): boolean => t === "f32" || t === "f32x4";

function floatText(x: number, p: Printer): Printed {
  if (Number.isNaN(x)) return atom(`bitcast<f32>(${p.use("nan_bits")})`);
  if (!Number.isFinite(x)) return { text: `${x < 0 ? "-" : ""}bitcast<f32>(${p.use("inf_bits")})`, level: x < 0 ? OTHER : ATOM };
  const text = `${Object.is(x, -0) ? "-0" : String(x)}f`;
  return { text, level: text.startsWith("-") ? OTHER : ATOM };
}

function printConst(type: ValueType, value: number | bigint, p: Printer): Printed {
  switch (type) {
    case "bool":
      return atom(value ? "true" : "false");
    case "f32":
      return floatText(value as number, p);
    case "u32":
      return atom(`${value}u`);
    case "i64":
    case "u64": {
      const bits = BigInt.asUintN(64, BigInt(value));
      return atom(`vec2u(${bits & 0xffffffffn}u, ${bits >> 32n}u)`);
    }
    default:
      typeText(type, p.func);
      // The least i32 is no literal.
      return Number(value) === -(2 ** 31)
        ? { text: "-2147483647 - 1", level: OTHER }
        : { text: String(value), level: Number(value) < 0 ? OTHER : ATOM };
  }
}

const OPERATORS: Readonly<Partial<Record<BinaryOp, string>>> = { add: "+", sub: "-", mul: "*", div: "/", and: "&", or: "|", xor: "^" };

/** Whether an expression is a number that no division trips over. */
const isSafeDivisor = (e: Expr): boolean => e.kind === "const" && Number(e.value) !== 0 && Number(e.value) !== -1;
const isNumber = (e: Expr): boolean => e.kind === "const" || (e.kind === "splat" && e.a.kind === "const");
const isNaNConst = (e: Expr): boolean => (e.kind === "splat" ? isNaNConst(e.a) : e.kind === "const" && Number.isNaN(Number(e.value)));

function printExtreme(e: Of<"binary">, a: Printed, b: Printed, p: Printer): Printed {
  const t = e.type;
  if (!isFloat(t)) return isBig(t) ? apply(p.use(`${e.op}_${t}`), a, b) : apply(e.op, a, b);
  // A number that is none for sure needs no check, and the other side passes on its NaN.
  const [x, number] = isNumber(e.b) && !isNaNConst(e.b) ? [a, b] : isNumber(e.a) && !isNaNConst(e.a) ? [b, a] : [];
  const simple = x && (x.level === ATOM || !/[(]/.test(x.text));
  if (!x || !simple) return apply(p.use(`${e.op}_${t}`), a, b);
  return apply("select", x, number!, infix(e.op === "min" ? ">" : "<", x, number!));
}

function printBinary(e: Of<"binary">, p: Printer): Printed {
  const { op, type: t } = e;
  const [a, b] = [print(e.a, p), print(e.b, p)];
  if (t === "bool") return op === "xor" ? infix("!=", a, b) : infix(op === "and" ? "&&" : "||", a, b);
  if (op === "min" || op === "max") return printExtreme(e, a, b, p);
  if (isBig(t)) {
    if (op === "and" || op === "or" || op === "xor") return infix(OPERATORS[op]!, a, b);
    const signed = op === "div" || op === "rem" || op === "shr";
    return apply(p.use(signed ? `${op}_${t}` : `${op}_64`), a, b);
  }
  switch (op) {
    case "shl":
    case "shr":
      return printShift(e, a, b, p);
    case "div":
    case "rem": {
      if (isFloat(t)) return op === "div" ? infix("/", a, b) : infix("%", a, b);
      if (isVector(t)) throw errors.notLegal(p.func, `${op} of ${t}`);
      return isSafeDivisor(e.b) ? infix(op === "div" ? "/" : "%", a, b) : apply(p.use(`${op}_${t}`), a, b);
    }
    case "pow":
    case "atan2":
      return isFloat(t) ? apply(op, a, b) : fail(p, `${op} of ${t}`);
    default:
      return infix(OPERATORS[op]!, a, b);
  }
}

function printShift(e: Of<"binary">, a: Printed, b: Printed, p: Printer): Printed {
  const amount = e.b.kind === "splat" ? e.b.a : e.b;
  const operator = e.op === "shl" ? "<<" : ">>";
  if (amount.kind === "const" && Number(amount.value) >= 0 && Number(amount.value) < 32) {
    const by = isVector(e.type) ? `vec4u(${amount.value}u)` : `${amount.value}u`;
    return infix(operator, a, atom(by));
  }
  if (isVector(e.type)) return fail(p, `a shift of ${e.type} by other than a constant`);
  const by = e.b.type === "u32" ? b : apply("u32", b);
  if (e.op === "shr") return apply(p.use(`shr_${e.type}`), a, by);
  return e.type === "u32" ? apply(p.use("shl_32"), a, by) : apply("i32", apply(p.use("shl_32"), apply("u32", a), by));
}

const WORDS: Readonly<Partial<Record<UnaryOp, string>>> = { round_even: "round" };

function printUnary(e: Of<"unary">, p: Printer): Printed {
  const a = print(e.a, p);
  const t = e.type;
  if (t === "bool") return { text: `!${wrap(a, ATOM)}`, level: OTHER };
  switch (e.op) {
    case "not":
      return { text: `~${wrap(a, ATOM)}`, level: OTHER };
    case "neg":
      if (isBig(t)) return apply(p.use("neg_64"), a);
      return t === "u32" ? infix("-", atom("0u"), a) : { text: `-${wrap(a, ATOM)}`, level: OTHER };
    case "abs":
      return isBig(t) ? (t === "u64" ? a : apply(p.use("abs_i64"), a)) : t === "u32" ? a : apply("abs", a);
    default:
      return isFloat(t) ? apply(WORDS[e.op] ?? e.op, a) : fail(p, `${e.op} of ${t}`);
  }
}

const COMPARE = { eq: "==", ne: "!=", lt: "<", le: "<=", gt: ">", ge: ">=" } as const;

/** A comparison as bool, or as vec4<bool>. */
function printCompare(e: Of<"compare">, p: Printer): Printed {
  const t = e.a.type;
  const [a, b] = [print(e.a, p), print(e.b, p)];
  if (isBig(t)) {
    const less = p.use(`lt_${t}`);
    const not = (x: Printed): Printed => ({ text: `!${x.text}`, level: OTHER });
    switch (e.op) {
      case "eq":
        return atom(`all(${infix("==", a, b).text})`);
      case "ne":
        return atom(`any(${infix("!=", a, b).text})`);
      case "lt":
        return apply(less, a, b);
      case "ge":
        return not(apply(less, a, b));
      case "gt":
        return apply(less, b, a);
      case "le":
        return not(apply(less, b, a));
    }
  }
  // What differs from itself is no number, which devices may take to exist nowhere.
  if (isFloat(t) && (e.op === "ne" || e.op === "eq") && a.text === b.text) {
    const nan = apply(p.use(isVector(t) ? "is_nan4" : "is_nan"), a);
    return e.op === "ne" ? nan : { text: `!${nan.text}`, level: OTHER };
  }
  // Drivers take `!=` to be false of NaN.
  if (isFloat(t) && e.op === "ne") return { text: `!(${infix("==", a, b).text})`, level: OTHER };
  return infix(COMPARE[e.op], a, b);
}

/** A lane mask as vec4<bool>. */
const printMask = (e: Expr, p: Printer): Printed => {
  if (e.kind === "compare") return printCompare(e, p);
  if (e.kind === "splat" && e.a.kind === "unary" && e.a.op === "neg" && e.a.a.kind === "cast" && e.a.a.a.type === "bool")
    return apply("vec4<bool>", print(e.a.a.a, p));
  return infix("!=", print(e, p), atom("vec4i(0)"));
};

function printCast(e: Of<"cast">, p: Printer): Printed {
  const [from, to] = [e.a.type, e.type];
  const a = print(e.a, p);
  if (from === to) return a;
  if (isVector(to)) {
    if (to === "f32x4") return apply("vec4f", a);
    const lane = (c: string): string => `${p.use("f32_to_i32")}(${wrap(a, ATOM)}.${c})`;
    return atom(`vec4i(${["x", "y", "z", "w"].map(lane).join(", ")})`);
  }
  typeText(from, p.func);
  typeText(to, p.func);
  if (to === "bool") {
    if (from === "f32") return { text: `!(${infix("==", a, atom("0f")).text})`, level: OTHER };
    return isBig(from) ? atom(`any(${a.text} != vec2u(0u))`) : infix("!=", a, atom(from === "u32" ? "0u" : "0"));
  }
  if (isBig(to)) {
    if (isBig(from)) return a;
    if (from === "bool") return atom(`vec2u(u32(${a.text}), 0u)`);
    if (from === "f32") return apply(p.use(`f32_to_${to}`), a);
    return from === "u32" ? atom(`vec2u(${a.text}, 0u)`) : apply(p.use("i32_to_64"), a);
  }
  if (isBig(from)) {
    if (to === "f32") return apply(p.use(`${from}_to_f32`), a);
    const low = `${wrap(a, ATOM)}.x`;
    return to === "u32" ? atom(low) : atom(`i32(${low})`);
  }
  if (from === "f32") return apply(p.use(`f32_to_${to}`), a);
  return apply(to, a);
}

const NARROW: Readonly<Record<Exclude<NarrowType, "f16">, readonly [bits: number, signed: boolean]>> = {
  i4: [4, true],
  u4: [4, false],
  i8: [8, true],
  u8: [8, false],
  i16: [16, true],
  u16: [16, false],
};

function fail(p: Printer, what: string): never {
  throw errors.notLegal(p.func, what);
}

/** `bytes` in steps of `unit`, where it is seen to be a multiple. */
export function divided(e: Expr, unit: number): Expr | undefined {
  if (unit === 1) return e;
  if (e.kind === "const") return Number(e.value) % unit === 0 ? { ...e, value: Number(e.value) / unit } : undefined;
  if (e.kind === "select") {
    const [a, b] = [divided(e.a, unit), divided(e.b, unit)];
    return a && b && { ...e, a, b };
  }
  if (e.kind !== "binary") return undefined;
  if (e.op === "add" || e.op === "sub") {
    const [a, b] = [divided(e.a, unit), divided(e.b, unit)];
    return a && b && { ...e, a, b };
  }
  if (e.op === "mul") {
    const [constant, other] = e.b.kind === "const" ? [e.b, e.a] : [e.a, e.b];
    if (constant.kind === "const" && Number(constant.value) % unit === 0) {
      const by = Number(constant.value) / unit;
      return by === 1 ? other : { ...e, a: other, b: { ...constant, value: by } };
    }
    const inner = divided(other, unit);
    return inner && { ...e, a: inner, b: constant };
  }
  if (e.op === "shl" && e.b.kind === "const" && 2 ** Number(e.b.value) % unit === 0) {
    const left = Number(e.b.value) - Math.log2(unit);
    return left === 0 ? e.a : { ...e, b: { ...e.b, value: left } };
  }
  return undefined;
}

/** A pointer as an index in its root's unit. */
function printPointer(e: Expr, p: Printer): Printed {
  switch (e.kind) {
    case "var": {
      const start = p.start(e.name);
      return start === undefined ? atom(p.variable(e.name)) : { text: start, level: ADD };
    }
    case "advance": {
      const base = printPointer(e.ptr, p);
      const by = divided(e.bytes, unitOf(p.root(e)));
      if (!by) return fail(p, "a distance that is no multiple of an element");
      const distance = print(by, p);
      return base.text === "0" ? distance : infix("+", base, distance);
    }
    case "select":
      return apply("select", printPointer(e.b, p), printPointer(e.a, p), print(e.cond, p));
    default:
      return fail(p, `a pointer out of a ${e.kind}`);
  }
}

/** A pointer's text, ready for a displacement to be added. */
export const pointerText = (e: Expr, p: Printer): string => wrap(printPointer(e, p), ADD);

function print(e: Expr, p: Printer): Printed {
  if (e.type === "ptr") return printPointer(e, p);
  switch (e.kind) {
    case "const":
      return printConst(e.type, e.value, p);
    case "var":
      return atom(p.variable(e.name));
    case "unary":
      return printUnary(e, p);
    case "binary":
      return printBinary(e, p);
    case "compare":
      if (e.a.type === "ptr") return infix(COMPARE[e.op], printPointer(e.a, p), printPointer(e.b, p));
      return isVector(e.type) ? apply("select", atom("vec4i(0)"), atom("vec4i(-1)"), printCompare(e, p)) : printCompare(e, p);
    case "select": {
      const mask = isVector(e.cond.type);
      return apply("select", print(e.b, p), print(e.a, p), mask ? printMask(e.cond, p) : print(e.cond, p));
    }
    case "cast":
      return printCast(e, p);
    case "bitcast": {
      const a = print(e.a, p);
      if (e.a.type === e.type || (isBig(e.a.type) && isBig(e.type))) return a;
      return apply(`bitcast<${typeText(e.type, p.func)}>`, a);
    }
    case "wrap": {
      const a = print(e.a, p);
      if (e.to === "f16") {
        p.need("shader-f16");
        return apply("f32", apply("f16", a));
      }
      const [bits, signed] = NARROW[e.to];
      return signed ? atom(`extractBits(${a.text}, 0u, ${bits}u)`) : infix("&", a, atom(String(2 ** bits - 1)));
    }
    case "load": {
      if (e.memory === "f16") p.need("shader-f16");
      const text = loadText(p.root(e.ptr), e.memory, pointerText(e.ptr, p), e.offset, p.func);
      return atom(text);
    }
    case "splat":
      return apply(typeText(e.type, p.func), print(e.a, p));
    case "extract":
      return atom(`${wrap(print(e.a, p), ATOM)}.${"xyzw"[e.lane]}`);
    case "replace": {
      // A chain of them is one vector made of its lanes.
      const values: Expr[] = [];
      let base: Expr = e;
      for (; base.kind === "replace"; base = base.a) values[base.lane] ??= base.value;
      const rest = base.kind === "splat" ? print(base.a, p).text : wrap(print(base, p), ATOM);
      const lanes = ["x", "y", "z", "w"].map((c, i) =>
        values[i] ? print(values[i], p).text : base.kind === "splat" ? rest : `${rest}.${c}`,
      );
      return atom(`${typeText(e.type, p.func)}(${lanes.join(", ")})`);
    }
    case "shuffle": {
      const [a, b] = [wrap(print(e.a, p), ATOM), wrap(print(e.b, p), ATOM)];
      const lanes = e.lanes.map((i) => `${i < 4 ? a : b}.${"xyzw"[i % 4]}`);
      return atom(`${typeText(e.type, p.func)}(${lanes.join(", ")})`);
    }
    case "fma":
      return infix("+", infix("*", print(e.a, p), print(e.b, p)), print(e.c, p));
    case "dot_bytes":
    case "dot_pairs":
    case "narrow":
      return fail(p, `${e.kind} of ${e.type}`);
    case "team":
      return atom(p.team(e.of));
    case "call":
      return atom(p.call(e.name, e.args));
    case "dot":
      return fail(p, "a dot");
    case "dot4": {
      p.need("packed_4x8_integer_dot_product");
      const [a, b] = [e.a, e.b].map((x) => apply("bitcast<u32>", print(x, p))) as [Printed, Printed];
      return apply("dot4I8Packed", a, b);
    }
  }
}

/** WGSL for an expression, without parentheses around the whole. */
export const printExpression = (e: Expr, p: Printer): string => print(e, p).text;
