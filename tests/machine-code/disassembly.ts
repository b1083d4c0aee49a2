// The machine code that V8 makes of a wasm module (x64), as loops of instructions: what `--print-wasm-code` prints, read.

import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

interface Instruction {
  /** Byte in its function. */
  readonly at: number;
  readonly text: string;
}

export interface Loop {
  /** Number of its function in the module. */
  readonly func: number;
  readonly instructions: readonly string[];
}

const FLAGS = ["--print-wasm-code", "--no-liftoff", "--no-wasm-lazy-compilation"];
const COMPILE = "new WebAssembly.Module(require('node:fs').readFileSync(process.argv[1]))";

/** Whether a V8 has relaxed SIMD without a flag. */
export const isRelaxed = (node: string): boolean =>
  execFileSync(node, ["-p", "Number(process.versions.v8.split('.')[0]) >= 12"], { encoding: "utf8" }).trim() === "true";

/** What an engine prints of the module's optimised code. */
export function disassemble(node: string, code: Uint8Array): string {
  const folder = mkdtempSync(join(tmpdir(), "sparsec-code-"));
  try {
    const file = join(folder, "module.wasm");
    writeFileSync(file, code);
    return execFileSync(node, [...FLAGS, "-e", COMPILE, file], { encoding: "utf8", maxBuffer: 2 ** 28 });
  } finally {
    rmSync(folder, { recursive: true });
  }
}

const LINE = /^0x[0-9a-f]+\s+([0-9a-f]+)\s+[0-9a-f]+\s+(.*)$/;
const JUMP = /^j\w+ .*<\+0x([0-9a-f]+)>/;

/**
 * The innermost loops of all functions: what lies between a backward jump and its target, and holds neither another loop nor a call. What is
 * seldom run lies behind the loops and jumps back into them; it answers an interrupt by a call, and is no loop of theirs.
 */
export function innermostLoops(printed: string): Loop[] {
  return printed.split("--- WebAssembly code ---").flatMap((section) => {
    const func = Number(/^index: (\d+)$/m.exec(section)?.[1] ?? -1);
    const code = section.split("\n").flatMap((line): Instruction[] => {
      const [, at, text] = LINE.exec(line) ?? [];
      return at === undefined ? [] : [{ at: Number.parseInt(at, 16), text: text! }];
    });
    const loops = code.flatMap(({ at, text }) => {
      const from = Number.parseInt(JUMP.exec(text)?.[1] ?? "", 16);
      const inside = from <= at ? code.filter((i) => i.at >= from && i.at <= at) : [];
      return inside.length > 0 && !inside.some((i) => i.text.startsWith("call")) ? [{ from, to: at, inside }] : [];
    });
    return loops
      .filter((loop) => !loops.some((other) => other !== loop && other.from >= loop.from && other.to <= loop.to))
      .map((loop) => ({ func, instructions: loop.inside.map((i) => i.text) }));
  });
}

/** Whether a loop multiplies vectors: where a kernel's time goes. */
export const multiplies = (loop: Loop): boolean => loop.instructions.some((i) => /^v?(mulps|fn?madd\w*ps)\b/.test(i));

/** Instructions that move a vector to the stack or take it from there. */
export const spills = (loop: Loop): string[] => loop.instructions.filter((i) => /\[r[bs]p\b/.test(i) && /\bxmm/.test(i));
