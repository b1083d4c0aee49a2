// `sparsec doctor`: what this machine can run, what is missing, and how to get it.

import { webgpu as backend } from "../../backends/index.ts";
import { SparsecError } from "../../runtime/diagnostics.ts";
import { webgpuExecutor } from "../../runtime/executors/webgpu.ts";
import { hasFeature } from "../../runtime/features.ts";
import type { Run } from "./commands.ts";
import { table } from "./table.ts";

interface Finding {
  readonly name: string;
  readonly ok: boolean;
  /** Whether compiling and running need it. */
  readonly required: boolean;
  readonly found: string;
  /** How to get it, where it is missing. */
  readonly hint: string | null;
}

const LEAST_NODE = [20, 19] as const;

function node(): Finding {
  const [major, minor] = process.versions.node.split(".").map(Number) as [number, number];
  const ok = major > LEAST_NODE[0] || (major === LEAST_NODE[0] && minor >= LEAST_NODE[1]);
  return {
    name: "node",
    ok,
    required: true,
    found: `${process.version}, V8 ${process.versions["v8"]}, ${process.platform} ${process.arch}`,
    hint: ok ? null : `install Node ${LEAST_NODE.join(".")} or newer`,
  };
}

const feature = (name: string, required: boolean, hint: string): Finding => {
  const ok = hasFeature(name);
  return { name, ok, required, found: ok ? "yes" : "no", hint: ok ? null : hint };
};

/** Whether a package can be loaded here, and its version. */
async function installed(name: string, required: boolean, purpose: string): Promise<Finding> {
  try {
    await import(name);
    return { name, ok: true, required, found: `installed (${purpose})`, hint: null };
  } catch {
    return { name, ok: false, required, found: `not installed (${purpose})`, hint: `npm install ${name}` };
  }
}

/** Whether there is an adapter, and which of the features that variants use it has. */
async function webgpu(): Promise<Finding> {
  const wants = (needs: readonly string[]) => webgpuExecutor.unsupported({ backend: backend.name, name: "", needs });
  const features = backend.variants.flatMap(({ may = [] }) => may);
  try {
    await wants([]);
    const lacking = await Promise.all(features.map(async (f) => (await wants([f])) !== undefined));
    const listed = (missing: boolean): string => features.filter((_, k) => lacking[k] === missing).join(", ");
    return {
      name: "webgpu",
      ok: true,
      required: false,
      found: `an adapter${listed(false) ? ` with ${listed(false)}` : ""}${listed(true) ? `, without ${listed(true)}` : ""}`,
      hint: null,
    };
  } catch (thrown) {
    if (!(thrown instanceof SparsecError)) throw thrown;
    return {
      name: "webgpu",
      ok: false,
      required: false,
      found: "no",
      hint: `${thrown.reason}; ${thrown.hint ?? "webgpu variants need it"}`,
    };
  }
}

function typescript(): Finding {
  const native = Boolean((process.features as { readonly typescript?: unknown }).typescript);
  return { name: "typescript-config", ok: true, required: false, found: native ? "read natively" : "read through ts-morph", hint: null };
}

export const run: Run = async (_flags, terminal) => {
  const findings: readonly Finding[] = [
    node(),
    feature("wasm", true, "run on an engine with WebAssembly"),
    feature("simd", false, "wasm variants need it: update the engine, or compile with --backend js"),
    feature("relaxed-simd", false, "faster variants need it: Node 22 or newer has it (Node 20: node --experimental-wasm-relaxed-simd)"),
    feature("threads", false, "an engine with SharedArrayBuffer; pages need cross-origin isolation"),
    await webgpu(),
    await installed("binaryen", true, "assembles wasm"),
    await installed("ts-morph", true, "typed modules, TypeScript configs"),
    typescript(),
  ];
  const healthy = findings.every((f) => f.ok || !f.required);
  if (terminal.json) terminal.document({ ok: healthy, checks: findings });
  else {
    const { colors: c } = terminal;
    const mark = (f: Finding): string => (f.ok ? "ok" : f.required ? "MISSING" : "-");
    const lines = table(findings.map((f) => [mark(f), f.name, f.found]));
    for (const [k, line] of lines.entries()) {
      const f = findings[k]!;
      terminal.out(f.ok ? line : (f.required ? c.red : c.yellow)(line));
      if (f.hint) terminal.out(`         ${f.hint}`);
    }
    terminal.out(healthy ? "\neverything that is needed is here" : "\nsomething that is needed is missing");
  }
  return healthy ? 0 : 1;
};
