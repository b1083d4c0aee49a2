// Turbo: what an engine can do for kernels but does only when told. For the whole process and for good, hence only when asked for.

import { builtin } from "./builtin.ts";

export interface Turbo {
  readonly on: boolean;
  /** What was switched on, or why nothing was. */
  readonly why: string;
}

/** Flags by the versions of V8 (major, minor) that have them; V8 prints an error for one that it does not know. */
const FLAGS = [
  { from: [11, 3], to: [11, 3], flag: "--experimental-wasm-relaxed-simd", what: "relaxed SIMD" },
  { from: [14, 0], to: [99, 0], flag: "--experimental-wasm-revectorize", what: "vectors of 256 bits" },
] as const;

/** Switches turbo on where it is asked for, here or by the environment. Code that was compiled before stays as it is. */
export const turboFor = (asked: boolean | undefined): Turbo => {
  if (!(asked ?? globalThis.process?.env?.SPARSEC_TURBO === "1")) return { on: false, why: "not asked for" };
  const { v8: version, bun } = globalThis.process?.versions ?? {};
  const v8 = bun ? undefined : builtin("node:v8");
  if (!v8 || !version) return { on: false, why: "only Node lets a program switch on features of its engine" };
  const [major, minor] = version.split(".").map(Number) as [number, number];
  const rank = ([a, b]: readonly [number, number]): number => a * 1000 + b;
  const found = FLAGS.find(({ from, to }) => rank(from) <= rank([major, minor]) && rank([major, minor]) <= rank(to));
  if (!found) return { on: false, why: `V8 ${major}.${minor} has nothing to switch on` };
  v8.setFlagsFromString(found.flag);
  return { on: true, why: `${found.what}, by ${found.flag}` };
};
