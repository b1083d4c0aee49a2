// Prints a kernel program as JavaScript over a DataView: slow, short, and complete. One exhaustive switch for expressions, one for statements.

import type { Expr, Func, MemoryType, Program, ScalarType, Stmt, ValueType } from "sparsec/ir";

const isBig = (t: ValueType): boolean => t === "i64" || t === "u64";
const isFloat = (t: ValueType): boolean => t === "f32" || t === "f64";

/** Brings the result of arithmetic back into the range and precision of its type. */
function inRange(type: ValueType, x: string): string {
  switch (type) {
    case "i32":
      return `(${x} | 0)`;
    case "u32":
      return `(${x} >>> 0)`;
    case "i64":
      return `BigInt.asIntN(64, ${x})`;
    case "u64":
      return `BigInt.asUintN(64, ${x})`;
    case "f32":
      return `Math.fround(${x})`;
    default:
      return `(${x})`;
  }
}

/** The suffix of DataView's methods, and what they take. */
const VIEW: Readonly<Partial<Record<MemoryType, string>>> = {
  i8: "Int8",
  u8: "Uint8",
  bool: "Uint8",
  i16: "Int16",
  u16: "Uint16",
  i32: "Int32",
  u32: "Uint32",
  i64: "BigInt64",
  u64: "BigUint64",
  f32: "Float32",
  f64: "Float64",
};

function view(memory: MemoryType): string {
  const name = VIEW[memory];
  if (!name) throw new TypeError(`${memory} in memory, which 'can' does not list`);
  return name;
}

const address = (ptr: Expr, offset: number): string => (offset === 0 ? expression(ptr) : `${expression(ptr)} + ${offset}`);

function literal(type: ScalarType, value: number | bigint): string {
  if (type === "bool") return value ? "true" : "false";
  return `(${Object.is(value, -0) ? "-0" : value}${isBig(type) ? "n" : ""})`;
}

const OPERATORS = { add: "+", sub: "-", mul: "*", and: "&", or: "|", xor: "^" } as const;

function binary(e: Extract<Expr, { kind: "binary" }>): string {
  const [a, b] = [expression(e.a), expression(e.b)];
  switch (e.op) {
    case "mul":
      return e.type === "i32" || e.type === "u32" ? inRange(e.type, `Math.imul(${a}, ${b})`) : inRange(e.type, `${a} * ${b}`);
    case "and":
    case "or":
    case "xor":
    case "add":
    case "sub":
      return e.type === "bool" ? `Boolean(${a} ${OPERATORS[e.op]} ${b})` : inRange(e.type, `${a} ${OPERATORS[e.op]} ${b}`);
    case "div":
    case "rem": {
      const operator = e.op === "div" ? "/" : "%";
      // Integers divided by zero give 0, which `|` and `>>>` make of Infinity and NaN.
      return isBig(e.type) ? `(${b} === 0n ? 0n : ${inRange(e.type, `${a} ${operator} ${b}`)})` : inRange(e.type, `${a} ${operator} ${b}`);
    }
    case "min":
    case "max":
      return isBig(e.type) ? `(${a} ${e.op === "min" ? "<" : ">"} ${b} ? ${a} : ${b})` : `Math.${e.op}(${a}, ${b})`;
    case "atan2":
      return inRange(e.type, `Math.atan2(${a}, ${b})`);
    case "shl":
    case "shr": {
      const signed = e.type === "i32" || e.type === "i64";
      const [none, one] = isBig(e.type) ? ["0n", "1n"] : ["0", "1"];
      // JavaScript takes shifts modulo the width; here they move everything out, but for the sign.
      const all = e.op === "shr" && signed ? `${a} < ${none} ? -${one} : ${none}` : none;
      const operator = e.op === "shl" ? "<<" : e.type === "u32" ? ">>>" : ">>";
      return `(${b} >= 0 && ${b} < ${isBig(e.type) ? 64 : 32} ? ${inRange(e.type, `${a} ${operator} ${b}`)} : ${all})`;
    }
    case "pow":
      throw new TypeError(`${e.op}, which 'can' does not list`);
  }
}

function unary(e: Extract<Expr, { kind: "unary" }>): string {
  const a = expression(e.a);
  switch (e.op) {
    case "neg":
      return inRange(e.type, `-${a}`);
    case "not":
      return e.type === "bool" ? `(!${a})` : inRange(e.type, `~${a}`);
    case "abs":
      return isBig(e.type) ? `(${a} < 0n ? ${inRange(e.type, `-${a}`)} : ${a})` : inRange(e.type, `Math.abs(${a})`);
    case "round_even":
    case "erf":
      throw new TypeError(`${e.op}, which 'can' does not list`);
    default:
      return inRange(e.type, `Math.${e.op}(${a})`);
  }
}

function cast(from: ValueType, to: ValueType, a: string): string {
  if (from === to) return a;
  if (to === "bool") return `(${a} != 0)`;
  if (from === "bool") return isBig(to) ? `BigInt(${a})` : `Number(${a})`;
  if (isFloat(from)) return isFloat(to) ? inRange(to, a) : `truncate.${to}(${a})`;
  if (isFloat(to)) return inRange(to, `Number(${a})`);
  return isBig(to) ? inRange(to, `BigInt(${a})`) : isBig(from) ? inRange(to, `Number(BigInt.asIntN(32, ${a}))`) : inRange(to, a);
}

const COMPARE = { eq: "===", ne: "!==", lt: "<", le: "<=", gt: ">", ge: ">=" } as const;
const BITS = { i4: 4, u4: 4, i8: 8, u8: 8, i16: 16, u16: 16 } as const;

function expression(e: Expr): string {
  switch (e.kind) {
    case "const":
      return literal(e.type, e.value);
    case "var":
      return `$${e.name}`;
    case "unary":
      return unary(e);
    case "binary":
      return binary(e);
    case "compare":
      return `(${expression(e.a)} ${COMPARE[e.op]} ${expression(e.b)})`;
    case "select":
      return `(${expression(e.cond)} ? ${expression(e.a)} : ${expression(e.b)})`;
    case "cast":
      return cast(e.a.type, e.type, expression(e.a));
    case "bitcast":
      return `(bits.set${view(e.a.type as MemoryType)}(0, ${expression(e.a)}), bits.get${view(e.type as MemoryType)}(0))`;
    case "wrap": {
      if (e.to === "f16") throw new TypeError("f16, which 'can' does not list");
      const shift = 32 - BITS[e.to];
      return `(${expression(e.a)} << ${shift} ${e.to.startsWith("u") ? ">>>" : ">>"} ${shift})`;
    }
    case "load":
      return `${e.memory === "bool" ? "0 !== " : ""}memory.get${view(e.memory)}(${address(e.ptr, e.offset)}, true)`;
    case "advance":
      return `(${expression(e.ptr)} + ${expression(e.bytes)})`;
    case "call":
      return `${e.name}_(${e.args.map(expression).join(", ")})`;
    case "splat":
    case "extract":
    case "replace":
    case "shuffle":
    case "dot":
    case "dot4":
    case "dot_bytes":
    case "dot_pairs":
    case "narrow":
    case "fma":
    case "team":
      throw new TypeError(`${e.kind} of ${e.type}, which 'can' does not list`);
  }
}

const block = (body: readonly Stmt[]): string => `{\n${body.map(statement).join("\n")}\n}`;

function statement(s: Stmt): string {
  switch (s.kind) {
    case "let":
      return `let $${s.name} = ${expression(s.value)};`;
    case "set":
      return `$${s.name} = ${expression(s.value)};`;
    case "store":
      return `memory.set${view(s.memory)}(${address(s.ptr, s.offset)}, ${s.memory === "bool" ? `Number(${expression(s.value)})` : expression(s.value)}, true);`;
    case "for": {
      const i = `$${s.name}`;
      return `for (let ${i} = ${expression(s.from)}, end = ${expression(s.to)}; ${i} < end; ${i} += ${s.step}) ${block(s.body)}`;
    }
    case "repeat":
      // The condition sees what the body declares, which `do ... while` would hide.
      return `for (;;) {\n${s.body.map(statement).join("\n")}\nif (!${expression(s.again)}) break;\n}`;
    case "while":
      return `while (${expression(s.cond)}) ${block(s.body)}`;
    case "if":
      return `if (${expression(s.cond)}) ${block(s.then)} else ${block(s.else)}`;
    case "call":
      return `${s.name}_(${s.args.map(expression).join(", ")});`;
    case "assert":
      return `if (!${expression(s.cond)}) throw { fault: ${s.fault} };`;
    case "swap":
    case "barrier":
      throw new TypeError("a barrier, and 'can' lists no threads");
  }
}

const func = (f: Func): string =>
  `function ${f.name}_(${f.params.map((p) => `$${p.name}`).join(", ")}) {\n${f.body.map(statement).join("\n")}\n${f.result ? `return ${expression(f.result)};\n` : ""}}`;

const PRELUDE = `const bits = new DataView(new ArrayBuffer(8));
const saturate = (low, high) => (x) => (Number.isNaN(x) ? 0 : Math.max(low, Math.min(high, Math.trunc(x))));
const big = (low, high) => (x) => (Number.isNaN(x) ? 0n : x <= Number(low) ? low : x >= Number(high) ? high : BigInt(Math.trunc(x)));
const truncate = {
  i32: saturate(-(2 ** 31), 2 ** 31 - 1),
  u32: saturate(0, 2 ** 32 - 1),
  i64: big(-(2n ** 63n), 2n ** 63n - 1n),
  u64: big(0n, 2n ** 64n - 1n),
};`;

/** A module whose `run(memory, weights, arena)` does one inference on a DataView; a failed assert throws `{ fault }`. */
export const print = (program: Program): string =>
  `${PRELUDE}\nlet memory;\n${program.functions.map(func).join("\n")}\nexport function run(view, weights, arena) {\nmemory = view;\n${program.entry}_(weights, arena);\n}\n`;
