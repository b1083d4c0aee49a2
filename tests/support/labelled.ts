// The labelled data of the shared folder, preprocessed as each model was trained: one sample, one label.

import { readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import { bytesOf, type TypedArray } from "../../ir/dtype.ts";
import { type Tensor, tensorFromBytes } from "../../ir/tensor.ts";
import { sharedPath } from "./shared.ts";
import { type TestTensor, testTensor } from "./tensors.ts";

export interface Sample {
  readonly inputs: readonly TestTensor[];
  readonly label: number;
}

/** Samples as quantization takes them: arrays by input with an axis of samples in front, and their labels. */
export function stacked(samples: readonly Sample[]): Readonly<Record<string, Tensor>> {
  const arrays = samples[0]!.inputs.map(({ name, dtype, shape }, i): readonly [string, Tensor] => {
    const parts = samples.map((s) => bytesOf(s.inputs[i]!.data));
    const bytes = new Uint8Array(Buffer.concat(parts));
    return [name, tensorFromBytes(dtype, [samples.length, ...shape], bytes)];
  });
  const labels = Int32Array.from(samples, (s) => s.label);
  return { ...Object.fromEntries(arrays), labels: { dtype: "i32", shape: [samples.length], data: labels } };
}

const data = (...parts: readonly string[]): Buffer => readFileSync(sharedPath("data", ...parts)!);
const tensor = (name: string, dtype: "f32" | "i64", shape: readonly number[], values: TypedArray): TestTensor =>
  testTensor(name, dtype, shape, bytesOf(values));

/** MNIST's test images, 0 to 255: f32 [1, 1, 28, 28]. */
export function mnist(name: string): readonly Sample[] {
  const images = gunzipSync(data("mnist", "t10k-images-idx3-ubyte.gz")).subarray(16);
  const labels = gunzipSync(data("mnist", "t10k-labels-idx1-ubyte.gz")).subarray(8);
  return Array.from(labels, (label, k) => ({
    inputs: [tensor(name, "f32", [1, 1, 28, 28], Float32Array.from(images.subarray(k * 784, (k + 1) * 784)))],
    label,
  }));
}

const MEAN = [0.485, 0.456, 0.406];
const DEVIATION = [0.229, 0.224, 0.225];

/** CIFAR-10 test images, normalised with ImageNet's mean and deviation: f32 [1, 3, 32, 32]. */
export function cifar10(name: string): readonly Sample[] {
  const bytes = data("cifar10", "test_A_2000.bin");
  const pixels = 32 * 32;
  const record = 1 + 3 * pixels;
  return Array.from({ length: bytes.length / record }, (_, k) => {
    const image = Float32Array.from(bytes.subarray(k * record + 1, (k + 1) * record), (v, i) => {
      const channel = Math.floor(i / pixels);
      return (v / 255 - MEAN[channel]!) / DEVIATION[channel]!;
    });
    return { inputs: [tensor(name, "f32", [1, 3, 32, 32], image)], label: bytes[k * record]! };
  });
}

/** The middle `side` x `side` pixels of the 256 x 256 RGB images, `value(v, c)` in plane `plane(c)`: f32 [1, 3, side, side]. */
function imagenet(
  name: string,
  side: number,
  value: (v: number, channel: number) => number,
  plane: (channel: number) => number,
  labelOffset: number,
): readonly Sample[] {
  const labels = JSON.parse(data("imagenet-sample", "A_labels.json").toString()) as readonly number[];
  const rgb = data("imagenet-sample", "A_70x256x256x3.u8");
  const margin = Math.floor((256 - side) / 2);
  return labels.map((label, k) => {
    const image = new Float32Array(3 * side * side);
    for (let row = 0; row < side; row++)
      for (let column = 0; column < side; column++)
        for (let channel = 0; channel < 3; channel++) {
          const v = rgb[((k * 256 + row + margin) * 256 + column + margin) * 3 + channel]!;
          image[(plane(channel) * side + row) * side + column] = value(v, channel);
        }
    return { inputs: [tensor(name, "f32", [1, 3, side, side], image)], label: label + labelOffset };
  });
}

const CAFFE_MEAN = [123, 117, 104];
/** As Caffe's models take them: BGR, less the mean. */
export const imagenetCaffe = (name: string): readonly Sample[] =>
  imagenet(
    name,
    227,
    (v, c) => v - CAFFE_MEAN[c]!,
    (c) => 2 - c,
    0,
  );
/** As TensorFlow's models take them: RGB in -1 to 1; class 0 is the background. */
export const imagenetTensorflow = (name: string): readonly Sample[] =>
  imagenet(
    name,
    224,
    (v) => (v - 128) / 128,
    (c) => c,
    1,
  );

/** Longest sentence of the SST-2 models. */
export const SST2_TOKENS = 48;

/** SST-2: input_ids and attention_mask, i64 [1, 48]. The models were trained on the training set. */
export function sst2(set: "dev" | "train" = "dev"): readonly Sample[] {
  const vocabulary = JSON.parse(data("text", "sst2_vocab.json").toString()) as readonly string[];
  const idOf = new Map(vocabulary.map((word, id) => [word, id]));
  const lines = data("text", `sst2_${set}.tsv`).toString().trimEnd().split("\n");
  return lines.map((line) => {
    const [text, label] = line.split("\t");
    const words = text!.toLowerCase().split(" ").slice(0, SST2_TOKENS);
    const ids = new BigInt64Array(SST2_TOKENS);
    const mask = new BigInt64Array(SST2_TOKENS);
    words.forEach((word, at) => {
      ids[at] = BigInt(idOf.get(word) ?? 1);
      mask[at] = 1n;
    });
    const shape = [1, SST2_TOKENS];
    return { inputs: [tensor("input_ids", "i64", shape, ids), tensor("attention_mask", "i64", shape, mask)], label: Number(label) };
  });
}
