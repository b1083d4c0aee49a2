// The webgpu executor in a Node process of its own: it imports the package webgpu by itself, names it when it is missing, and lets go.

import { execFile } from "node:child_process";
import { cpSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Bundle, bundleSparsec } from "../support/bundle.ts";
import { webgpuSkipped } from "../support/webgpu.ts";
import { toyWebGPU } from "./toy-webgpu.ts";

const skipped = webgpuSkipped() !== undefined;
const temporary = mkdtempSync(join(tmpdir(), "sparsec-webgpu-"));
let bundle: Bundle;
let elsewhere: string;

beforeAll(async () => {
  bundle = await bundleSparsec();
  // A folder from which no package is found.
  elsewhere = join(temporary, "bundle");
  cpSync(bundle.folder, elsewhere, { recursive: true });
  await toyWebGPU().write(join(temporary, "toy.sparsec"));
});
afterAll(() => {
  bundle?.remove();
  rmSync(temporary, { recursive: true, force: true });
});

const node = async (folder: string, script: string): Promise<string> => {
  const path = join(folder, "script.mjs");
  writeFileSync(
    path,
    `import { load } from ${JSON.stringify(pathToFileURL(join(folder, "runtime.mjs")).href)};\nconst path = process.argv[2];\n${script}`,
  );
  // Ended by force, a process that does not exit fails the test.
  const { stdout } = await promisify(execFile)(process.execPath, [path, join(temporary, "toy.sparsec")], { timeout: 30_000 });
  return stdout;
};

describe.skipIf(skipped)("a process", () => {
  test("runs a model, and exits once that is disposed of", async () => {
    const script = `const model = await load(path, { device: "webgpu" });
      const { y } = await model.run({ x: Float32Array.of(1, 0, 2, 3), flag: Uint8Array.of(0) });
      model.dispose();
      console.log(model.info().backend, ...y.data);`;
    expect(await node(bundle.folder, script)).toBe("webgpu 7 0 13\n");
  });

  test("without the package is told so", async () => {
    const script = `await load(path, { device: "webgpu" }).catch((e) => console.log(e.code, e.message));`;
    const said = await node(elsewhere, script);
    expect(said).toMatch(/^no-webgpu Node has WebGPU by the package "webgpu", which cannot be loaded: .*\n {2}hint: npm install webgpu\n$/);
  });
});
