// Layers with the sparsity patterns of really pruned networks, from the Deep Learning Matrix Collection (arXiv 2006.10901) in ../shared.
// It has no values: seeded ones are put where its non-zeros are.

import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { shared } from "../shared.mjs";

const archives = join(shared, "data", "dlmc");
let folder;

/** The archives, unpacked into a folder that goes when the process does. */
function unpacked() {
  if (folder) return folder;
  const made = mkdtempSync(join(tmpdir(), "sparsec-dlmc-"));
  process.on("exit", () => rmSync(made, { recursive: true, force: true }));
  for (const name of readdirSync(archives).filter((f) => f.endsWith(".tar.xz")))
    execFileSync("tar", ["-xJf", join(archives, name), "-C", made]);
  folder = join(made, "dlmc");
  return folder;
}

/** Reads a pattern: "rows, columns, nnz", offsets of rows, columns of non-zeros. Taps of a 3x3 convolution are outermost in a column number. */
function readPattern(file, taps) {
  const [header, starts, columns] = readFileSync(file, "utf8")
    .split("\n")
    .map((line) => line.trim().split(/[ ,]+/).map(Number));
  const [m, k, nnz] = header;
  const kept = new Uint8Array(m * k);
  for (let row = 0; row < m; row++)
    for (let i = starts[row]; i < starts[row + 1]; i++) {
      const [tap, channel] = [Math.floor(columns[i] / (k / taps)), columns[i] % (k / taps)];
      kept[row * k + channel * taps + tap] = 1;
    }
  const scale = Math.sqrt((m * k) / nnz);
  return { m, k, apply: (weights) => weights.map((w, i) => (kept[i] ? w * scale : 0)) };
}

/** Patterns of a folder whose names match, in turn one of each expression. */
function patternsOf(path, expressions, taps) {
  const from = join(unpacked(), path);
  const files = readdirSync(from).sort();
  const lists = expressions.map((e) => files.filter((f) => e.test(f)));
  const count = Math.min(...lists.map((l) => l.length));
  return Array.from({ length: count }, (_, i) => lists.map((l) => readPattern(join(from, l[i]), taps))).flat();
}

const layer = (name, kind, [k, m, size], sources, expressions) => ({
  group: "dlmc",
  name: `dlmc ${name} ${k}->${m} @ ${kind === "linear" ? `${size} tokens` : `${size}x${size}`}`,
  kind,
  k,
  m,
  size,
  /** By fraction of zeros, what reads the patterns. */
  patterns: new Map(sources.map(([zeros, path]) => [zeros, () => patternsOf(path, expressions, kind === "conv3x3" ? 9 : 1)])),
});

const magnitude = (network, ...zeros) => zeros.map((z) => [z, `${network}/magnitude_pruning/${z}`]);
const attention = /(?:_[kqv]|output_transform)(?:_fully_connected)?\.smtx$/;
const inner = [/ffn_conv1/, /ffn_conv2/];

/** Layers of ResNet-50 and a transformer, none where the collection is absent. */
export const dlmcLayers = () =>
  existsSync(archives)
    ? [
        ...[
          [64, 56],
          [128, 28],
          [256, 14],
          [512, 7],
        ].flatMap(([c, size], i) => [
          layer("resnet50 1x1", "pointwise", [4 * c, c, size], magnitude("rn50", 0.8, 0.9, 0.95), [
            new RegExp(`bottleneck_1_block_group${i + 1}_`),
            new RegExp(`bottleneck_3_block_group${i + 1}_`),
          ]),
          layer("resnet50 3x3", "conv3x3", [c, c, size], magnitude("rn50", 0.8, 0.9, 0.95), [
            new RegExp(`bottleneck_2_block_group${i + 1}_`),
          ]),
        ]),
        layer("transformer", "linear", [512, 512, 128], magnitude("transformer", 0.8, 0.9), [attention]),
        layer("transformer", "linear", [512, 2048, 128], magnitude("transformer", 0.8, 0.9), inner),
        layer("transformer l0", "linear", [512, 512, 128], [[0.9, "transformer/l0_regularization/0.9"]], [attention]),
        layer("transformer l0", "linear", [512, 2048, 128], [[0.9, "transformer/l0_regularization/0.9"]], inner),
      ]
    : [];
