// Makes RESULTS.md: runs the benches below and writes down what they print. An hour or two on one core.
// Usage: node bench/results.mjs [--node PATH ...] [--core 1] [--only part-of-a-title ...] [--cache FOLDER]
// `--node`: other programs of Node to measure too (Node 24, say). `--only` prints those sections instead. `--cache` keeps what was printed,
// and takes what is kept from there.

import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

const { values: options } = parseArgs({
  options: {
    node: { type: "string", multiple: true, default: [] },
    core: { type: "string", default: "1" },
    only: { type: "string", multiple: true, default: [] },
    cache: { type: "string" },
  },
});
const root = resolve(fileURLToPath(import.meta.url), "../..");

const SECTIONS = [
  {
    title: "Whole networks",
    text:
      "Built as ONNX by `bench/networks`, with seeded weights, BatchNorm folded; pruned by magnitude in each pointwise, 3x3, 5x5 and linear " +
      "layer; the first convolution, depthwise ones and embeddings dense. The peers run the dense network.",
    commands: ["networks.mjs --zeros 0,0.8,0.9 --seconds 1.2 mobilenet resnet50 bert"],
  },
  {
    title: "Batches, and AlexNet in the form it has been printed in",
    text: "Images a second. Energy counters are not readable on this machine, so there are no images a second and watt.",
    commands: ["networks.mjs --batch 1,48 --least 3 --seconds 1 --zeros 0,0.9 alexnet mobilenet-v2"],
  },
  {
    title: "Layers",
    text:
      "Eight equal layers in one model (m x k, k x m, ...). Patterns called dlmc are of really pruned networks (Deep Learning Matrix " +
      "Collection). Where a cell is empty there is no such pattern.",
    commands: ["layers.mjs --zeros 0.7,0.9 --seconds 0.6 mobilenet transformer resnet"],
  },
  {
    title: "Vectors",
    text: "One column at once, single elements and whole blocks of 16x1 pruned.",
    commands: ["layers.mjs --zeros 0.5,0.9 --seconds 1 vector", "layers.mjs --zeros 0.5,0.9 --seconds 1 --block 16x1 vector"],
  },
  {
    title: "From how many zeros on they pay",
    text: "Unstructured zeros against our own dense kernel.",
    commands: [
      'layers.mjs --peers none --zeros 0.05,0.1,0.15,0.2,0.25,0.3,0.4,0.5 "256->256" "512->512 @ 14" "768->768" "64->64 @ 56" "16->16"',
    ],
  },
  {
    title: "What is chosen",
    text: "Gains over dense of the format that was chosen and of each forced.",
    commands: ['grid.mjs --seconds 0.3 "128->128 @ 56" "512->512 @ 14" "1024->1024" "768->768" "64->64 @ 56" "16->16"'],
  },
  { title: "Models", text: "The models of `../shared/models`, on their recorded inputs.", commands: ["models.mjs --seconds 0.8"] },
  {
    title: "Two threads",
    text: "Wall time, in turns of 250 ms; the team is measured against one thread when loading, and used where it pays. Not pinned.",
    commands: ["threads.mjs"],
    before: "",
  },
  {
    title: "WebGPU in Chromium",
    text:
      "What is asked of the device, by the page's own count, and wall time on SwiftShader: a software adapter does not say what a GPU would. It " +
      "unrolls the zeroing of shared arrays that Dawn leaves to drivers, 1-2 s for each of our tiled kernels; with the flag, Dawn zeroes by a loop.",
    commands: [
      "webgpu-browser.mjs",
      "webgpu-browser.mjs --flag=--disable-dawn-features=use_vulkan_zero_initialize_workgroup_memory_extension",
    ],
    before: "",
  },
  {
    title: "Kernels on a device",
    text:
      "What bench/gpu prints of the adapter that it finds, here lavapipe, whose optimizer works in the first run: a software adapter does not say " +
      "what a GPU would.",
    commands: ["gpu/index.mjs --seconds 0.5"],
    before: "VK_ICD_FILENAMES=.cache/vulkan/lvp_icd.json ",
  },
  {
    title: "Quantization",
    text:
      "Top-1 on labelled data before and after, calibrated with 100 samples that are none of those (30 of the 70 images). CPU seconds are " +
      "of quantizing and compiling; signal to noise is of the first output on the calibration samples.",
    commands: ["accuracy.mjs"],
  },
  {
    title: "Kernels of small integers",
    text:
      "Eight equal layers in one model with bytes in and out (m x k, k x m, ...: times are of the mean layer), random weights with a scale for " +
      "each output, pruned by magnitude before rounding; floats run the same zeros. onnxruntime runs the quantized file as MatMul or as 1x1 " +
      'convolution, whichever is faster for it. "differ" counts bytes that are not onnxruntime-web\'s, after eight layers. Vectors are one row by ' +
      "weights alone rounded, in blocks of 32: onnxruntime runs MatMulNBits with activations of 8 bits, ours the same file, or with 8 bits the " +
      "float file quantized.",
    commands: ["bytes.mjs --seconds 1"],
  },
  {
    title: "One row by weights of few bits",
    text:
      "One row by a K x N matrix, `MatMul` in floats against `--quantize int8-weights`, and against `MatMulNBits` of 4 bits in blocks of 32 with " +
      "`accuracy_level` 4 (activations of 8 bits, for onnxruntime too). Results are within 2 % (4 bits) and 3 % (8 bits: weights and activations " +
      "rounded) of the same weights in floats. Bytes are of weights in the artifact, by those of the floats.",
    commands: ["matvec.mjs"],
  },
  {
    title: "What is paid once",
    text: "Each in a fresh process.",
    commands: ["start.mjs mnist mobilenetv2 unstructured90 squeezenet1.0-deep yolox"],
  },
];

/** What a bench prints on one Node. */
function printed(node, command, before) {
  const key = createHash("sha256").update(`${node} ${command}`).digest("hex").slice(0, 16);
  const kept = options.cache && join(options.cache, `${key}.md`);
  if (kept && existsSync(kept)) return readFileSync(kept, "utf8");
  console.error(`${new Date().toISOString()} ${node} bench/${command}`);
  const { stdout, status } = spawnSync("sh", ["-c", `${before}"${node}" bench/${command}`], {
    cwd: root,
    encoding: "utf8",
    stdio: ["ignore", "pipe", "inherit"],
  });
  // What failed stands in the table; it is worth another try.
  if (status !== 0) {
    console.error(`bench/${command} ended with ${status}`);
    return stdout;
  }
  if (kept) {
    mkdirSync(options.cache, { recursive: true });
    writeFileSync(kept, stdout);
  }
  return stdout;
}

const intro = `# Measured

On a shared KVM guest (2 vCPU Xeon with AVX-512), one thread on a pinned core, CPU time, medians, competitors in turn in one process after
half a second of warm-up each; every result checked, in the variant that is timed, with two inputs in turn. Milliseconds are of that
machine on that day; ratios are what to compare: "x ort-web" is onnxruntime-web's time over ours. Peers: onnxruntime-web 1.30 (wasm SIMD),
onnxruntime-node 1.30 (native), TensorFlow.js 4.22 (wasm), one thread each. Dense means compiled with \`sparsity: "off"\`.

The tables are made by the commands above them, from the project's root, after

    npm ci && npm run build && npm ci --ignore-scripts --prefix bench

(the peers lie in \`bench/\`'s own package; none of their install scripts is needed); all of them by

    node bench/results.mjs --node PATH-OF-NODE-24
`;

const wanted = SECTIONS.filter(({ title }) => options.only.length === 0 || options.only.some((part) => title.includes(part)));
const parts = wanted.map(({ title, text, commands, before = `taskset -c ${options.core} ` }) => {
  const runs = commands.map((command) => {
    const tables = [process.execPath, ...options.node].map((node) => printed(node, command, before).trim());
    return `    ${before}node bench/${command}\n\n${tables.join("\n\n")}\n`;
  });
  return `## ${title}\n\n${text}\n\n${runs.join("\n")}`;
});
const all = [intro, ...parts].join("\n");
if (options.only.length > 0) console.log(all);
else writeFileSync(join(root, "bench", "RESULTS.md"), all);
