// What is to be run: an artifact's folder, or a model compiled in memory for this engine.

import type { Tensor } from "../../ir/tensor.ts";
import { load, type Model } from "../../runtime/index.ts";
import { turboFor } from "../../runtime/turbo.ts";
import { type Artifact, type CompileReport, compileModel, resolveBackends } from "../index.ts";
import { isFolder, type Settings } from "./options.ts";
import { runnable } from "./runnable.ts";
import type { Terminal } from "./terminal.ts";

/** The backends to compile for, where it is only to run on `device`: "wasm:baseline" is a variant of "wasm". */
export const backendsFor = (device: string | undefined, { options }: Settings): NonNullable<Settings["options"]["backends"]> => {
  const all = options.backends ?? (options.place ? [] : ["wasm"]);
  if (device === undefined || device === "auto" || device === "parts") return all;
  const name = device.split(":")[0]!;
  return [all.find((b) => (typeof b === "string" ? b : b.name) === name) ?? name];
};

export interface Opened {
  /** Where it lies, or the artifact that was compiled just now. */
  readonly artifact: string | Artifact;
  /** What was decided; an artifact's folder has it as a file. */
  readonly report: CompileReport | undefined;
  /** Another instance, with memory of its own. */
  load(): Promise<Model>;
}

/** Errors: those of compiling. `given` are inputs that are known: they bring their shapes, so that symbolic dimensions need no flags. */
export async function open(
  path: string,
  given: ReadonlyMap<string, Tensor>,
  set: Settings,
  terminal: Terminal,
  threads: number | "auto" = 1,
): Promise<Opened> {
  const { config, device, turbo } = set;
  const how = { device, turbo, threads, ...(config.executors ? { executors: config.executors } : {}) };
  if (await isFolder(path)) return { artifact: path, report: undefined, load: () => load(path, how) };
  const shapes = Object.fromEntries([...given].map(([name, t]) => [name, t.shape]));
  const options = { ...set.options, inputShapes: { ...shapes, ...set.options.inputShapes }, report: false, threads: threads !== 1 };
  // Which variants run here may hang on it.
  turboFor(turbo);
  const named = resolveBackends({ backends: backendsFor(device, set) });
  const backends = await Promise.all(named.map((b) => runnable(b, device, config.executors ?? [])));
  const { artifact, report, notes } = await compileModel(path, { ...options, backends });
  for (const note of notes) terminal.note(`note: ${note}`);
  return { artifact, report, load: () => load(artifact, how) };
}
