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
      const feature = FEATURES[e.kind];
      if (feature) found.add(feature);
    });
  return [...found].sort();
}

const FEATURES: Readonly<Partial<Record<Expr["kind"], string>>> = { dot_bytes: "byte-dots", dot_pairs: "byte-pairs" };

export const wasm = defineBackend({
  name: "wasm",
  doc: "WebAssembly with 128-bit SIMD: Node, browsers, edge workers, any wasm engine",
  variants: [
    // Where the relaxed dot product of bytes is exact for unsigned ones (x86 with VNNI in V8 13 and later).
    {
      name: "relaxed-dots",
      needs: ["simd", "relaxed-simd"],
      may: ["byte-dots", "byte-pairs"],
      can: { ...shared, fma: true, byteDots: true, bytePairs: true, accumulators: 10 },
    },
    // Where that of two bytes is (x86 in V8 12 and later): for weights alone of small integers.
    {
      name: "relaxed-pairs",
      needs: ["simd", "relaxed-simd"],
      may: ["byte-pairs"],
      can: { ...shared, fma: true, bytePairs: true, accumulators: 10 },
    },
    // Engines with relaxed SIMD on by default also keep program order, so that one register serves all loads (KERNELS.md 3).
    { name: "relaxed", needs: ["simd", "relaxed-simd"], can: { ...shared, fma: true, accumulators: 10 } },
    { name: "baseline", needs: ["simd"], can: { ...shared, fma: false, accumulators: 7 } },
  ],
  team: 8,
  async emit(program, variant) {
    const [relaxed, threads] = [variant.needs.includes("relaxed-simd"), variant.can.threads !== undefined];
    const uses = featuresOf(program);
    const own = uses.includes("byte-dots") ? "-dots" : uses.length > 0 ? "-pairs" : "";
    const name = variant.name.replace(/-dots|-pairs/, own);
    const code = name === "baseline" ? "model.wasm" : `model.${name}.wasm`;
    // V8 13.6 makes `v128.const` anew in every round of a loop; the engines without relaxed SIMD do not (NETWORKS.md 6).
    const { byteDots = false, bytePairs = false } = variant.can;
    const text = printModule(program, { relaxed, byteDots, bytePairs, constantsInMemory: relaxed, team: threads });
    return { code, files: { [code]: await assemble(text, relaxed, threads) }, uses };
  },
});

export { printModule } from "./print.ts";
