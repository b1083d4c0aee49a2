// Other engines to run artifacts on: Node 24 and bun, from SPARSEC_NODE24 and SPARSEC_BUN or where .ci/run puts them (.cache/engines).

import { existsSync } from "node:fs";
import { join } from "node:path";
import { projectRoot, skipReason } from "./shared.ts";

export interface Engine {
  readonly name: string;
  /** The program; undefined (reason printed) where there is none. */
  readonly path: string | undefined;
}

const arch = process.arch === "arm64" ? "arm64" : "x64";
const installed = (...parts: readonly string[]): string => join(projectRoot, ".cache", "engines", "node_modules", ...parts);
const BUN_PACKAGE = arch === "x64" ? "bun-linux-x64-baseline" : "bun-linux-aarch64";

function engine(name: string, variable: string, place: string): Engine {
  const path = process.env[variable] ?? place;
  const missing = existsSync(path)
    ? undefined
    : `there is no ${name} to compare with; set ${variable} to one, or install it as .ci/run does`;
  return { name, path: skipReason("engines", missing) === undefined ? path : undefined };
}

/** Deno, whose WebGPU reads WGSL by other code than browsers' does. */
export const deno = (): Engine =>
  engine("deno", "SPARSEC_DENO", installed("@deno", arch === "x64" ? "linux-x64-glibc" : "linux-arm64-glibc", "deno"));

/** The engines that artifacts give the same bits on, this one first. */
export const engines = (): readonly Engine[] => [
  { name: `this Node (${process.version})`, path: process.execPath },
  engine("Node 24", "SPARSEC_NODE24", installed(`node-linux-${arch}`, "bin", "node")),
  engine("bun", "SPARSEC_BUN", installed("@oven", BUN_PACKAGE, "bin", "bun")),
];
