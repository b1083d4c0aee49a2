// The runtime as a browser gets it: small, of one piece, without Node's modules and without code from strings.

import { gzipSync } from "node:zlib";
import { rolldown } from "rolldown";
import { expect, test } from "vitest";

interface Chunk {
  readonly name: string;
  readonly code: string;
  readonly imports: readonly string[];
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
    .map(({ fileName, code, imports, dynamicImports }) => ({ name: fileName, code, imports: [...imports, ...dynamicImports] }));
  return { chunks, warnings };
};
const gzipped = (code: string): number => gzipSync(code, { level: 9 }).length;

test("at most 15 KB gzipped, nothing imported but the module for threads, no eval", async () => {
  const { chunks, warnings } = await bundle();
  const [main, threads, ...others] = chunks;
  expect(warnings).toEqual([]);
  expect(others).toEqual([]);
  expect(threads?.name).toMatch(/^threads-/);
  expect(main?.imports).toEqual([threads?.name]);
  expect(threads?.imports).toEqual([]);
  expect(main?.code).not.toMatch(/from\s*["']/);
  for (const { code } of chunks) expect(code).not.toMatch(/\beval\b|\bFunction\s*\(|\bimport\s*["'{]|\brequire\s*\(/);
  const [size, own] = [gzipped(main!.code), gzipped(threads!.code)];
  console.log(`runtime: ${size} bytes gzipped, for threads ${own} more`);
  expect(size).toBeGreaterThan(2000);
  expect(size).toBeLessThanOrEqual(15 * 1024);
  expect(own).toBeLessThanOrEqual(2 * 1024);
});
