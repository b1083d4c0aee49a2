// Prints a kernel program as one WebAssembly text module: a function each, memory imported, `run` exported.

import type { Capabilities } from "../../compiler/backend.ts";
import { type Func, isPacked, type Program, type Stmt } from "../../ir/kernel/types.ts";
import { visitStatements } from "../../ir/kernel/walk.ts";
import { type ConstantTable, createConstantTable } from "./constants.ts";
import { errors } from "./diagnostics.ts";
import { address, legalMemory, type Printer, printExpression, printPackedStore } from "./expression.ts";
import { STORE, type WasmType, wasmType } from "./instructions.ts";
import { printTeam } from "./team.ts";

interface Block extends Printer {
  readonly indent: string;
  label(): string;
}

const inner = (b: Block): Block => ({ ...b, indent: `${b.indent}  ` });

function printFor(s: Stmt & { kind: "for" }, b: Block): string {
  const at = `$${s.name}`;
  const label = b.label();
  const fixed = s.to.kind === "const";
  const end = fixed ? printExpression(s.to, b) : b.temporary("i32");
  const to = fixed ? end : `(local.get ${end})`;
  const certain = fixed && s.from.kind === "const" && Number(s.from.value) < Number((s.to as { value: number }).value);
  const head = `${b.indent}(local.set ${at} ${printExpression(s.from, b)})\n${fixed ? "" : `${b.indent}(local.set ${end} ${printExpression(s.to, b)})\n`}`;
  const inside = certain ? b : inner(inner(b));
  const next = `(i32.lt_s (local.tee ${at} (i32.add (local.get ${at}) (i32.const ${s.step}))) ${to})`;
  const loop = `${inside.indent}(loop ${label}\n${printBody(s.body, inner(inside))}${inside.indent}  (br_if ${label} ${next}))`;
  if (certain) return `${head}${loop}\n`;
  return `${head}${b.indent}(if (i32.lt_s (local.get ${at}) ${to})\n${b.indent}  (then\n${loop}))\n`;
}

function printStatement(s: Stmt, b: Block): string {
  const line = (text: string): string => `${b.indent}${text}\n`;
  switch (s.kind) {
    case "let":
    case "set":
      return line(`(local.set $${s.name} ${printExpression(s.value, b)})`);
    case "store": {
      if (isPacked(s.memory)) return line(printPackedStore(s.memory, s.ptr, s.offset, s.value, b));
      const { pointer, immediate } = address(s.ptr, s.offset, b);
      return line(`(${STORE[legalMemory(s.memory, b)]}${immediate} ${pointer} ${printExpression(s.value, b)})`);
    }
    case "for":
      return printFor(s, b);
    case "repeat": {
      const label = b.label();
      return line(`(loop ${label}\n${printBody(s.body, inner(b))}${b.indent}  (br_if ${label} ${printExpression(s.again, b)}))`);
    }
    case "while": {
      const [out, again] = [b.label(), b.label()];
      const deep = inner(inner(b));
      const stop = `${deep.indent}(br_if ${out} (i32.eqz ${printExpression(s.cond, b)}))\n`;
      return line(`(block ${out}\n${b.indent}  (loop ${again}\n${stop}${printBody(s.body, deep)}${deep.indent}(br ${again})))`);
    }
    case "if": {
      const deep = inner(inner(b));
      const otherwise = s.else.length > 0 ? `\n${b.indent}  (else\n${printBody(s.else, deep)}${b.indent}  )` : "";
      return line(`(if ${printExpression(s.cond, b)}\n${b.indent}  (then\n${printBody(s.then, deep)}${b.indent}  )${otherwise})`);
    }
    case "call":
      return line(`(call $${s.name}${s.args.map((a) => ` ${printExpression(a, b)}`).join("")})`);
    case "assert":
      // The host reads the fault from address 0 once the trap reaches it.
      return line(`(if (i32.eqz ${printExpression(s.cond, b)}) (then (i32.store (i32.const 0) (i32.const ${s.fault + 1})) (unreachable)))`);
    case "swap":
      throw errors.notLegal(b.func, "a swap");
    case "barrier":
      return line("(call $barrier)");
  }
}

const printBody = (body: readonly Stmt[], b: Block): string => body.map((s) => printStatement(s, b)).join("");

export function printFunction(func: Func, { relaxed, byteDots, bytePairs }: PrintOptions, constants?: ConstantTable): string {
  const locals: string[] = [];
  visitStatements(func.body, (s) => {
    if (s.kind === "let") locals.push(`(local $${s.name} ${wasmType(s.value.type)})`);
    if (s.kind === "for") locals.push(`(local $${s.name} i32)`);
  });
  let [temporaries, labels] = [0, 0];
  const block: Block = {
    func: func.name,
    relaxed,
    byteDots,
    bytePairs,
    constants,
    indent: "    ",
    // A dot cannot occur in the names of variables.
    temporary: (type: WasmType) => {
      const name = `$.${temporaries++}`;
      locals.push(`(local ${name} ${type})`);
      return name;
    },
    label: () => `$loop${labels++}`,
  };
  const body = printBody(func.body, block) + (func.result ? `${block.indent}${printExpression(func.result, block)}\n` : "");
  const params = func.params.map((p) => ` (param $${p.name} ${wasmType(p.type)})`).join("");
  const result = func.result ? ` (result ${wasmType(func.result.type)})` : "";
  const declared = locals.length > 0 ? `    ${locals.join(" ")}\n` : "";
  return `${func.doc ? `  ;; ${func.doc}\n` : ""}  (func $${func.name}${params}${result}\n${declared}${body}  )\n`;
}

export interface PrintOptions {
  readonly relaxed: boolean;
  /** How the relaxed dot product of bytes reads its second operand, where it is exact. */
  readonly byteDots?: Capabilities["byteDots"];
  /** Likewise that of two bytes. */
  readonly bytePairs?: Capabilities["bytePairs"];
  /** Whether vectors of equal constants are loaded from a table at the start of the memory. Default false: they are part of the code. */
  readonly constantsInMemory?: boolean;
  /** Whether teams of threads run it. Default false. */
  readonly team?: boolean;
}

/**
 * The module of a legalised program. It imports `env.memory` and exports `run(weights, arena)`, which returns -1; a failed assert stores its
 * fault number plus one at address 0 and traps. For a `team` the memory is shared, and there is more: see team.ts.
 */
export function printModule(program: Program, options: PrintOptions): string {
  const { constantsInMemory = false, team = false } = options;
  const entry = program.functions.find((f) => f.name === program.entry);
  if (!entry || entry.result || entry.params.length !== 2 || !entry.params.every((p) => p.type === "ptr"))
    throw errors.badEntry(program.entry);
  const constants = constantsInMemory ? createConstantTable() : undefined;
  const functions = program.functions.map((f) => printFunction(f, options, constants)).join("");
  const segment = constants?.segment() ?? "";
  if (team) return `(module\n  (import "env" "memory" (memory 1 32768 shared))\n${segment}${printTeam(program.entry)}${functions})\n`;
  const run = `  (func (export "run") (param $weights i32) (param $arena i32) (result i32)
    (call $${program.entry} (local.get $weights) (local.get $arena))
    (i32.const -1)
  )`;
  return `(module\n  (import "env" "memory" (memory 1))\n${segment}${functions}${run}\n)\n`;
}
