// Prints kernel expressions as folded WebAssembly text.

import type { Capabilities } from "../../compiler/backend.ts";
import {
  type Expr,
  isPacked,
  isVector,
  LANES,
  MEMORY_BYTES,
  type MemoryType,
  PACKED,
  type PackedType,
  type VectorType,
} from "../../ir/kernel/types.ts";
import { operands } from "../../ir/kernel/walk.ts";
import type { NarrowType, ScalarType } from "../../ir/scalar/types.ts";
import type { ConstantTable } from "./constants.ts";
import { errors } from "./diagnostics.ts";
import {
  castInstruction,
  compareInstruction,
  FLOAT_BINARY,
  FLOAT_UNARY,
  INT_BINARY,
  isSigned,
  LANE_BITS,
  LANE_MEMORY,
  LOAD,
  literal,
  vectorBinary,
  vectorUnary,
  type WasmType,
  wasmType,
} from "./instructions.ts";

/** What printing an expression needs from the function around it. */
export interface Printer {
  readonly func: string;
  /** Whether relaxed SIMD may be used. */
  readonly relaxed: boolean;
  /** Whether the relaxed dot product of bytes takes its second operand as unsigned, and is exact. */
  readonly byteDots: Capabilities["byteDots"];
  readonly bytePairs: Capabilities["bytePairs"];
  /** Where vectors of equal constants are loaded from, if not part of the code. */
  readonly constants: ConstantTable | undefined;
  /** A fresh local. */
  temporary(type: WasmType): string;
}

type Of<K extends Expr["kind"]> = Extract<Expr, { kind: K }>;

const isSimple = (e: Expr): boolean => e.kind === "const" || e.kind === "var";

/** Free to evaluate whether wanted or not: short, and unable to trap. */
function isSpeculable(e: Expr, budget = { left: 8 }): boolean {
  if (--budget.left < 0 || e.kind === "load" || e.kind === "call" || e.kind === "select") return false;
  if (e.kind === "binary" && (e.op === "div" || e.op === "rem") && e.type !== "f32" && e.type !== "f64") return false;
  return operands(e).every((x) => isSpeculable(x, budget));
}

/** An address as a pointer and a displacement: constant advances of a variable fold into the displacement. */
export function address(ptr: Expr, offset: number, printer: Printer): { pointer: string; immediate: string } {
  let [base, displacement] = [ptr, offset];
  if (ptr.kind === "advance" && ptr.ptr.kind === "var" && ptr.bytes.kind === "const" && Number(ptr.bytes.value) > 0) {
    base = ptr.ptr;
    displacement += Number(ptr.bytes.value);
  }
  return { pointer: printExpression(base, printer), immediate: displacement > 0 ? ` offset=${displacement}` : "" };
}

function printLoad(instruction: string, ptr: Expr, offset: number, p: Printer): string {
  const { pointer, immediate } = address(ptr, offset, p);
  return `(${instruction}${immediate} ${pointer})`;
}

export function legalMemory(memory: Exclude<MemoryType, PackedType>, p: Printer): Exclude<MemoryType, "f16" | PackedType> {
  if (memory === "f16") throw errors.notLegal(p.func, "f16 memory");
  return memory;
}

/** Bytes as the lanes of a wider vector. */
function printPackedLoad(memory: PackedType, ptr: Expr, offset: number, p: Printer): string {
  const sign = PACKED[memory] === "u8" ? "u" : "s";
  if (MEMORY_BYTES[memory] === 8) return printLoad(`v128.load8x8_${sign}`, ptr, offset, p);
  return `(i32x4.extend_low_i16x8_${sign} (i16x8.extend_low_i8x16_${sign} ${printLoad("v128.load32_zero", ptr, offset, p)}))`;
}

/** Each lane as a byte, saturated: in two steps from lanes of 32 bits, of which the first saturates, too. */
export function printPackedStore(memory: PackedType, ptr: Expr, offset: number, value: Expr, p: Printer): string {
  const bytes = MEMORY_BYTES[memory];
  const { pointer, immediate } = address(ptr, offset, p);
  const twice = (instruction: string, text: string, type: WasmType): string => {
    const local = p.temporary(type);
    return `(${instruction} (local.tee ${local} ${text}) (local.get ${local}))`;
  };
  const text = printExpression(value, p);
  const pairs = bytes === 8 ? text : twice("i16x8.narrow_i32x4_s", text, "v128");
  const lanes = twice(`i8x16.narrow_i16x8_${PACKED[memory] === "u8" ? "u" : "s"}`, pairs, "v128");
  return `(v128.store${8 * bytes}_lane${immediate} 0 ${pointer} ${lanes})`;
}

const constant = (type: WasmType, value: number | bigint): string => `(${type}.const ${literal(value)})`;

/** Names an operand so that it may be used twice: `first` evaluates it, `again` reads it. */
function named(e: Expr, p: Printer): { first: string; again: string } {
  const text = printExpression(e, p);
  if (isSimple(e)) return { first: text, again: text };
  const local = p.temporary(wasmType(e.type));
  return { first: `(local.tee ${local} ${text})`, again: `(local.get ${local})` };
}

function printDivision(e: Of<"binary">, p: Printer): string {
  const w = wasmType(e.type);
  const sign = isSigned(e.type) ? "s" : "u";
  const instruction = `${w}.${e.op}_${sign}`;
  if (e.b.kind === "const") {
    const by = Number(e.b.value);
    if (by === 0) return constant(w, 0);
    if (by !== -1) return `(${instruction} ${printExpression(e.a, p)} ${printExpression(e.b, p)})`;
    return e.op === "rem" ? constant(w, 0) : `(${w}.sub ${constant(w, 0)} ${printExpression(e.a, p)})`;
  }
  const b = named(e.b, p);
  if (e.op === "rem" || sign === "u") {
    const test = w === "i64" ? `(i64.ne ${b.first} (i64.const 0))` : b.first;
    return `(if (result ${w}) ${test} (then (${instruction} ${printExpression(e.a, p)} ${b.again})) (else ${constant(w, 0)}))`;
  }
  // Divisors -1 and 0 would trap on the smallest dividend and on all; for both of them the quotient is the product.
  const a = p.temporary(w);
  const dividend = `(local.get ${a})`;
  return `(block (result ${w}) (local.set ${a} ${printExpression(e.a, p)}) (if (result ${w}) (${w}.gt_u (${w}.add ${b.first} ${constant(w, 1)}) ${constant(w, 1)}) (then (${instruction} ${dividend} ${b.again})) (else (${w}.mul ${dividend} ${b.again}))))`;
}

function printShift(e: Of<"binary">, p: Printer): string {
  const w = wasmType(e.type);
  const bits = w === "i64" ? 64 : 32;
  const arithmetic = isSigned(e.type) && e.op === "shr";
  const instruction = `${w}.${e.op === "shl" ? "shl" : arithmetic ? "shr_s" : "shr_u"}`;
  const a = printExpression(e.a, p);
  if (e.b.kind === "const") {
    const by = Number(e.b.value);
    if (by >= 0 && by < bits) return `(${instruction} ${a} ${constant(w, by)})`;
    return arithmetic ? `(${instruction} ${a} ${constant(w, bits - 1)})` : constant(w, 0);
  }
  const b = named(e.b, p);
  const fits = `(${w}.lt_u ${b.again} ${constant(w, bits)})`;
  if (arithmetic) return `(${instruction} ${a} (select ${b.first} ${constant(w, bits - 1)} ${fits}))`;
  return `(select (${instruction} ${a} ${b.first}) ${constant(w, 0)} ${fits})`;
}

function printBinary(e: Of<"binary">, p: Printer): string {
  if (isVector(e.type)) return printVectorBinary(e, e.type, p);
  const w = wasmType(e.type);
  if (w === "f32" || w === "f64") {
    const name = FLOAT_BINARY[e.op];
    if (!name) throw errors.notLegal(p.func, `${e.op} of ${e.type}`);
    return `(${w}.${name} ${printExpression(e.a, p)} ${printExpression(e.b, p)})`;
  }
  const name = INT_BINARY[e.op];
  if (name) return `(${w}.${name} ${printExpression(e.a, p)} ${printExpression(e.b, p)})`;
  switch (e.op) {
    case "div":
    case "rem":
      return printDivision(e, p);
    case "shl":
    case "shr":
      return printShift(e, p);
    case "min":
    case "max": {
      const [a, b] = [named(e.a, p), named(e.b, p)];
      return `(select ${a.first} ${b.first} (${w}.${e.op === "min" ? "lt" : "gt"}_${isSigned(e.type) ? "s" : "u"} ${a.again} ${b.again}))`;
    }
    default:
      throw errors.notLegal(p.func, `${e.op} of ${e.type}`);
  }
}

const constantLane = (e: Expr): number | undefined => (e.kind === "splat" && e.a.kind === "const" ? Number(e.a.value) : undefined);

/**
 * `min` or `max` by a constant as one x86 instruction, where the wasm ones are eight. NaN stays NaN, as `pmin(x, c)` is `c < x ? c : x`; of
 * zeros of both signs it takes `x`, which an addition of 0 repairs.
 */
function printBound(op: "min" | "max", t: VectorType, x: Expr, bound: Expr, p: Printer): string | undefined {
  const c = constantLane(bound);
  if (c === undefined || Number.isNaN(c) || (op === "min" && Object.is(c, -0))) return undefined;
  const bounded = `(${t}.p${op} ${printExpression(x, p)} ${printExpression(bound, p)})`;
  return op === "max" && Object.is(c, 0) ? `(${t}.add ${bounded} (v128.const i64x2 0 0))` : bounded;
}

function printVectorBinary(e: Of<"binary">, t: VectorType, p: Printer): string {
  if ((e.op === "min" || e.op === "max") && (t === "f32x4" || t === "f64x2")) {
    const bound = printBound(e.op, t, e.a, e.b, p) ?? printBound(e.op, t, e.b, e.a, p);
    if (bound) return bound;
  }
  const instruction = vectorBinary(e.op, t);
  if (!instruction) throw errors.notLegal(p.func, `${e.op} of ${t}`);
  const a = printExpression(e.a, p);
  if (e.op !== "shl" && e.op !== "shr") return `(${instruction} ${a} ${printExpression(e.b, p)})`;
  const amount = (e.b as Of<"splat">).a;
  if (amount.kind !== "const") throw errors.notLegal(p.func, `${e.op} of ${t} by a variable amount`);
  const by = Number(amount.value);
  const bits = LANE_BITS[t];
  if (by >= 0 && by < bits) return `(${instruction} ${a} (i32.const ${by}))`;
  return e.op === "shr" ? `(${instruction} ${a} (i32.const ${bits - 1}))` : "(v128.const i64x2 0 0)";
}

function printUnary(e: Of<"unary">, p: Printer): string {
  const a = (): string => printExpression(e.a, p);
  if (isVector(e.type)) {
    const instruction = vectorUnary(e.op, e.type);
    if (!instruction) throw errors.notLegal(p.func, `${e.op} of ${e.type}`);
    return `(${instruction} ${a()})`;
  }
  const w = wasmType(e.type);
  if (e.op === "not") return e.type === "bool" ? `(i32.eqz ${a()})` : `(${w}.xor ${a()} ${constant(w, -1)})`;
  if (w === "f32" || w === "f64") {
    const name = FLOAT_UNARY[e.op];
    if (!name) throw errors.notLegal(p.func, `${e.op} of ${e.type}`);
    return `(${w}.${name} ${a()})`;
  }
  if (e.op === "neg") return `(${w}.sub ${constant(w, 0)} ${a()})`;
  if (!isSigned(e.type)) return a();
  const x = named(e.a, p);
  return `(select ${x.first} (${w}.sub ${constant(w, 0)} ${x.again}) (${w}.gt_s ${x.again} ${constant(w, 0)}))`;
}

function printCast(e: Of<"cast">, p: Printer): string {
  const a = printExpression(e.a, p);
  if (e.type === "f32x4") return `(f32x4.convert_i32x4_s ${a})`;
  if (e.type === "i32x4") return `(i32x4.trunc_sat_f32x4_s ${a})`;
  const [from, to] = [e.a.type as ScalarType, e.type as ScalarType];
  if (to === "bool") return from === "bool" ? a : `(${wasmType(from)}.ne ${a} ${constant(wasmType(from), 0)})`;
  return castInstruction(from, to).reduceRight((text, instruction) => `(${instruction} ${text})`, a);
}

const WRAP: Readonly<Record<Exclude<NarrowType, "f16">, (a: string) => string>> = {
  i4: (a) => `(i32.shr_s (i32.shl ${a} (i32.const 28)) (i32.const 28))`,
  u4: (a) => `(i32.and ${a} (i32.const 15))`,
  i8: (a) => `(i32.extend8_s ${a})`,
  u8: (a) => `(i32.and ${a} (i32.const 255))`,
  i16: (a) => `(i32.extend16_s ${a})`,
  u16: (a) => `(i32.and ${a} (i32.const 65535))`,
};

function printSplat(e: Of<"splat">, p: Printer): string {
  const t = e.type;
  const bits = e.a.kind === "const" && LANE_BITS[t] === 32 ? bitsOf(e.a) : 0;
  // Zeros and ones are an instruction without operands everywhere.
  const place = bits === 0 || bits === -1 ? undefined : p.constants?.addressOf(bits);
  if (place !== undefined) return `(v128.load32_splat offset=${place} (i32.const 0))`;
  if (e.a.kind === "const")
    return `(v128.const ${t} ${Array.from({ length: LANES[t] }, () => literal(narrowed(t, (e.a as Of<"const">).value))).join(" ")})`;
  if (e.a.kind === "load" && LANE_MEMORY[t].includes(e.a.memory))
    return printLoad(`v128.load${LANE_BITS[t]}_splat`, e.a.ptr, e.a.offset, p);
  return `(${t}.splat ${printExpression(e.a, p)})`;
}

/** The 4 bytes of a lane. */
const bitsOf = ({ type, value }: Of<"const">): number =>
  type === "f32" ? new Int32Array(Float32Array.of(Number(value)).buffer)[0]! : Number(value) | 0;

const narrowed = (t: VectorType, x: number | bigint): number | bigint =>
  t === "i8x16" ? (Number(x) << 24) >> 24 : t === "i16x8" ? (Number(x) << 16) >> 16 : x;

function printReplace(e: Of<"replace">, p: Printer): string {
  const t = e.type;
  const { value } = e;
  if (value.kind === "load" && LANE_MEMORY[t].includes(value.memory)) {
    const zero = e.a.kind === "splat" && e.a.a.kind === "const" && Object.is(Number(e.a.a.value), 0);
    if (zero && e.lane === 0 && LANE_BITS[t] >= 32) return printLoad(`v128.load${LANE_BITS[t]}_zero`, value.ptr, value.offset, p);
    const { pointer, immediate } = address(value.ptr, value.offset, p);
    return `(v128.load${LANE_BITS[t]}_lane${immediate} ${e.lane} ${pointer} ${printExpression(e.a, p)})`;
  }
  return `(${t}.replace_lane ${e.lane} ${printExpression(e.a, p)} ${printExpression(value, p)})`;
}

function printSelect(e: Of<"select">, p: Printer): string {
  const [cond, a, b] = [e.cond, e.a, e.b].map((x) => printExpression(x, p));
  if (isVector(e.cond.type)) return `(v128.bitselect ${a} ${b} ${cond})`;
  if (isSpeculable(e.a) && isSpeculable(e.b)) return `(select ${a} ${b} ${cond})`;
  return `(if (result ${wasmType(e.type)}) ${cond} (then ${a}) (else ${b}))`;
}

export function printExpression(e: Expr, p: Printer): string {
  const print = (x: Expr): string => printExpression(x, p);
  switch (e.kind) {
    case "const":
      return constant(wasmType(e.type), e.value);
    case "var":
      return `(local.get $${e.name})`;
    case "unary":
      return printUnary(e, p);
    case "binary":
      return printBinary(e, p);
    case "compare":
      return `(${compareInstruction(e.op, e.a.type)} ${print(e.a)} ${print(e.b)})`;
    case "select":
      return printSelect(e, p);
    case "cast":
      return printCast(e, p);
    case "bitcast": {
      const [from, to] = [wasmType(e.a.type), wasmType(e.type)];
      return from === to ? print(e.a) : `(${to}.reinterpret_${from} ${print(e.a)})`;
    }
    case "wrap":
      if (e.to === "f16") throw errors.notLegal(p.func, "a wrap to f16");
      return WRAP[e.to](print(e.a));
    case "load": {
      if (isPacked(e.memory)) return printPackedLoad(e.memory, e.ptr, e.offset, p);
      const text = printLoad(LOAD[legalMemory(e.memory, p)], e.ptr, e.offset, p);
      return e.memory === "bool" ? `(i32.ne ${text} (i32.const 0))` : text;
    }
    case "advance":
      return `(i32.add ${print(e.ptr)} ${print(e.bytes)})`;
    case "splat":
      return printSplat(e, p);
    case "extract": {
      const t = e.a.type as VectorType;
      return `(${t}.extract_lane${t === "i8x16" || t === "i16x8" ? "_s" : ""} ${e.lane} ${print(e.a)})`;
    }
    case "replace":
      return printReplace(e, p);
    case "shuffle": {
      const bytes = 16 / LANES[e.type];
      const lanes = e.lanes.flatMap((lane) => Array.from({ length: bytes }, (_, i) => lane * bytes + i));
      return `(i8x16.shuffle ${lanes.join(" ")} ${print(e.a)} ${print(e.b)})`;
    }
    case "fma": {
      if (isVector(e.type) && p.relaxed) return `(${e.type}.relaxed_madd ${print(e.a)} ${print(e.b)} ${print(e.c)})`;
      return `(${e.type}.add (${e.type}.mul ${print(e.a)} ${print(e.b)}) ${print(e.c)})`;
    }
    case "dot":
      return `(i32x4.dot_i16x8_s ${print(e.a)} ${print(e.b)})`;
    case "dot4":
      throw errors.notLegal(p.func, "a dot4");
    case "dot_bytes":
      if (p.byteDots !== e.read) throw errors.notLegal(p.func, `dot_bytes of ${e.read} ones`);
      return `(i32x4.relaxed_dot_i8x16_i7x16_add_s ${print(e.a)} ${print(e.b)} ${print(e.c)})`;
    case "dot_pairs":
      if (p.bytePairs === undefined || (p.bytePairs === "small" && !e.small)) throw errors.notLegal(p.func, "dot_pairs");
      return `(i16x8.relaxed_dot_i8x16_i7x16_s ${print(e.a)} ${print(e.b)})`;
    case "narrow":
      return `(${e.type}.narrow_${e.to === "i16" ? "i32x4_s" : `i16x8_${e.to === "u8" ? "u" : "s"}`} ${print(e.a)} ${print(e.b)})`;
    case "team":
      return `(global.get $${e.of})`;
    case "call":
      return `(call $${e.name}${e.args.map((a) => ` ${print(a)}`).join("")})`;
  }
}
