// Trains the digit classifier, prunes it on the way, and writes digits.onnx with test images and labels beside it.
// Run from anywhere, on Node 22.18 or later: node examples/digits/train.ts [folder]
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type DigitSet, digitStream, drawDigits, side, testDigits } from "./draw.ts";
import { encodeDigits } from "./export.ts";
import { createNetwork, finalZeros, type Network } from "./network.ts";

const batch = 32;
/** Steps with all weights, steps during which weights go, steps that mend what is left. */
const steps = { dense: 200, pruning: 300, mending: 500 };

const folder = process.argv[2] ?? import.meta.dirname;
const network = createNetwork(batch, 1);
train(network, digitStream(2));
// The file holds f32: what is measured from here on is what is written.
for (const { weight, bias } of network.layers) {
  for (const values of [weight, bias]) values.set(Float32Array.from(values));
}

const test = testDigits();
mkdirSync(folder, { recursive: true });
writeFileSync(join(folder, "digits.onnx"), encodeDigits(network.layers));
writeFileSync(join(folder, "test-images.bin"), test.images);
writeFileSync(join(folder, "test-labels.bin"), test.labels);
for (const [name, set] of [
  ["test", test],
  ["other", drawDigits(3200, 4)],
] as const) {
  console.log(`${name} drawings: ${(100 * accuracy(network, set)).toFixed(2)} % of ${set.labels.length} right`);
}
for (const { spec, weight } of network.layers) {
  const zeros = weight.filter((v) => v === 0).length;
  console.log(`${spec.name.padEnd(8)} ${String(zeros).padStart(7)} of ${String(weight.length).padStart(7)} weights are zero`);
}

/** Shows the network fresh drawings only, none twice; the rate rises, holds, and falls to nothing. */
function train({ learn, layers }: Network, draw: ReturnType<typeof digitStream>): void {
  const images = new Uint8Array(batch * side * side);
  const labels = new Uint8Array(batch);
  const total = steps.dense + steps.pruning + steps.mending;
  let drawn = 0;
  let loss = 0;
  for (let step = 0; step < total; step++) {
    for (let b = 0; b < batch; b++, drawn++) {
      labels[b] = drawn % 10;
      draw(labels[b]!, images.subarray(b * side * side, (b + 1) * side * side));
    }
    // Zhu and Gupta 2017: many weights go early, the last ones slowly.
    const progress = Math.min(1, (step - steps.dense) / steps.pruning);
    if (progress >= 0 && (step - steps.dense) % 10 === 0 && step <= steps.dense + steps.pruning) {
      const part = 1 - (1 - progress) ** 3;
      for (const { prune, spec, weight } of layers) if (spec.zeros > 0) prune(Math.round(part * finalZeros(spec, weight.length)));
    }
    const rate = 0.002 * Math.min(1, (step + 1) / 20, (total - step) / steps.mending);
    loss += learn(images, labels, rate);
    if ((step + 1) % 20 === 0) {
      console.log(`step ${String(step + 1).padStart(4)} of ${total}: loss ${(loss / 20).toFixed(4)}, ${process.uptime().toFixed(0)} s`);
      loss = 0;
    }
  }
}

/** The part of the drawings that the network reads right. */
function accuracy({ classify }: Network, { images, labels }: DigitSet): number {
  const filled = new Uint8Array(batch * side * side);
  let right = 0;
  for (let first = 0; first < labels.length; first += batch) {
    filled.set(images.subarray(first * side * side, (first + batch) * side * side));
    const digits = classify(filled);
    right += labels.subarray(first, first + batch).filter((label, b) => label === digits[b]).length;
  }
  return right / labels.length;
}
