// Prints kernel expressions as JavaScript: f32 rounded by fround, integers kept in range, i64 and u64 as BigInt, bool as boolean.

import { type Expr, isVector, type MemoryType } from "../../ir/kernel/types.ts";
import type { BinaryOp, NarrowType, ScalarType } from "../../ir/scalar/types.ts";
import { errors } from "./diagnostics.ts";
import { BITS } from "./prelude.ts";

/** What printing an expression needs from the function around it. */
export interface Printer {
  readonly func: string;
  /** The printed name of a variable. */
  variable(name: string): string;
  /** Whether a variable is ever set after its declaration. */
  isSet(name: string): boolean;
  /** The printed name of a function. */
  callee(name: string): string;
  /** Notes that the module needs a view or function of the prelude. */
  use(name: string): string;
}

/** Text with the precedence of its outermost operator, as in the language's table; 20 for what never needs parentheses. */
interface Printed {
  readonly text: string;
  readonly level: number;
}

type Of<K extends Expr["kind"]> = Extract<Expr, { kind: K }>;

const ATOM = 20;
const MULTIPLY = 12;
const ADD = 11;
const SHIFT = 10;
const RELATION = 9;
const EQUALITY = 8;
const AND = 7;
const XOR = 6;
const OR = 5;
const CONDITION = 2;

const atom = (text: string): Printed => ({ text, level: ATOM });
const wrap = (p: Printed, level: number): string => (p.level >= level ? p.text : `(${p.text})`);
function infix(op: string, level: number, a: Printed, b: Printed): Printed {
  // Few know how bit operators and shifts bind: everything in them gets parentheses.
  if (level >= OR && level <= SHIFT && level !== EQUALITY && level !== RELATION)
    return { text: `${wrap(a, 14)} ${op} ${wrap(b, 14)}`, level };
  // Left-associative: the right operand binds tighter.
  return { text: `${wrap(a, level)} ${op} ${wrap(b, level + 1)}`, level };
}
const apply = (name: string, ...args: readonly Printed[]): Printed => atom(`${name}(${args.map((a) => a.text).join(", ")})`);
const number = (n: number): Printed => atom(String(n));

const OPERATORS: Readonly<Partial<Record<BinaryOp, readonly [string, number]>>> = {
  add: ["+", ADD],
  sub: ["-", ADD],
  mul: ["*", MULTIPLY],
  div: ["/", MULTIPLY],
  rem: ["%", MULTIPLY],
  and: ["&", AND],
  or: ["|", OR],
  xor: ["^", XOR],
};

/** Brings a result into the range of its type. */
function inRange(type: ScalarType, x: Printed, p: Printer): Printed {
  switch (type) {
    case "i32":
      return infix("|", OR, x, number(0));
    case "u32":
      return infix(">>>", SHIFT, x, number(0));
    case "f32":
      return apply(p.use("fround"), x);
    case "i64":
      return apply(p.use("asI64"), x);
    case "u64":
      return apply(p.use("asU64"), x);
    default:
      return x;
  }
}

function printConst(type: ScalarType, value: number | bigint): Printed {
  if (type === "bool") return atom(value ? "true" : "false");
  const text = typeof value === "bigint" ? `${value}n` : Object.is(value, -0) ? "-0" : String(value);
  return text.startsWith("-") ? { text, level: 14 } : atom(text);
}

const isBig = (t: string): boolean => t === "i64" || t === "u64";
const isFloat = (t: string): boolean => t === "f32" || t === "f64";

function printBinary(e: Of<"binary">, p: Printer): Printed {
  const type = e.type as ScalarType;
  const [a, b] = [print(e.a, p), print(e.b, p)];
  const plain = (): Printed => {
    const [op, level] = OPERATORS[e.op] ?? fail(p, `${e.op} of ${type}`);
    return infix(op, level, a, b);
  };
  if (type === "bool") return printLogical(e.op, a, b, p);
  switch (e.op) {
    case "min":
    case "max":
      return isBig(type) ? apply(p.use(`${e.op}64`), a, b) : apply(`Math.${e.op}`, a, b);
    case "shl":
    case "shr":
      return printShift(e, a, b, p);
    case "div":
    case "rem":
      if (isBig(type)) return e.op === "div" ? inRange(type, apply(p.use("div64"), a, b), p) : apply(p.use("rem64"), a, b);
      return inRange(type, plain(), p);
    case "mul": {
      if (type !== "i32" && type !== "u32") return inRange(type, plain(), p);
      const product = apply(p.use("imul"), a, b);
      return type === "i32" ? product : inRange(type, product, p);
    }
    case "and":
    case "or":
    case "xor":
      return type === "u32" ? inRange(type, plain(), p) : plain();
    case "add":
    case "sub":
      return inRange(type, plain(), p);
    default:
      return fail(p, `${e.op} of ${type}`);
  }
}

function printLogical(op: BinaryOp, a: Printed, b: Printed, p: Printer): Printed {
  if (op === "and") return infix("&&", 4, a, b);
  if (op === "or") return infix("||", 3, a, b);
  return op === "xor" ? infix("!==", EQUALITY, a, b) : fail(p, `${op} of bool`);
}

function printShift(e: Of<"binary">, a: Printed, b: Printed, p: Printer): Printed {
  const type = e.type as ScalarType;
  if (isBig(type)) return e.op === "shl" ? inRange(type, apply(p.use("shl64"), a, b), p) : apply(p.use("shr64"), a, b);
  const name = e.op === "shl" ? "shl32" : type === "i32" ? "sar32" : "shr32";
  const operator = { shl32: "<<", sar32: ">>", shr32: ">>>" }[name];
  const constant = e.b.kind === "const" && Number(e.b.value) >= 0 && Number(e.b.value) < 32;
  const shifted = constant ? infix(operator!, SHIFT, a, b) : apply(p.use(name), a, b);
  return type === "u32" && e.op === "shl" ? inRange(type, shifted, p) : shifted;
}

function printUnary(e: Of<"unary">, p: Printer): Printed {
  const type = e.type as ScalarType;
  const a = print(e.a, p);
  const prefix = (op: string): Printed => ({ text: `${op}${wrap(a, 15)}`, level: 14 });
  switch (e.op) {
    case "not":
      return type === "bool" ? prefix("!") : type === "i32" || type === "i64" ? prefix("~") : inRange(type, prefix("~"), p);
    case "neg":
      return isFloat(type) ? prefix("-") : inRange(type, prefix("-"), p);
    case "abs":
      if (type === "i64") return inRange(type, apply(p.use("max64"), a, prefix("-")), p);
      if (type === "u64" || type === "u32") return a;
      return type === "i32" ? inRange(type, apply("Math.abs", a), p) : apply("Math.abs", a);
    case "sqrt":
      return inRange(type, apply("Math.sqrt", a), p);
    case "floor":
    case "ceil":
    case "trunc":
      return apply(`Math.${e.op}`, a);
    default:
      return fail(p, `${e.op} of ${type}`);
  }
}

const COMPARE = {
  eq: ["===", EQUALITY],
  ne: ["!==", EQUALITY],
  lt: ["<", RELATION],
  le: ["<=", RELATION],
  gt: [">", RELATION],
  ge: [">=", RELATION],
} as const;

function printCast(from: ScalarType, to: ScalarType, a: Printed, p: Printer): Printed {
  if (from === to) return a;
  if (from === "bool") return { text: `${wrap(a, 3)} ? ${isBig(to) ? "1n : 0n" : "1 : 0"}`, level: CONDITION };
  if (to === "bool") return infix("!==", EQUALITY, a, isBig(from) ? atom("0n") : number(0));
  if (isFloat(to)) {
    const value = isBig(from) ? apply("Number", a) : a;
    return to === "f32" ? inRange("f32", value, p) : value;
  }
  if (isFloat(from)) return apply(p.use(`to${to.toUpperCase()}`), a);
  if (isBig(to)) {
    const value = isBig(from) ? a : apply("BigInt", a);
    return from === "u32" || (from === "i32" && to === "i64") ? value : inRange(to, value, p);
  }
  if (isBig(from)) return apply("Number", apply(to === "i32" ? "BigInt.asIntN" : "BigInt.asUintN", number(32), a));
  return inRange(to, a, p);
}

const NARROW: Readonly<Record<Exclude<NarrowType, "f16">, (a: Printed) => Printed>> = {
  i4: (a) => infix(">>", SHIFT, infix("<<", SHIFT, a, number(28)), number(28)),
  u4: (a) => infix("&", AND, a, number(15)),
  i8: (a) => infix(">>", SHIFT, infix("<<", SHIFT, a, number(24)), number(24)),
  u8: (a) => infix("&", AND, a, number(255)),
  i16: (a) => infix(">>", SHIFT, infix("<<", SHIFT, a, number(16)), number(16)),
  u16: (a) => infix("&", AND, a, number(65535)),
};

const VIEW: Readonly<Partial<Record<MemoryType, readonly [view: string, shift: number]>>> = {
  i8: ["I8", 0],
  u8: ["U8", 0],
  bool: ["U8", 0],
  i16: ["I16", 1],
  u16: ["U16", 1],
  i32: ["I32", 2],
  u32: ["U32", 2],
  f32: ["F32", 2],
  i64: ["I64", 3],
  u64: ["U64", 3],
  f64: ["F64", 3],
};

/** The element of a typed view at an address; addresses are bytes and aligned. */
export function printElement(memory: MemoryType, ptr: Expr, offset: number, p: Printer): string {
  const [view, shift] = VIEW[memory] ?? fail(p, `${memory} memory`);
  const base = print(ptr, p);
  const address = offset > 0 ? infix("+", ADD, base, number(offset)) : base;
  return `${p.use(view)}[${shift > 0 ? infix(">>", SHIFT, address, number(shift)).text : address.text}]`;
}

function fail(p: Printer, what: string): never {
  throw errors.notLegal(p.func, what);
}

function print(e: Expr, p: Printer): Printed {
  if (isVector(e.type)) return fail(p, `a ${e.type}`);
  switch (e.kind) {
    case "const":
      return printConst(e.type, e.value);
    case "var":
      return atom(p.variable(e.name));
    case "unary":
      return printUnary(e, p);
    case "binary":
      return printBinary(e, p);
    case "compare": {
      const [op, level] = COMPARE[e.op];
      return infix(op, level, print(e.a, p), print(e.b, p));
    }
    case "select": {
      const [cond, a, b] = [print(e.cond, p), print(e.a, p), print(e.b, p)];
      return { text: `${wrap(cond, 3)} ? ${wrap(a, CONDITION)} : ${wrap(b, CONDITION)}`, level: CONDITION };
    }
    case "cast":
      return printCast(e.a.type as ScalarType, e.type as ScalarType, print(e.a, p), p);
    case "bitcast": {
      const [from, to] = [e.a.type as keyof typeof BITS, e.type as keyof typeof BITS];
      // The arrays share one buffer, which the first declares.
      const [source, target] = [p.use(BITS[from]), p.use(BITS[to])];
      p.use("f64Bits");
      return from === to ? print(e.a, p) : atom(`((${source}[0] = ${print(e.a, p).text}), ${target}[0])`);
    }
    case "wrap":
      return e.to === "f16" ? fail(p, "a wrap to f16") : NARROW[e.to](print(e.a, p));
    case "load": {
      const element = atom(printElement(e.memory, e.ptr, e.offset, p));
      return e.memory === "bool" ? infix("!==", EQUALITY, element, number(0)) : element;
    }
    case "advance":
      return infix("+", ADD, print(e.ptr, p), print(e.bytes, p));
    case "call":
      return apply(p.callee(e.name), ...e.args.map((a) => print(a, p)));
    default:
      return fail(p, `a ${e.kind}`);
  }
}

/** JavaScript for an expression, without parentheses around the whole. */
export const printExpression = (e: Expr, p: Printer): string => print(e, p).text;
