// Compiles the digit classifier with and without its zeros, reads the test images with both, and prints what the zeros are worth.
// Run after `npm ci && npm run build`: node examples/digits/demo.mjs [backend]
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { compile } from "sparsec";
import { load } from "sparsec/runtime";

const backend = process.argv[2] ?? "wasm";
const here = (name) => fileURLToPath(new URL(name, import.meta.url));
const pixels = 28 * 28;
const labels = readFileSync(here("test-labels.bin"));
const ink = readFileSync(here("test-images.bin"));
const images = Array.from(labels, (_, k) => Float32Array.from(ink.subarray(k * pixels, (k + 1) * pixels), (byte) => byte / 255));
const folder = mkdtempSync(join(tmpdir(), "sparsec-digits-"));

try {
  const dense = await measure("off");
  const sparse = await measure("auto");
  print(dense, sparse, explain(sparse.folder));
} finally {
  rmSync(folder, { recursive: true });
}

/** Compiles, writes, loads and runs the model; the time is the median of single runs after a first round to warm up. */
async function measure(sparsity) {
  const start = performance.now();
  const artifact = await compile(here("digits.onnx"), { backends: [backend], dims: { N: 1 }, sparsity });
  const compiling = performance.now() - start;
  const target = join(folder, sparsity);
  await artifact.write(target);

  const model = await load(target, { device: backend });
  const times = [];
  let right = 0;
  for (const round of ["warm up", "measure", "measure"]) {
    right = 0;
    for (const [k, image] of images.entries()) {
      const before = performance.now();
      const { logits } = await model.run({ image });
      if (round === "measure") times.push(performance.now() - before);
      if (logits.data.indexOf(Math.max(...logits.data)) === labels[k]) right++;
    }
  }
  model.dispose();
  const files = Object.values(artifact.manifest.files);
  return {
    folder: target,
    compiling,
    milliseconds: times.sort((p, q) => p - q)[Math.floor(times.length / 2)],
    accuracy: right / images.length,
    weights: artifact.manifest.files["weights.bin"].bytes,
    total: files.reduce((sum, { bytes }) => sum + bytes, 0),
  };
}

/** What `sparsec explain` says of each node of an artifact. */
function explain(artifact) {
  const manifest = createRequire(import.meta.url).resolve("sparsec/package.json");
  const command = join(dirname(manifest), JSON.parse(readFileSync(manifest, "utf8")).bin.sparsec);
  return JSON.parse(execFileSync(process.execPath, [command, "explain", artifact, "--json"], { encoding: "utf8" })).nodes;
}

function print(dense, sparse, nodes) {
  const percent = (part) => `${(100 * part).toFixed(1)} %`;
  const kilobytes = (bytes) => `${(bytes / 1024).toFixed(0)} KB`;
  // Names to the left, numbers to the right, and the last column as it comes.
  const table = (rows) => {
    const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => row[column].length)));
    for (const [name, ...cells] of rows) {
      const last = cells.pop();
      const numbers = cells.map((cell, k) => cell.padStart(widths[k + 1]));
      console.log(`  ${[name.padEnd(widths[0]), ...numbers, last].join("   ")}`.trimEnd());
    }
    console.log();
  };

  console.log(`\nDigit classifier, ${images.length} test images, ${backend} on Node ${process.versions.node}, one thread, batch 1\n`);
  const layers = nodes.filter(({ op }) => op === "conv" || op === "matmul");
  table([
    ["layer", "weights", "zeros", "kernel"],
    ...layers.map(({ name, elements, zeros, kernel }) => [name, String(elements), percent(zeros / elements), kernel]),
  ]);
  const times = (more, less) => `${(more / less).toFixed(1)} x`;
  table([
    ["", "dense", "sparse", ""],
    ["accuracy", percent(dense.accuracy), percent(sparse.accuracy), ""],
    [
      "time per image",
      `${dense.milliseconds.toFixed(3)} ms`,
      `${sparse.milliseconds.toFixed(3)} ms`,
      times(dense.milliseconds, sparse.milliseconds),
    ],
    ["weights", kilobytes(dense.weights), kilobytes(sparse.weights), times(dense.weights, sparse.weights)],
    ["whole artifact", kilobytes(dense.total), kilobytes(sparse.total), times(dense.total, sparse.total)],
    ["compiling", `${dense.compiling.toFixed(0)} ms`, `${sparse.compiling.toFixed(0)} ms`, ""],
  ]);
}
