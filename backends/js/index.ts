// The JavaScript backend: an ES module that runs wherever JavaScript does, bit for bit what baseline wasm computes from the same kernels.

import { defineBackend } from "../../compiler/backend.ts";
import { printModule } from "./print.ts";

export const js = defineBackend({
  name: "js",
  doc: "Plain JavaScript over typed arrays: the fallback that runs anywhere, and the readable form of the kernels",
  variants: [{ name: "es2022", needs: [], can: { vectors: [], f16: false, fma: false, maths: ["rem"], accumulators: 8 } }],
  emit: (program) => ({ code: "kernels.js", files: { "kernels.js": printModule(program) } }),
});

export { printModule } from "./print.ts";
