// sparsec as plain JavaScript for child processes, which (on Node 20) cannot import TypeScript: made from the sources as they are.

import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { rolldown } from "rolldown";
import { projectRoot } from "./shared.ts";

export interface Bundle {
  /** ES modules: what `sparsec` and `sparsec/runtime` export. Threads find their file beside them. */
  readonly compiler: string;
  readonly runtime: string;
  readonly folder: string;
  remove(): void;
}

/** In a new folder within the project, so that packages resolve; the caller removes it. */
export async function bundleSparsec(): Promise<Bundle> {
  const cache = join(projectRoot, ".cache");
  mkdirSync(cache, { recursive: true });
  const folder = mkdtempSync(join(cache, "bundle-"));
  const build = await rolldown({
    input: {
      compiler: join(projectRoot, "compiler/index.ts"),
      runtime: join(projectRoot, "runtime/index.ts"),
      worker: join(projectRoot, "runtime/worker.ts"),
    },
    platform: "node",
    external: /^[^./]/,
  });
  await build.write({
    dir: folder,
    format: "esm",
    entryFileNames: ({ name }) => (name === "worker" ? "worker.js" : "[name].mjs"),
    chunkFileNames: "[name]-[hash].mjs",
  });
  return {
    compiler: join(folder, "compiler.mjs"),
    runtime: join(folder, "runtime.mjs"),
    folder,
    remove: () => rmSync(folder, { recursive: true, force: true }),
  };
}
