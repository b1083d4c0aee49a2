// Finds and loads sparsec.config.ts (or .mjs, .js) and .sparsecrc. TypeScript is read natively where the engine can, else through ts-morph.

import { existsSync, readFileSync } from "node:fs";
import * as modules from "node:module";
import { dirname, join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { SparsecError } from "../../ir/diagnostics.ts";
import { CONFIG_FIELDS, type Config } from "../config.ts";
import { resolve as resolveHook } from "./typescript-hooks.ts";

const NAMES = ["sparsec.config.ts", "sparsec.config.mjs", "sparsec.config.js"];

const bad = (file: string, why: string, hint?: string): SparsecError => new SparsecError("bad-config", why, { file, name: "" }, hint);

/** The first of `names` in the folder or the nearest folder above it. */
function upward(folder: string, names: readonly string[]): string | undefined {
  for (let at = resolve(folder); ; at = dirname(at)) {
    const found = names.map((name) => join(at, name)).find((path) => existsSync(path));
    if (found !== undefined || dirname(at) === at) return found;
  }
}

/** The config file that holds for things in `folder`, if there is one. */
export const findConfig = (folder: string): string | undefined => upward(folder, NAMES);

function checkFields(file: string, value: unknown, fields: readonly string[]): void {
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw bad(file, `it holds ${String(value)}, not an object`);
  const unknown = Object.keys(value).filter((key) => !fields.includes(key));
  if (unknown.length > 0) throw bad(file, `no option is named '${unknown.join("', '")}'`, `options: ${fields.join(", ")}`);
}

/** What newer Node has beside `register`: hooks in this thread. */
interface SyncHooks {
  registerHooks?(hooks: { readonly resolve: typeof resolveHook }): unknown;
}

let hooked = false;

/** Lets configs import this package by its name, wherever they lie, and be TypeScript. */
function hook(): void {
  const bun = process.versions["bun"] !== undefined;
  if (hooked || bun) return;
  hooked = true;
  const native = Boolean((process.features as { readonly typescript?: unknown }).typescript);
  const { registerHooks } = modules as SyncHooks;
  if (native && registerHooks) registerHooks({ resolve: resolveHook });
  else modules.register(new URL(`./typescript-hooks${import.meta.url.endsWith(".ts") ? ".ts" : ".js"}`, import.meta.url));
}

/** Imports a config file. Errors: `bad-config`. */
export async function loadConfig(path: string): Promise<Config> {
  const file = resolve(path);
  if (!existsSync(file)) throw bad(path, "there is no such file");
  hook();
  let loaded: { readonly default?: unknown };
  try {
    loaded = (await import(/* @vite-ignore */ pathToFileURL(file).href)) as { readonly default?: unknown };
  } catch (e) {
    if (e instanceof SparsecError) throw e;
    throw bad(path, `it cannot be loaded: ${e instanceof Error ? e.message : String(e)}`);
  }
  if (loaded.default === undefined) throw bad(path, "it has no default export", "export default defineConfig({ ... })");
  checkFields(path, loaded.default, CONFIG_FIELDS);
  return loaded.default as Config;
}

/** Defaults that a project keeps in .sparsecrc, a JSON file. */
export interface Defaults {
  readonly device?: string;
  readonly sparsity?: "auto" | "off";
}

/** The nearest .sparsecrc in `folder` or above it; empty where there is none. Errors: `bad-config`. */
export function loadDefaults(folder: string): Defaults {
  const file = upward(folder, [".sparsecrc"]);
  if (file === undefined) return {};
  let value: unknown;
  try {
    value = JSON.parse(readFileSync(file, "utf8"));
  } catch (e) {
    throw bad(file, `it is no JSON: ${(e as Error).message}`);
  }
  checkFields(file, value, ["device", "sparsity"]);
  const { device, sparsity } = value as Readonly<Record<string, unknown>>;
  if (device !== undefined && typeof device !== "string") throw bad(file, "`device` is no string");
  if (sparsity !== undefined && sparsity !== "auto" && sparsity !== "off") throw bad(file, '`sparsity` is neither "auto" nor "off"');
  return value as Defaults;
}
