// The second WGSL front end: naga, as deno has it.

import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { deno } from "./engines.ts";
import { projectRoot } from "./shared.ts";

/** Why shaders are not shown to naga (printed), or undefined. Throws where SPARSEC_REQUIRE lists engines. */
export const nagaSkipped = (): string | undefined => (deno().path === undefined ? "there is no deno" : undefined);

/** The line of a problem that names an extension which naga, or deno's device, does not have. */
export const extensionLacking = (problem: string | null): string | undefined =>
  /^.*(?:enable-)?extension.* (?:not|unsupported).*$/m.exec(problem ?? "")?.[0];

/** What naga says against each WGSL text, or null when it is valid. */
export async function nagaProblems(texts: readonly string[]): Promise<readonly (string | null)[]> {
  const folder = await mkdtemp(join(tmpdir(), "sparsec-naga-"));
  try {
    const file = join(folder, "shaders.json");
    await writeFile(file, JSON.stringify(texts));
    const script = join(projectRoot, "tests", "support", "naga.mjs");
    const args = ["run", "--no-prompt", "--quiet", "--unstable-webgpu", `--allow-read=${folder}`, script, file];
    const { stdout } = await promisify(execFile)(deno().path!, args, { maxBuffer: 2 ** 26, timeout: 240_000 });
    return JSON.parse(stdout) as readonly (string | null)[];
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
