// Runs the built command line as a process, building it first where it is older than its source.

import { execFile } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, rmSync, statSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll } from "vitest";
import { projectRoot } from "../support/shared.ts";

const execute = promisify(execFile);
const MAIN = join(projectRoot, "dist/compiler/cli/main.js");
const SOURCES = ["ir", "compiler", "backends", "runtime", "tests/conformance"];

const newest = (folder: string): number =>
  Math.max(
    0,
    ...readdirSync(folder, { recursive: true, encoding: "utf8" })
      .filter((name) => name.endsWith(".ts"))
      .map((name) => statSync(join(folder, name)).mtimeMs),
  );

const isStale = (): boolean => !existsSync(MAIN) || statSync(MAIN).mtimeMs < Math.max(...SOURCES.map((s) => newest(join(projectRoot, s))));

/** Builds dist/ where it is missing or old; test files that run at the same time wait for one another. */
async function build(): Promise<void> {
  const lock = join(tmpdir(), `sparsec-build-${Buffer.from(projectRoot).toString("hex").slice(-24)}`);
  for (let waited = 0; ; waited += 100) {
    try {
      mkdirSync(lock);
      break;
    } catch {
      // A build that died leaves its lock behind.
      if (waited > 90_000) rmSync(lock, { recursive: true, force: true });
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
  try {
    if (isStale()) await execute("npm", ["run", "--silent", "build"], { cwd: projectRoot });
  } catch (e) {
    throw new Error(`the build failed\n${(e as { readonly stdout?: string }).stdout ?? String(e)}`);
  } finally {
    rmSync(lock, { recursive: true, force: true });
  }
}

export interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Variables of this process that would change what the command does. */
const NEUTRAL = {
  SPARSEC_DEVICE: undefined,
  SPARSEC_DEBUG: undefined,
  SPARSEC_TURBO: undefined,
  FORCE_COLOR: undefined,
  NODE_OPTIONS: undefined,
};

/** Runs `sparsec` with arguments. */
export async function sparsec(
  args: readonly string[],
  options: { readonly env?: NodeJS.ProcessEnv; readonly cwd?: string } = {},
): Promise<Ended> {
  const how = {
    encoding: "utf8",
    cwd: options.cwd ?? tmpdir(),
    env: { ...process.env, ...NEUTRAL, ...options.env },
    maxBuffer: 2 ** 26,
    timeout: 60_000,
  } as const;
  try {
    return { code: 0, ...(await execute(process.execPath, [MAIN, ...args], how)) };
  } catch (e) {
    const { code, stdout, stderr } = e as { readonly code: number; readonly stdout: string; readonly stderr: string };
    return { code, stdout, stderr };
  }
}

/** Runs a command that must end with `code` (0), with --json; gives its document. */
export async function document<T>(args: readonly string[], code = 0, env: NodeJS.ProcessEnv = {}, cwd?: string): Promise<T> {
  const ended = await sparsec([...args, "--json"], { env, ...(cwd === undefined ? {} : { cwd }) });
  if (ended.code !== code) throw new Error(`exit code ${ended.code}, expected ${code}\n${ended.stdout}\n${ended.stderr}`);
  return JSON.parse(ended.stdout) as T;
}

export interface Failed {
  readonly error: { readonly code: string; readonly message: string; readonly hint: string | null; readonly inputs?: readonly string[] };
}

/** A folder for the test file, removed at its end, with the command line built. Gives paths in it. */
export function workFolder(): (name: string) => string {
  let folder = "";
  beforeAll(async () => {
    await build();
    folder = await mkdtemp(join(tmpdir(), "sparsec-cli-"));
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));
  return (name) => join(folder, name);
}
