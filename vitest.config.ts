import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

const source = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

export default defineConfig({
  // Examples import the package by its name: here that is its source.
  resolve: {
    alias: [
      { find: /^sparsec$/, replacement: source("compiler/index.ts") },
      { find: /^sparsec\/(ir|backends|runtime)$/, replacement: source("$1/index.ts") },
      { find: /^sparsec\/testing$/, replacement: source("tests/conformance/index.ts") },
    ],
  },
  test: {
    include: ["tests/**/*.test.ts", "examples/**/*.test.ts"],
    testTimeout: 60_000,
    hookTimeout: 120_000,
    pool: "forks",
    maxWorkers: 2,
  },
});
