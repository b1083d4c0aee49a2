// What a sparsec.config.ts holds: options of compiling and running that a project keeps in a file.

import type { Executor } from "../runtime/executor.ts";
import type { CompileOptions } from "./index.ts";

export interface Config extends Omit<CompileOptions, "onStage" | "onPass" | "log" | "debug" | "profile" | "cost"> {
  /** A file of `sparsec calibrate`, from the config's folder. */
  readonly cost?: string;
  /** The device that `run` and `diff` take where none is asked for: "auto", "wasm", "js", or a backend of your own. */
  readonly device?: string;
  /** Executors of your own backends; they come before the runtime's. */
  readonly executors?: readonly Executor[];
}

/** Identity at run time; checks and completes at writing time: `export default defineConfig({ ... })`. */
export const defineConfig = (config: Config): Config => config;

/** Every field that a config may have: any other is a mistake worth an error. */
export const CONFIG_FIELDS = [
  "backends",
  "place",
  "dims",
  "inputShapes",
  "batch",
  "constants",
  "sparsity",
  "threads",
  "quantize",
  "passes",
  "ops",
  "external",
  "cost",
  "types",
  "report",
  "device",
  "executors",
] as const satisfies readonly (keyof Config)[];
