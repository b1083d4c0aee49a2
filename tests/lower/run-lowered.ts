// Runs one lowering on its own: binds its parameters to buffers, expands its streams as a loader would, and calls it as interpreted or as wasm.

import { assemble } from "../../backends/wasm/assemble.ts";
import { printModule } from "../../backends/wasm/index.ts";
import type { Capabilities } from "../../compiler/backend.ts";
import { createImage } from "../../compiler/image.ts";
import { legalize } from "../../compiler/kernel/legalize.ts";
import { shareOut } from "../../compiler/kernel/share-out.ts";
import { type Lowered, type Packed, packedBytes } from "../../compiler/lower/template.ts";
import { createWeightsWriter } from "../../compiler/weights-writer.ts";
import { advance, callStmt, i32, mul, pointer, team, variable } from "../../ir/kernel/build.ts";
import { interpret } from "../../ir/kernel/interpret.ts";
import { sharedFunctions } from "../../ir/kernel/team.ts";
import type { Program } from "../../ir/kernel/types.ts";
import { fillImage } from "../../runtime/sections.ts";

/** The bytes that a kernel sees of packed data. */
export function expand(p: Packed): Uint8Array {
  const file = createWeightsWriter();
  const image = createImage(file);
  const at = image.packed(p);
  const bytes = new Uint8Array(Math.max(16, image.bytes));
  fillImage(bytes, file.finish(), image.sections);
  return bytes.slice(at, at + packedBytes(p));
}

/** One buffer per parameter of the entry; scratch is filled with garbage. */
export function buffers(lowered: Lowered, operands: readonly Uint8Array[], results: readonly Uint8Array[]): Uint8Array[] {
  return lowered.bindings.map((b) => {
    switch (b.kind) {
      case "operand":
        return operands[b.operand]!;
      case "result":
        return results[b.result]!;
      case "packed":
        return expand(b.packed);
      case "scratch":
        return new Uint8Array(b.bytes).fill(0xff);
    }
  });
}

const programOf = (lowered: Lowered): Program => ({ functions: lowered.functions, entry: lowered.entry, faults: lowered.faults });

/** Runs in the interpreter, every access checked. Results are written in place. Teams of threads must come to the same. */
export function runInterpreted(lowered: Lowered, operands: readonly Uint8Array[], results: readonly Uint8Array[]): void {
  const before = results.map((bytes) => bytes.slice());
  interpret(
    programOf(lowered),
    lowered.entry,
    buffers(lowered, operands, results).map((bytes) => ({ bytes })),
  );
  if (sharedFunctions(lowered.functions).size === 0) return;
  const found = before.map((bytes) => bytes.slice());
  runTeam(lowered, operands, found, 3);
  found.forEach((bytes, k) => {
    if (!Buffer.from(bytes).equals(results[k]!)) throw new Error("three threads do not come to what one does");
  });
}

/** The same by a team of threads, each with scratch of its own where the kernel says so. */
function runTeam(lowered: Lowered, operands: readonly Uint8Array[], results: readonly Uint8Array[], threads: number): void {
  const apart = lowered.bindings.map((b) => (b.kind === "scratch" && b.each ? roundUp(b.bytes) : 0));
  const given = buffers(lowered, operands, results).map((bytes, i) =>
    apart[i]! > 0 ? new Uint8Array(apart[i]! * threads).fill(0xff) : bytes,
  );
  const entry = lowered.functions.find((f) => f.name === lowered.entry)!;
  const params = entry.params.map((p, i) => (p.type === "ptr" && "bytes" in p ? { ...p, bytes: given[i]!.length } : p));
  const args = params.map((p, i) => {
    const ptr = variable(p.name, "ptr");
    return apart[i]! > 0 ? advance(ptr, mul(team("rank"), i32(apart[i]!))) : ptr;
  });
  const program = { functions: [...lowered.functions, { name: "everyone", params, body: [callStmt(lowered.entry, args)] }] };
  interpret(
    shareOut.run({ ...program, entry: "everyone", faults: lowered.faults }, { ...NO_VECTORS, threads }),
    "everyone",
    given.map((bytes) => ({ bytes })),
    { threads },
  );
}
/** What sharing out work asks of a target: threads alone. */
const NO_VECTORS: Capabilities = { vectors: [], f16: false, fma: false, maths: [], accumulators: 1 };

const roundUp = (n: number): number => Math.ceil(n / 64) * 64;

/** A kernel assembled for wasm: `run` executes it once on the memory as it is. */
export interface WasmKernel {
  readonly text: string;
  readonly run: () => void;
  /** The memory of each parameter of the lowering's entry. */
  readonly views: readonly Uint8Array[];
}

/** A lowering as the text of a module whose memory holds the buffers of its parameters, one after the other. */
export function wasmText(
  lowered: Lowered,
  can: Capabilities,
  all: readonly Uint8Array[],
): { readonly text: string; readonly offsets: readonly number[]; readonly end: number } {
  const offsets: number[] = [];
  let end = 1024;
  for (const b of all) {
    offsets.push(end);
    end += roundUp(b.length) + 64;
  }
  const base = variable("arena", "ptr");
  const program: Program = legalize(
    {
      functions: [
        ...lowered.functions,
        {
          name: "run",
          params: [pointer("weights", "readwrite", end), pointer("arena", "readwrite", end)],
          body: [
            callStmt(
              lowered.entry,
              offsets.map((o) => advance(base, i32(o))),
            ),
          ],
        },
      ],
      entry: "run",
      faults: lowered.faults,
    },
    can,
  );
  return { text: printModule(program, { relaxed: can.fma }), offsets, end };
}

export async function wasmKernel(
  lowered: Lowered,
  can: Capabilities,
  operands: readonly Uint8Array[],
  results: readonly Uint8Array[],
): Promise<WasmKernel> {
  const all = buffers(lowered, operands, results);
  const { text, offsets, end } = wasmText(lowered, can, all);
  const memory = new WebAssembly.Memory({ initial: Math.ceil(end / 65536) });
  const views = all.map((b, i) => {
    const view = new Uint8Array(memory.buffer, offsets[i]!, b.length);
    view.set(b);
    return view;
  });
  const code = await assemble(text, can.fma);
  const { instance } = await WebAssembly.instantiate(code as BufferSource, { env: { memory } });
  const run = instance.exports.run as (weights: number, arena: number) => number;
  return { text, views, run: () => void run(0, 0) };
}

/** Runs as wasm; what it wrote is copied back to `results`. */
export async function runWasm(
  lowered: Lowered,
  can: Capabilities,
  operands: readonly Uint8Array[],
  results: readonly Uint8Array[],
): Promise<void> {
  const kernel = await wasmKernel(lowered, can, operands, results);
  kernel.run();
  lowered.bindings.forEach((b, i) => {
    if (b.kind === "result") results[b.result]!.set(kernel.views[i]!);
  });
}
