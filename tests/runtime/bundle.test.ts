// The runtime as a browser gets it: small, of one piece, without Node's modules and without code from strings.

import { gzipSync } from "node:zlib";
import { rolldown } from "rolldown";
import { expect, test } from "vitest";

const bundle = async (): Promise<{ readonly code: string; readonly imports: readonly string[]; readonly warnings: readonly string[] }> => {
  const warnings: string[] = [];
  const build = await rolldown({
    input: new URL("../../runtime/index.ts", import.meta.url).pathname,
    platform: "browser",
    onLog: (_, log) => void warnings.push(log.message),
  });
  const { output } = await build.generate({ format: "esm", minify: true });
  const chunks = output.filter((file) => file.type === "chunk");
  return {
    code: chunks.map((chunk) => chunk.code).join("\n"),
    imports: chunks.flatMap((chunk) => [...chunk.imports, ...chunk.dynamicImports]),
    warnings,
  };
};

test("at most 15 KB gzipped, nothing imported, no eval", async () => {
  const { code, imports, warnings } = await bundle();
  expect(imports).toEqual([]);
  expect(warnings).toEqual([]);
  expect(code).not.toMatch(/\beval\b|\bFunction\s*\(|\bimport\s*["'{]|from\s*["']|\brequire\s*\(/);
  const size = gzipSync(code, { level: 9 }).length;
  console.log(`runtime: ${size} bytes gzipped`);
  expect(size).toBeGreaterThan(2000);
  expect(size).toBeLessThanOrEqual(15 * 1024);
});
