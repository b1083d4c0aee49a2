// The digit classifier: its layers, how a batch runs through them, and one step of training (softmax cross-entropy, Adam).
import { side } from "./draw.ts";
import { createLayer, type Layer, type LayerSpec, planes, type View } from "./layer.ts";
import { seeded } from "./random.ts";

/** The layers from image to logits: 8.4 million multiply-adds per image when dense, nearly all of them in conv2 to conv4. */
export const specs: readonly LayerSpec[] = [
  { name: "conv1", kind: "convolution", inputs: 1, outputs: 16, side: 28, relu: true, pool: true, zeros: 0 },
  { name: "conv2", kind: "convolution", inputs: 16, outputs: 32, side: 14, relu: true, pool: false, zeros: 0.9 },
  { name: "conv3", kind: "convolution", inputs: 32, outputs: 64, side: 14, relu: true, pool: true, zeros: 0.9 },
  { name: "conv4", kind: "convolution", inputs: 64, outputs: 128, side: 7, relu: true, pool: true, zeros: 0.9 },
  { name: "hidden", kind: "fully-connected", inputs: 128 * 3 * 3, outputs: 128, side: 1, relu: true, pool: false, zeros: 0.92 },
  { name: "digit", kind: "fully-connected", inputs: 128, outputs: 10, side: 1, relu: false, pool: false, zeros: 0.5 },
];

/** How many weights of a layer end as zeros. */
export const finalZeros = (spec: LayerSpec, weights: number): number => Math.ceil(spec.zeros * weights);

/** A network in training; `images` are bytes as `draw.ts` makes them, read as value / 255. */
export interface Network {
  readonly layers: readonly Layer[];
  readonly batch: number;
  /** The digit that the network sees in each image of one batch. */
  readonly classify: (images: Uint8Array) => number[];
  /** One step of Adam on one batch; returns the mean loss before the step. */
  readonly learn: (images: Uint8Array, labels: Uint8Array, rate: number) => number;
}

export function createNetwork(batch: number, seed: number): Network {
  const random = seeded(seed);
  const layers = specs.map((spec) => createLayer(spec, batch, random));
  const logits = planes("fully-connected", 10, 1, batch);
  const logitsGradient = planes("fully-connected", 10, 1, batch);
  const update = adam(layers);

  /** Where layer `k` writes: the next layer's planes; a fully connected layer sees what it reads as channels of whole planes. */
  const outlet = (k: number, of: "input" | "inputGradient"): View => {
    const next = layers[k + 1];
    if (next === undefined) return of === "input" ? logits : logitsGradient;
    const { kind, outputs, side: from, pool } = layers[k]!.spec;
    if (next.spec.kind === kind) return next[of];
    return { ...planes(next.spec.kind, outputs, pool ? Math.floor(from / 2) : from, batch), data: next[of].data };
  };
  const outlets = layers.map((_, k) => outlet(k, "input"));
  const outletGradients = layers.map((_, k) => outlet(k, "inputGradient"));

  const forward = (images: Uint8Array): void => {
    const { data, start, batch: stride, row } = layers[0]!.input;
    for (let b = 0; b < batch; b++) {
      for (let p = 0; p < side * side; p++) {
        data[start + b * stride + Math.floor(p / side) * row + (p % side)] = Math.fround(images[b * side * side + p]! / 255);
      }
    }
    layers.forEach((layer, k) => {
      layer.forward(outlets[k]!);
    });
  };

  const classify = (images: Uint8Array): number[] => {
    forward(images);
    return Array.from({ length: batch }, (_, b) => {
      let best = 0;
      for (let digit = 1; digit < 10; digit++) if (logits.data[digit * batch + b]! > logits.data[best * batch + b]!) best = digit;
      return best;
    });
  };

  const learn = (images: Uint8Array, labels: Uint8Array, rate: number): number => {
    forward(images);
    let loss = 0;
    for (let b = 0; b < batch; b++) {
      const row = Array.from({ length: 10 }, (_, digit) => logits.data[digit * batch + b]!);
      const largest = Math.max(...row);
      const exponentials = row.map((v) => Math.exp(v - largest));
      const total = exponentials.reduce((p, q) => p + q, 0);
      loss += Math.log(total) - (row[labels[b]!]! - largest);
      exponentials.forEach((v, digit) => {
        logitsGradient.data[digit * batch + b] = (v / total - (digit === labels[b] ? 1 : 0)) / batch;
      });
    }
    for (let k = layers.length - 1; k >= 0; k--) layers[k]!.backward(outletGradients[k]!, k > 0);
    update(rate);
    return loss / batch;
  };

  return { layers, batch, classify, learn };
}

/** Adam (Kingma and Ba 2015) with the paper's constants, over the weights that are still there. */
function adam(layers: readonly Layer[]): (rate: number) => void {
  const state = layers.map(({ weight, bias }) => ({
    weight: [new Float64Array(weight.length), new Float64Array(weight.length)] as const,
    bias: [new Float64Array(bias.length), new Float64Array(bias.length)] as const,
    everyBias: Int32Array.from(bias.keys()),
  }));
  let decay1 = 1;
  let decay2 = 1;
  return (rate) => {
    decay1 *= 0.9;
    decay2 *= 0.999;
    const step = (
      value: Float64Array,
      gradient: Float64Array,
      slots: Int32Array,
      [mean, square]: readonly [Float64Array, Float64Array],
    ) => {
      for (const slot of slots) {
        const g = gradient[slot]!;
        const m = 0.9 * mean[slot]! + 0.1 * g;
        const s = 0.999 * square[slot]! + 0.001 * g * g;
        mean[slot] = m;
        square[slot] = s;
        value[slot] = value[slot]! - (rate * (m / (1 - decay1))) / (Math.sqrt(s / (1 - decay2)) + 1e-8);
      }
    };
    layers.forEach((layer, k) => {
      step(layer.weight, layer.weightGradient, layer.kept(), state[k]!.weight);
      step(layer.bias, layer.biasGradient, state[k]!.everyBias, state[k]!.bias);
    });
  };
}
