import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";
import { BaseSequencer, type TestSpecification } from "vitest/node";

const source = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

/** Files that take a minute or more, the longest first: one that begins last leaves the other worker idle. */
const LONG = ["onnx/webgpu", "models/webgpu", "fuzz/models", "backends/webgpu", "models/labelled", "size", "models/reference"];

class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files);
    const place = (file: TestSpecification): number => {
      const at = LONG.findIndex((name) => file.moduleId.endsWith(`/tests/${name}.test.ts`));
      return at < 0 ? LONG.length : at;
    };
    return sorted.sort((a, b) => place(a) - place(b));
  }
}

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
    sequence: { sequencer: LongestFirst },
  },
});
