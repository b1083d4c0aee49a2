// The runtime as a browser gets it: small, of one piece, without Node's modules and without code from strings.

import { gzipSync } from "node:zlib";
import { rolldown } from "rolldown";
import { expect, test } from "vitest";

interface Chunk {
  readonly name: string;
  readonly code: string;
  /** Chunks that it imports; those at once. */
  readonly imports: readonly string[];
  readonly eager: readonly string[];
}

const bundle = async (): Promise<{ readonly chunks: readonly Chunk[]; readonly warnings: readonly string[] }> => {
  const warnings: string[] = [];
  const build = await rolldown({
    input: new URL("../../runtime/index.ts", import.meta.url).pathname,
    platform: "browser",
    onLog: (_, log) => void warnings.push(log.message),
  });
  const { output } = await build.generate({ format: "esm", minify: true });
  const chunks = output
    .filter((file) => file.type === "chunk")
    .map(({ fileName, code, imports, dynamicImports }) => ({
      name: fileName,
      code,
      imports: [...imports, ...dynamicImports],
      eager: imports,
    }));
  return { chunks, warnings };
};
const gzipped = (code: string): number => gzipSync(code, { level: 9 }).length;

test("the core and each executor have at most 15 KB gzipped; what is not used is not loaded; no eval", async () => {
  const { chunks, warnings } = await bundle();
  expect(warnings).toEqual([]);
  const sizes = new Map(chunks.map(({ name, code }) => [name.split("-")[0]!, gzipped(code)]));
  console.log(`runtime, bytes gzipped: ${[...sizes].map(([name, size]) => `${name} ${size}`).join(", ")}`);
  for (const { code, imports } of chunks) {
    expect(code).not.toMatch(/\beval\b|\bFunction\s*\(|\brequire\s*\(/);
    for (const name of imports) expect(chunks.map((chunk) => chunk.name)).toContain(name);
  }
  // The core, with what it needs at once, whatever pieces it comes in.
  const byName = new Map(chunks.map((chunk) => [chunk.name, chunk]));
  const core = new Set<string>();
  const take = (name: string): void => {
    if (core.has(name)) return;
    core.add(name);
    for (const next of byName.get(name)!.eager) take(next);
  };
  take(chunks[0]!.name);
  const size = (names: Iterable<string>): number => [...names].reduce((sum, name) => sum + gzipped(byName.get(name)!.code), 0);
  expect(size(core)).toBeGreaterThan(2000);
  expect(size(core)).toBeLessThanOrEqual(15 * 1024);
  for (const [name, own] of sizes) if (!core.has(name)) expect(own).toBeLessThanOrEqual(15 * 1024);
  expect([...core].some((name) => /^(wasm|js|webgpu|threads)-/.test(name))).toBe(false);
  expect(sizes.get("threads")).toBeLessThanOrEqual(2 * 1024);
});
