// Module hooks for engines that do not read TypeScript themselves: .ts files that a config imports lose their types through ts-morph.

import { readFile } from "node:fs/promises";
import type { LoadHook, ResolveHook } from "node:module";
import { fileURLToPath } from "node:url";

/** The package's name means this package, wherever the config lies: one copy of it, also where none is installed beside the config. */
export const resolve: ResolveHook = (specifier, context, next) =>
  next(specifier, specifier === "sparsec" || specifier.startsWith("sparsec/") ? { ...context, parentURL: import.meta.url } : context);

export const load: LoadHook = async (url, context, next) => {
  if (!url.startsWith("file:") || !url.endsWith(".ts")) return next(url, context);
  const { ts } = await import("ts-morph");
  const { outputText, diagnostics = [] } = ts.transpileModule(await readFile(fileURLToPath(url), "utf8"), {
    fileName: fileURLToPath(url),
    reportDiagnostics: true,
    compilerOptions: { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2022, inlineSourceMap: true },
  });
  const [wrong] = diagnostics;
  if (wrong) {
    const line = wrong.file ? wrong.file.getLineAndCharacterOfPosition(wrong.start ?? 0).line + 1 : 0;
    throw new SyntaxError(`line ${line}: ${ts.flattenDiagnosticMessageText(wrong.messageText, " ")}`);
  }
  return { format: "module", source: outputText, shortCircuit: true };
};
