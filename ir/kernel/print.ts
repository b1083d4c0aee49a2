// Readable text of kernel programs, for people and tests. There is no parser: kernels are built, never read.

import type { Expr, Func, Param, Program, Stmt } from "./types.ts";

const INFIX: Readonly<Record<string, string>> = {
  add: "+",
  sub: "-",
  mul: "*",
  div: "/",
  rem: "%",
  and: "&",
  or: "|",
  xor: "^",
  shl: "<<",
  shr: ">>",
  eq: "==",
  ne: "!=",
  lt: "<",
  le: "<=",
  gt: ">",
  ge: ">=",
};

const at = (ptr: Expr, offset: number): string => `[${printExpr(ptr)}${offset ? ` + ${offset}` : ""}]`;
const list = (args: readonly Expr[]): string => args.map((a) => printExpr(a)).join(", ");

/** One line; operands are parenthesised throughout. */
export function printExpr(e: Expr, nested = false): string {
  const infix = (op: string, a: Expr, b: Expr): string => {
    const text = `${printExpr(a, true)} ${op} ${printExpr(b, true)}`;
    return nested ? `(${text})` : text;
  };
  switch (e.kind) {
    case "const": {
      const value = Object.is(e.value, -0) ? "-0" : String(e.value);
      return e.type === "bool" ? (e.value ? "true" : "false") : e.type === "i32" ? value : `${value}:${e.type}`;
    }
    case "var":
      return e.name;
    case "unary":
      return `${e.op}(${printExpr(e.a)})`;
    case "binary":
    case "compare": {
      const op = INFIX[e.op];
      return op ? infix(op, e.a, e.b) : `${e.op}(${printExpr(e.a)}, ${printExpr(e.b)})`;
    }
    case "select":
      return `select(${printExpr(e.cond)}, ${printExpr(e.a)}, ${printExpr(e.b)})`;
    case "cast":
      return `${e.type}(${printExpr(e.a)})`;
    case "bitcast":
      return `bits.${e.type}(${printExpr(e.a)})`;
    case "wrap":
      return `wrap.${e.to}(${printExpr(e.a)})`;
    case "load":
      return `${e.memory}${at(e.ptr, e.offset)}`;
    case "advance":
      return infix("+", e.ptr, e.bytes);
    case "splat":
      return `splat.${e.type}(${printExpr(e.a)})`;
    case "extract":
      return `${printExpr(e.a, true)}.${e.lane}`;
    case "replace":
      return `replace(${printExpr(e.a)}, ${e.lane}, ${printExpr(e.value)})`;
    case "shuffle":
      return `shuffle(${printExpr(e.a)}, ${printExpr(e.b)}, [${e.lanes}])`;
    case "fma":
      return `fma(${list([e.a, e.b, e.c])})`;
    case "dot":
    case "dot4":
      return `${e.kind}(${list([e.a, e.b])})`;
    case "dot_pairs":
      return `dot_pairs${e.small ? ".small" : ""}(${list([e.a, e.b])})`;
    case "dot_bytes":
      return `dot_bytes.${e.read}(${list([e.a, e.b, e.c])})`;
    case "narrow":
      return `narrow.${e.to}(${list([e.a, e.b])})`;
    case "team":
      return e.of;
    case "call":
      return `${e.name}(${list(e.args)})`;
  }
}

function printBlock(body: readonly Stmt[], indent: string): string {
  return `{\n${body.map((s) => printStmt(s, `${indent}  `)).join("")}${indent}}`;
}

export function printStmt(s: Stmt, indent = ""): string {
  const line = (text: string): string => `${indent}${text}\n`;
  switch (s.kind) {
    case "let":
      return line(`let ${s.name}: ${s.value.type} = ${printExpr(s.value)}`);
    case "set":
      return line(`${s.name} = ${printExpr(s.value)}`);
    case "store":
      return line(`${s.memory}${at(s.ptr, s.offset)} = ${printExpr(s.value)}`);
    case "for": {
      const step = s.step === 1 ? "" : ` step ${s.step}`;
      const parallel = s.parallel === undefined ? "" : `parallel ${s.parallel} `;
      return line(`${parallel}for ${s.name} in ${printExpr(s.from)}..${printExpr(s.to)}${step} ${printBlock(s.body, indent)}`);
    }
    case "repeat":
      return line(`repeat ${printBlock(s.body, indent)} while ${printExpr(s.again)}`);
    case "while":
      return line(`while ${printExpr(s.cond)} ${printBlock(s.body, indent)}`);
    case "if": {
      const otherwise = s.else.length > 0 ? ` else ${printBlock(s.else, indent)}` : "";
      return line(`if ${printExpr(s.cond)} ${printBlock(s.then, indent)}${otherwise}`);
    }
    case "call":
      return line(`${s.name}(${list(s.args)})`);
    case "assert":
      return line(`assert ${printExpr(s.cond)} fault ${s.fault}`);
    case "swap":
      return line(`swap ${s.name} by ${printExpr(s.by)}`);
    case "barrier":
      return line("barrier");
  }
}

const printParam = (p: Param): string => (p.type === "ptr" && "bytes" in p ? `${p.name}: ${p.access} ${p.bytes}` : `${p.name}: ${p.type}`);

export function printFunc(f: Func): string {
  const result = f.result ? ` -> ${f.result.type}` : "";
  const body = f.body.map((s) => printStmt(s, "  ")).join("");
  const last = f.result ? `  ${printExpr(f.result)}\n` : "";
  const grid = f.grid ? ` grid ${f.grid.workgroups} of ${f.grid.size}` : "";
  const shared = (f.grid?.shared ?? []).map((a) => `  shared ${a.name}: ${a.memory} x ${a.length}\n`).join("");
  return `${f.doc ? `// ${f.doc}\n` : ""}func ${f.name}(${f.params.map(printParam).join(", ")})${result}${grid} {\n${shared}${body}${last}}\n`;
}

export function printProgram(p: Program): string {
  const faults = p.faults.map((f, i) => `// fault ${i}: ${f}\n`).join("");
  return `${p.functions.map(printFunc).join("\n")}\nentry ${p.entry}\n${faults}`;
}
