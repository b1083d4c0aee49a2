// Runs kernel programs on every backend that this engine has, and on the interpreter.

import v8 from "node:v8";
import { js } from "../../backends/js/index.ts";
import { wasm } from "../../backends/wasm/index.ts";
import type { Backend, Variant } from "../../compiler/backend.ts";
import { legalize } from "../../compiler/kernel/legalize.ts";
import { pointer } from "../../ir/kernel/build.ts";
import { interpret } from "../../ir/kernel/interpret.ts";
import type { Func, Program, Stmt } from "../../ir/kernel/types.ts";
import type { VariantManifest } from "../../runtime/artifact.ts";
import type { HostExecutor, Instance } from "../../runtime/executor.ts";
import { jsExecutor } from "../../runtime/executors/js.ts";
import { wasmExecutor } from "../../runtime/executors/wasm.ts";

export interface Target {
  readonly name: string;
  readonly backend: Backend;
  readonly variant: Variant;
  readonly executor: HostExecutor;
}

const all: readonly Target[] = [
  { backend: js, executor: jsExecutor },
  { backend: wasm, executor: wasmExecutor },
].flatMap(({ backend, executor }) =>
  backend.variants.map((variant) => ({ name: `${backend.name}:${variant.name}`, backend, variant, executor })),
);

// Node 20 has relaxed SIMD behind a flag that also works at run time.
if (Number.parseInt(process.versions.node, 10) < 22) v8.setFlagsFromString("--experimental-wasm-relaxed-simd");

const manifestOf = (variant: Variant, backend: string, weights: number, arena: number): VariantManifest => ({
  backend,
  name: variant.name,
  needs: variant.needs,
  code: "",
  weights,
  arena,
  sections: [],
  inputs: [],
  outputs: [],
  faults: [],
  steps: [],
});

const reasons = await Promise.all(all.map(async (t) => t.executor.unsupported(manifestOf(t.variant, t.backend.name, 0, 0))));

/** The targets that run here; each test of a backend is run for all of them. */
export const targets: readonly Target[] = all.filter((_, i) => reasons[i] === undefined);
all.forEach((t, i) => {
  if (reasons[i]) console.log(`${t.name} is not tested: ${reasons[i]}`);
});

/** A program whose entry reads and writes one arena. */
export const arenaProgram = (
  body: readonly Stmt[],
  bytes: number,
  functions: readonly Func[] = [],
  faults: readonly string[] = [],
): Program => ({
  functions: [...functions, { name: "main", params: [pointer("weights", "read", 0), pointer("arena", "readwrite", bytes)], body }],
  entry: "main",
  faults,
});

export async function instantiate(program: Program, target: Target, bytes: number): Promise<Instance> {
  const { code, files } = await target.backend.emit(legalize(program, target.variant.can), target.variant);
  const file = files[code]!;
  const contents = typeof file === "string" ? new TextEncoder().encode(file) : file;
  return target.executor.instantiate({ bytes: contents }, manifestOf(target.variant, target.backend.name, 0, bytes));
}

/** The fault and the arena after a run on a copy of `arena`. */
export async function runOn(
  target: Target,
  program: Program,
  arena: Uint8Array,
): Promise<{ fault: number; arena: Uint8Array<ArrayBuffer> }> {
  const instance = await instantiate(program, target, arena.length);
  const view = new Uint8Array(instance.buffer, instance.arena, arena.length);
  view.set(arena);
  const fault = await instance.run();
  return { fault, arena: Uint8Array.from(view) };
}

export function runInterpreter(program: Program, arena: Uint8Array): { fault: number; arena: Uint8Array<ArrayBuffer> } {
  const copy = Uint8Array.from(arena);
  const { fault } = interpret(program, program.entry, [{ bytes: new Uint8Array(0) }, { bytes: copy }]);
  return { fault, arena: copy };
}
