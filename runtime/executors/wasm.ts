// Runs the variants of the wasm backend: one module, one memory of the size that the manifest states.

import type { VariantManifest } from "../artifact.ts";
import { errors } from "../diagnostics.ts";
import { aligned, type Code, type Executor, type Instance, RESERVED } from "../executor.ts";
import { hasFeature } from "../features.ts";

const PAGE = 65536;

type Run = (weights: number, arena: number) => number;

async function compiled(code: Code): Promise<WebAssembly.Module> {
  if (code.module instanceof WebAssembly.Module) return code.module;
  if (code.module !== undefined) throw errors.badOption("the module of a wasm variant is a WebAssembly.Module");
  if (code.bytes) return WebAssembly.compile(code.bytes as Uint8Array<ArrayBuffer>);
  if (!code.url) throw errors.badOption("a wasm variant needs its bytes, its URL or a compiled module");
  const response = await fetch(code.url);
  if (!response.ok) throw errors.unreadable(code.url.href, `HTTP status ${response.status}`);
  return WebAssembly.compile(await response.arrayBuffer());
}

function unsupported(variant: VariantManifest): string | undefined {
  if (!hasFeature("wasm")) return "there is no WebAssembly here";
  const missing = variant.needs.filter((need) => !hasFeature(need));
  return missing.length > 0 ? `the engine lacks ${missing.join(" and ")}` : undefined;
}

async function instantiate(code: Code, variant: VariantManifest): Promise<Instance> {
  const module = await compiled(code);
  const weights = RESERVED;
  const arena = aligned(weights + variant.weights);
  const pages = Math.ceil((arena + variant.arena) / PAGE);
  const memory = new WebAssembly.Memory({ initial: pages, maximum: pages });
  const { exports } = await WebAssembly.instantiate(module, { env: { memory } });
  const run = exports.run as Run;
  const fault = new Int32Array(memory.buffer, 0, 1);
  return {
    buffer: memory.buffer,
    weights,
    arena,
    run() {
      try {
        return run(weights, arena);
      } catch (trap) {
        // A failed assert stores its number plus one, then traps; any other trap is none of the program's faults.
        const number = fault[0]! - 1;
        if (number < 0) throw trap;
        fault[0] = 0;
        return number;
      }
    },
    dispose() {},
  };
}

export const wasmExecutor: Executor = { backend: "wasm", unsupported, instantiate };
