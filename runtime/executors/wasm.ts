// Runs the variants of the wasm backend: one module, one memory of the size that the manifest states.

import type { VariantManifest } from "../artifact.ts";
import { errors } from "../diagnostics.ts";
import { aligned, type Code, type HostExecutor, type Instance, RESERVED, type Requirements } from "../executor.ts";
import { hasFeature } from "../features.ts";
import type { Team, TeamExports } from "../threads.ts";

const PAGE = 65536;
/** Bytes kept free at the start of a shared memory: threads meet there, too. */
const RESERVED_FOR_TEAMS = 2560;

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

function unsupported(variant: Requirements): string | undefined {
  if (!hasFeature("wasm")) return "there is no WebAssembly here";
  const missing = variant.needs.filter((need) => !hasFeature(need));
  if (missing.length === 0) return undefined;
  const isolated =
    missing.includes("threads") && globalThis.crossOriginIsolated === false ? ", as the page is not cross-origin isolated" : "";
  return `the engine lacks ${missing.join(" and ")}${isolated}`;
}

async function instantiate(code: Code, variant: VariantManifest): Promise<Instance> {
  const module = await compiled(code);
  const shared = variant.threads !== undefined;
  const weights = shared ? RESERVED_FOR_TEAMS : RESERVED;
  const arena = aligned(weights + variant.weights);
  const pages = Math.ceil((arena + variant.arena) / PAGE);
  const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared });
  const { exports } = await WebAssembly.instantiate(module, { env: { memory } });
  const run = exports.run as Run;
  const fault = new Int32Array(memory.buffer, 0, 1);
  const alone: Instance = {
    buffer: memory.buffer,
    weights,
    arena,
    run() {
      try {
        return run(weights, arena);
      } catch (trap) {
        // Whoever trapped, all threads end the run before it is reported.
        (exports.settle as (() => void) | undefined)?.();
        // A failed assert stores its number plus one, then traps; any other trap is none of the program's faults.
        const number = fault[0]! - 1;
        if (number < 0) throw trap;
        fault[0] = 0;
        return number;
      }
    },
    dispose() {},
  };
  return shared ? inTeam(alone, variant, module, memory, exports as unknown as TeamExports) : alone;
}

/** The same by a team of threads, of one until `gather` finds that more pay. */
function inTeam(
  alone: Instance,
  variant: VariantManifest,
  module: WebAssembly.Module,
  memory: WebAssembly.Memory,
  exports: TeamExports,
): Instance {
  let team: Team | undefined;
  const { weights, arena } = alone;
  // Where a loop hangs on data, a run without inputs might not end.
  const measurable = !variant.steps.some((s) => s.kernel === "loop");
  const trial = (): void => {
    if (alone.run() !== -1) throw errors.trap(variant.name, "inputs are missing");
  };
  return {
    ...alone,
    async gather(wanted, calibrate) {
      const { startTeam } = await import("../threads.ts");
      const most = Math.min(wanted, variant.threads!);
      team = await startTeam({ module, memory, exports, weights, arena }, most, calibrate, measurable ? trial : undefined);
      return team;
    },
    dispose: () => team?.dispose(),
  };
}

export const wasmExecutor = { backend: "wasm", unsupported, instantiate } satisfies HostExecutor;
