// Prints a kernel program as an ES module: typed views over one ArrayBuffer, a function each, `run` as the way in.

import type { Expr } from "../../ir/kernel/types.ts";
import { type Func, isVector, type Program, type Stmt } from "../../ir/kernel/types.ts";
import { operands, visitStatements } from "../../ir/kernel/walk.ts";
import { errors } from "./diagnostics.ts";
import { type Printer, printElement, printExpression } from "./expression.ts";
import { FUNCTIONS, TAKEN, VIEWS } from "./prelude.ts";

const mentions = (e: Expr, name: string): boolean => (e.kind === "var" && e.name === name) || operands(e).some((x) => mentions(x, name));

function printBody(body: readonly Stmt[], p: Printer, indent: string): string {
  return body.map((s) => printStatement(s, p, indent)).join("");
}

function printRepeat(s: Stmt & { kind: "repeat" }, p: Printer, indent: string): string {
  // `again` sees the body's variables, JavaScript's `while` does not: those are declared outside.
  const outer = new Set(s.body.flatMap((x) => (x.kind === "let" && mentions(s.again, x.name) ? [x.name] : [])));
  const declared = outer.size > 0 ? `${indent}let ${[...outer].map(p.variable).join(", ")};\n` : "";
  const body = s.body.map((x): Stmt => (x.kind === "let" && outer.has(x.name) ? { ...x, kind: "set" } : x));
  return `${declared}${indent}do {\n${printBody(body, p, `${indent}  `)}${indent}} while (${printExpression(s.again, p)});\n`;
}

function printStatement(s: Stmt, p: Printer, indent: string): string {
  const line = (text: string): string => `${indent}${text}\n`;
  const block = (body: readonly Stmt[]): string => `{\n${printBody(body, p, `${indent}  `)}${indent}}`;
  switch (s.kind) {
    case "let":
      return line(`${p.isSet(s.name) ? "let" : "const"} ${p.variable(s.name)} = ${printExpression(s.value, p)};`);
    case "set":
      return line(`${p.variable(s.name)} = ${printExpression(s.value, p)};`);
    case "store": {
      const value = printExpression(s.value, p);
      return line(`${printElement(s.memory, s.ptr, s.offset, p)} = ${s.memory === "bool" ? `(${value}) ? 1 : 0` : value};`);
    }
    case "for": {
      const i = p.variable(s.name);
      const [from, to] = [printExpression(s.from, p), printExpression(s.to, p)];
      const end = s.to.kind === "const" ? to : `${i}$end`;
      const bound = s.to.kind === "const" ? "" : `, ${end} = ${to}`;
      return line(`for (let ${i} = ${from}${bound}; ${i} < ${end}; ${s.step === 1 ? `${i}++` : `${i} += ${s.step}`}) ${block(s.body)}`);
    }
    case "repeat":
      return printRepeat(s, p, indent);
    case "while":
      return line(`while (${printExpression(s.cond, p)}) ${block(s.body)}`);
    case "if": {
      const otherwise = s.else.length > 0 ? ` else ${block(s.else)}` : "";
      return line(`if (${printExpression(s.cond, p)}) ${block(s.then)}${otherwise}`);
    }
    case "call":
      return line(`${p.callee(s.name)}(${s.args.map((a) => printExpression(a, p)).join(", ")});`);
    case "assert": {
      const cond = printExpression(s.cond, p);
      return line(`if (!(${cond})) throw new Fault(${s.fault});`);
    }
    case "swap":
    case "barrier":
      throw errors.notLegal(p.func, `a ${s.kind}`);
  }
}

function printFunction(func: Func, functions: ReadonlySet<string>, use: (name: string) => string): string {
  const set = new Set<string>();
  visitStatements(func.body, (s) => {
    if (s.kind === "set") set.add(s.name);
  });
  const p: Printer = {
    func: func.name,
    isSet: (name) => set.has(name),
    // A dollar sign cannot occur in kernel names.
    variable: (name) => (TAKEN.has(name) || functions.has(name) ? `${name}$` : name),
    callee: (name) => (TAKEN.has(name) ? `${name}$` : name),
    use,
  };
  for (const { name, type } of func.params) if (isVector(type)) throw errors.notLegal(func.name, `'${name}', a ${type}`);
  const result = func.result ? `    return ${printExpression(func.result, p)};\n` : "";
  const body = printBody(func.body, p, "    ") + result;
  const doc = func.doc ? `  // ${func.doc}\n` : "";
  return `${doc}  function ${p.callee(func.name)}(${func.params.map((x) => p.variable(x.name)).join(", ")}) {\n${body}  }\n`;
}

/**
 * The module of a legalised program. `instantiate(buffer)` takes an ArrayBuffer of a multiple of 8 bytes and gives `run(weights, arena)`, which
 * takes byte addresses and returns the number of the assert that failed, or -1.
 */
export function printModule(program: Program): string {
  const entry = program.functions.find((f) => f.name === program.entry);
  if (!entry || entry.result || entry.params.length !== 2 || !entry.params.every((p) => p.type === "ptr"))
    throw errors.badEntry(program.entry);
  const used = new Set<string>();
  const use = (name: string): string => {
    used.add(name);
    return name;
  };
  const names = new Set(program.functions.map((f) => f.name));
  const functions = program.functions.map((f) => printFunction(f, names, use)).join("\n");
  const prelude = [...FUNCTIONS].flatMap(([name, text]) => (used.has(name) ? [`${text}\n`] : [])).join("");
  const views = [...VIEWS].flatMap(([name, type]) => (used.has(name) ? [`  const ${name} = new ${type}(buffer);\n`] : [])).join("");
  const main = TAKEN.has(entry.name) ? `${entry.name}$` : entry.name;
  return `// Kernels printed by sparsec. Pointers are byte addresses in one buffer.

${prelude}
class Fault {
  constructor(number) {
    this.number = number;
  }
}

export function instantiate(buffer) {
${views}
${functions}
  function run(weights, arena) {
    try {
      ${main}(weights, arena);
      return -1;
    } catch (thrown) {
      if (thrown instanceof Fault) return thrown.number;
      throw thrown;
    }
  }

  return { run };
}
`;
}
