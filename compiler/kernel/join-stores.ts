// Joins narrow stores that fill a word between them: a device stores whole words, and must otherwise spare the rest of each.

import { and, binary, bitcast, cast, i32, or, store } from "../../ir/kernel/build.ts";
import { type Expr, type Func, MEMORY_BYTES, type MemoryType, type Stmt } from "../../ir/kernel/types.ts";
import { mapStmt, operands, visitStatements } from "../../ir/kernel/walk.ts";
import type { KernelPass } from "./legalize.ts";

type Store = Stmt & { readonly kind: "store" };

const WORD = 4;
const NARROW: ReadonlySet<MemoryType> = new Set(["i8", "u8", "i16", "u16", "bool"]);

export const joinStores: KernelPass = {
  name: "join-stores",
  establishes: "narrow stores that fill a word are one, where the target is a device",
  run: (program, can) => (can.device ? { ...program, functions: program.functions.map((f) => (f.grid ? joined(f) : f)) } : program),
};

function joined(f: Func): Func {
  const pointers = new Map<string, Expr>();
  const moved = new Set<string>();
  visitStatements(f.body, (s) => {
    if (s.kind === "let" && s.value.type === "ptr") pointers.set(s.name, s.value);
    if (s.kind === "set") moved.add(s.name);
  });
  /** Whether a pointer is seen to be at a word's start, as parameters of kernels are. */
  const isAligned = (ptr: Expr): boolean => {
    if (ptr.kind === "advance") return isWords(ptr.bytes) && isAligned(ptr.ptr);
    if (ptr.kind !== "var" || moved.has(ptr.name)) return false;
    const known = pointers.get(ptr.name);
    return known === undefined || isAligned(known);
  };
  const block = (body: readonly Stmt[]): readonly Stmt[] => {
    const out: Stmt[] = [];
    for (let k = 0; k < body.length; k++) {
      const run = wordAt(body, k);
      if (run && isAligned(run[0]!.ptr)) {
        out.push(wordStore(run));
        k += run.length - 1;
      } else out.push(mapStmt(body[k]!, (e) => e, block));
    }
    return out;
  };
  return { ...f, body: block(f.body) };
}

/** Whether an i32 is seen to be a multiple of a word's bytes. */
function isWords(e: Expr): boolean {
  if (e.kind === "const") return Number(e.value) % WORD === 0;
  if (e.kind !== "binary") return false;
  if (e.op === "add" || e.op === "sub") return isWords(e.a) && isWords(e.b);
  return e.op === "mul" && (isWords(e.a) || isWords(e.b));
}

const readsMemory = (e: Expr): boolean => e.kind === "load" || operands(e).some(readsMemory);

/** Statements from `start` on that store a word, piece after piece, through one pointer. */
function wordAt(body: readonly Stmt[], start: number): readonly Store[] | undefined {
  const first = body[start]!;
  if (first.kind !== "store" || !NARROW.has(first.memory) || first.offset % WORD !== 0 || first.ptr.kind !== "var") return undefined;
  const { name } = first.ptr;
  const size = MEMORY_BYTES[first.memory];
  const run = body.slice(start, start + WORD / size);
  const follows = (s: Stmt, k: number): s is Store =>
    s.kind === "store" &&
    s.memory === first.memory &&
    s.ptr.kind === "var" &&
    s.ptr.name === name &&
    s.offset === first.offset + k * size &&
    !readsMemory(s.value);
  return run.length === WORD / size && run.every(follows) ? run : undefined;
}

function wordStore(run: readonly Store[]): Stmt {
  const [{ memory, ptr, offset }] = run as [Store];
  const bits = 8 * MEMORY_BYTES[memory];
  const pieces = run.map(({ value }, k): Expr => {
    const piece = memory === "bool" ? cast("i32", value) : and(value, i32(2 ** bits - 1));
    return k === 0 ? piece : binary("shl", piece, i32(k * bits));
  });
  return store("u32", ptr, bitcast("u32", pieces.reduce(or)), offset);
}
