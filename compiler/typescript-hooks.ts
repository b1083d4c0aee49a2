// Module hooks for engines that do not read TypeScript themselves: .ts files that a config imports lose their types through ts-morph.

import { readFile } from "node:fs/promises";
import type { LoadHook, ResolveHook } from "node:module";
import { fileURLToPath } from "node:url";

/** The package means itself, wherever the config lies: one copy of it, also where it is not installed beside the config. */
export const resolve: ResolveHook = (specifier, context, next) =>
  specifier === "sparsec" || specifier.startsWith("sparsec/")
    ? { url: import.meta.resolve(specifier), shortCircuit: true }
    : next(specifier, context);

export const load: LoadHook = async (url, context, next) => {
  if (!url.startsWith("file:") || !url.endsWith(".ts")) return next(url, context);
  const { ts } = await import("ts-morph");
  const { outputText } = ts.transpileModule(await readFile(fileURLToPath(url), "utf8"), {
    fileName: fileURLToPath(url),
    compilerOptions: { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2022, inlineSourceMap: true },
  });
  return { format: "module", source: outputText, shortCircuit: true };
};
