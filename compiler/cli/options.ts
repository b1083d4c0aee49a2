// What to compile and how, from a command's flags, the nearest config file and .sparsecrc; flags win.

import { readFile, stat } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import { SparsecError } from "../../ir/diagnostics.ts";
import type { Config } from "../config.ts";
import { type CompileOptions, insertBefore, type Place, resolvePipeline } from "../index.ts";
import { readNpy } from "../npy.ts";
import { type Imposed, imposeSparsity } from "../passes/impose-sparsity.ts";
import { readCosts } from "./cost-file.ts";
import { type Flags, integer, pair, shape, usage } from "./flags.ts";
import { findConfig, loadConfig, loadDefaults } from "./load-config.ts";
import { quantizing } from "./quantizing.ts";
import type { Terminal } from "./terminal.ts";

export interface Settings {
  readonly options: CompileOptions;
  readonly config: Config;
  /** What to run on, where something says so. */
  readonly device: string | undefined;
  readonly turbo: boolean | undefined;
}

type Constant = NonNullable<CompileOptions["constants"]>[string];

/** An .npy file as a tensor. Errors: `unreadable`, and those of `readNpy`. */
export async function readArray(path: string): Promise<ReturnType<typeof readNpy>> {
  let bytes: Uint8Array;
  try {
    bytes = await readFile(path);
  } catch (e) {
    throw new SparsecError("unreadable", `cannot read the array: ${(e as Error).message}`, { file: path, name: "" });
  }
  return readNpy(bytes, path);
}

function element(text: string): number | bigint {
  if (text === "true" || text === "false") return text === "true" ? 1 : 0;
  const n = Number(text);
  if (text.trim() === "" || Number.isNaN(n)) throw usage(`--const: '${text}' is no number`, "a number, a list 1,2,3, or an .npy file");
  return Number.isInteger(n) && !Number.isSafeInteger(n) && /^-?\d+$/.test(text) ? BigInt(text) : n;
}

async function constant(text: string): Promise<Constant> {
  if (text.endsWith(".npy")) return readArray(text);
  if (!text.includes(",")) return element(text);
  const data = text.split(",").map((x) => Number(element(x)));
  return { data, shape: [data.length] };
}

async function constants(flags: Flags): Promise<Readonly<Record<string, Constant>>> {
  const given: [string, Constant][] = [];
  for (const text of flags.all("const")) {
    const [name, value] = pair("const", text);
    given.push([name, await constant(value)]);
  }
  return Object.fromEntries(given);
}

/** Whether the path is a folder: an artifact, where a model or an artifact may be given. */
export const isFolder = (path: string): Promise<boolean> =>
  stat(path).then(
    (s) => s.isDirectory(),
    () => false,
  );

/** `0.9` or `0.9:1x4`. */
function imposed(text: string): Imposed {
  const [part, block = "1x1"] = text.split(":");
  const zeros = Number(part);
  const [rows, columns, ...more] = shape("impose-sparsity", block);
  if (!(zeros > 0 && zeros < 1) || !rows || !columns || more.length > 0)
    throw usage(`--impose-sparsity is '${text}'`, "a part of all weights such as 0.9, or in blocks of rows x columns, 0.9:1x4");
  return { zeros, block: [rows, columns] };
}

/** The passes of the options, with weights zeroed before zeros are looked for. */
function imposing(text: string, config: Config, terminal: Terminal): NonNullable<CompileOptions["passes"]> {
  terminal.note("warning: --impose-sparsity zeroes weights without training: it tells of speed, and outputs are wrong");
  const pass = imposeSparsity(imposed(text));
  const passes = resolvePipeline(config);
  return passes.some((p) => p.name === "detect-sparsity") ? insertBefore(passes, "detect-sparsity", pass) : [...passes, pass];
}

/** Reads flags and files; `scheme` quantizes whatever the flags say. Errors: `usage`, `bad-config`, and those of arrays. */
export async function settings(flags: Flags, terminal: Terminal, scheme?: string): Promise<Settings> {
  const asked = flags.one("config");
  // Never from beside the model: a config is a program, and models come from anywhere.
  const file = asked === "none" ? undefined : (asked ?? findConfig(process.cwd()));
  if (file !== undefined && asked === undefined) terminal.note(`config: ${relative(process.cwd(), file)}`);
  const config = file === undefined ? {} : await loadConfig(file);
  const rc = loadDefaults(process.cwd());
  const { device: _, executors: __, cost: ___, ...defaults } = config;
  const sparsity = (flags.one("sparsity") ?? config.sparsity ?? rc.sparsity) as "auto" | "off" | undefined;
  const place = (flags.one("place") ?? config.place) as Place | undefined;
  const external = flags.is("external") ?? config.external;
  const batch = flags.one("batch");
  const costFile = flags.one("cost") ?? (config.cost === undefined ? undefined : join(dirname(file!), config.cost));
  const cost = costFile === undefined ? undefined : await readCosts(costFile);
  const impose = flags.one("impose-sparsity");
  const quantize = await quantizing(flags, scheme ?? flags.one("quantize"));
  const named = flags.list("backend");
  const own = new Map((config.backends ?? []).flatMap((b) => (typeof b === "string" ? [] : [[b.name, b] as const])));
  const options: CompileOptions = {
    ...defaults,
    ...(named.length > 0 ? { backends: named.map((name) => own.get(name) ?? name) } : {}),
    ...(place ? { place } : {}),
    ...(sparsity ? { sparsity } : {}),
    ...(impose === undefined ? {} : { passes: imposing(impose, config, terminal) }),
    ...(quantize ? { quantize } : {}),
    ...(external === undefined ? {} : { external }),
    ...(cost ? { cost } : {}),
    ...(batch === undefined ? {} : { batch: integer("batch", batch, 1) }),
    dims: {
      ...config.dims,
      ...Object.fromEntries(
        flags
          .all("dim")
          .map((t) => pair("dim", t))
          .map(([k, v]) => [k, integer("dim", v)]),
      ),
    },
    inputShapes: {
      ...config.inputShapes,
      ...Object.fromEntries(
        flags
          .all("input-shape")
          .map((t) => pair("input-shape", t))
          .map(([k, v]) => [k, shape("input-shape", v)]),
      ),
    },
    constants: { ...config.constants, ...(await constants(flags)) },
    debug: Number(process.env["SPARSEC_DEBUG"] ?? 0) || 0,
    log: (line) => terminal.note(line),
    onStage: (stage) => terminal.stage(stage),
  };
  const device = (flags.one("device") ?? process.env["SPARSEC_DEVICE"]) || rc.device || config.device;
  return { options, config, device, turbo: flags.is("turbo") };
}
