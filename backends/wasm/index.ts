// The WebAssembly backend: one module per variant, with and without relaxed SIMD.

import { type Capabilities, defineBackend } from "../../compiler/backend.ts";
import type { Expr, Program } from "../../ir/kernel/types.ts";
import { visitExpressions } from "../../ir/kernel/walk.ts";
import { assemble } from "./assemble.ts";
import { printModule } from "./print.ts";

const shared = {
  vectors: ["f32x4", "i32x4", "i16x8", "i8x16", "f64x2", "i64x2"],
  f16: false,
  maths: ["round_even"],
} satisfies Partial<Capabilities>;

/** Features that a program needs of engines besides what its variant does. */
function featuresOf(program: Program): readonly string[] {
  const found = new Set<string>();
  for (const f of program.functions)
    visitExpressions(f, (e) => {
      const feature = featureOf(e);
      if (feature) found.add(feature);
    });
  return [...found].sort();
}

/** The probe by which runtimes tell whether an engine's relaxed instruction does what is meant. */
function featureOf(e: Expr): string | undefined {
  if (e.kind === "dot_bytes") return e.read === "unsigned" ? "byte-dots" : "signed-byte-dots";
  if (e.kind === "dot_pairs") return e.small ? "small-byte-pairs" : "byte-pairs";
  return undefined;
}

/** What is used besides `relaxed-simd`, in names of files. */
const USED: readonly (readonly [feature: string, name: string])[] = [
  ["byte-dots", "-dots"],
  ["signed-byte-dots", "-signed-dots"],
  ["byte-pairs", "-pairs"],
  ["small-byte-pairs", "-small-pairs"],
];

export const wasm = defineBackend({
  name: "wasm",
  doc: "WebAssembly with 128-bit SIMD: Node, browsers, edge workers, any wasm engine",
  variants: [
    // Where the relaxed dot product of bytes is exact for unsigned ones (x86 with VNNI in V8 13 and later).
    {
      name: "relaxed-dots",
      needs: ["simd", "relaxed-simd"],
      may: ["byte-dots", "byte-pairs", "small-byte-pairs"],
      can: { ...shared, fma: true, byteDots: "unsigned", bytePairs: "unsigned", accumulators: 10 },
    },
    // Where it is for signed ones (ARM).
    {
      name: "relaxed-signed-dots",
      needs: ["simd", "relaxed-simd"],
      may: ["signed-byte-dots", "small-byte-pairs"],
      can: { ...shared, fma: true, byteDots: "signed", bytePairs: "small", accumulators: 10 },
    },
    // Where that of two bytes is (x86 in V8 12 and later): for weights alone of small integers.
    {
      name: "relaxed-pairs",
      needs: ["simd", "relaxed-simd"],
      may: ["byte-pairs", "small-byte-pairs"],
      can: { ...shared, fma: true, bytePairs: "unsigned", accumulators: 10 },
    },
    // Engines with relaxed SIMD on by default also keep program order, so that one register serves all loads (KERNELS.md 3).
    { name: "relaxed", needs: ["simd", "relaxed-simd"], can: { ...shared, fma: true, accumulators: 10 } },
    { name: "baseline", needs: ["simd"], can: { ...shared, fma: false, accumulators: 7 } },
  ],
  team: 8,
  async emit(program, variant) {
    const [relaxed, threads] = [variant.needs.includes("relaxed-simd"), variant.can.threads !== undefined];
    const uses = featuresOf(program);
    const [, own = ""] = USED.find(([feature]) => uses.includes(feature)) ?? [];
    const name = variant.name.replace(/(-signed)?-dots|-pairs/, own);
    const code = name === "baseline" ? "model.wasm" : `model.${name}.wasm`;
    // V8 13.6 makes `v128.const` anew in every round of a loop; the engines without relaxed SIMD do not (NETWORKS.md 6).
    const { byteDots, bytePairs } = variant.can;
    const text = printModule(program, { relaxed, byteDots, bytePairs, constantsInMemory: relaxed, team: threads });
    return { code, files: { [code]: await assemble(text, relaxed, threads) }, uses };
  },
});

export { printModule } from "./print.ts";
