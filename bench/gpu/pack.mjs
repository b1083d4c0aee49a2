// Brings bench/gpu to another machine: one file of it and of the compiler, and Dawn's program for this platform. Nothing else is needed there
// but Node: `node FOLDER/bench-gpu.mjs`.
// Usage: node bench/gpu/pack.mjs FOLDER

import { cpSync, mkdirSync, readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { rolldown } from "rolldown";

const [folder] = process.argv.slice(2);
if (!folder) {
  console.error("node bench/gpu/pack.mjs FOLDER");
  process.exit(2);
}
const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
mkdirSync(folder, { recursive: true });
const bundle = await rolldown({
  input: join(root, "bench/gpu/index.mjs"),
  platform: "node",
  // Of these only the named parts are used when kernels are for WebGPU.
  external: ["webgpu", "binaryen", "ts-morph"],
  logLevel: "warn",
});
await bundle.write({ dir: folder, format: "esm", entryFileNames: "bench-gpu.mjs", chunkFileNames: "bench-gpu-[name].mjs" });
const dawn = join(root, "node_modules/webgpu");
const there = join(folder, "node_modules/webgpu");
const platform = readdirSync(join(dawn, "dist")).find(
  (d) => d === `${process.platform}-${process.arch}` || d === `${process.platform}-universal`,
);
for (const file of ["package.json", "index.js", "LICENSE.md", join("dist", platform)])
  cpSync(join(dawn, file), join(there, file), { recursive: true });
console.log(`${folder}: node bench-gpu.mjs --seconds 1`);
