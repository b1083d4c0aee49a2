// What post-training quantization loses: accuracy on labelled data before and after, with calibration samples that are none of those.
// Node 24 or later, which reads TypeScript; every Node would find the same. node bench/accuracy.mjs [part of a model's name]

if (!process.features.typescript) process.exit(0);
const { compileModel } = await import("../compiler/index.ts");
const { cifar10, imagenetCaffe, imagenetTensorflow, mnist, SST2_TOKENS, sst2, stacked } = await import("../tests/support/labelled.ts");
const { sharedPath } = await import("../tests/support/shared.ts");

/** Calibration samples come first in the data, but for SST-2, which has a training set. */
const split = (samples, count) => [samples.slice(0, count), samples.slice(count)];
const MODELS = [
  { name: "mnist-cnn-opset8", data: () => split(mnist("Input3"), 100) },
  { name: "resnet20-cifar10", data: () => split(cifar10("input"), 100) },
  { name: "resnet20-cifar10-unstructured90", data: () => split(cifar10("input"), 100) },
  { name: "sst2-encoder-dense", data: () => [sst2("train").slice(0, 100), sst2()], dims: { B: 1, T: SST2_TOKENS } },
  { name: "squeezenet1.0-deepcompression-sparse", data: () => split(imagenetCaffe("data"), 30) },
  { name: "mobilenetv2-1.0-224-fp32-dequantised", data: () => split(imagenetTensorflow("input"), 30) },
];
const SCHEMES = [
  { scheme: "int8" },
  { scheme: "int8", activations: "dynamic" },
  { scheme: "int8", range: "mse" },
  { scheme: "int8", block: "tensor", correct: true },
  { scheme: "int4-weights", compensate: false },
  { scheme: "int4-weights" },
  { scheme: "int4-weights", correct: true },
  { scheme: "int4", correct: true },
];

const nameOf = ({ scheme, activations, block, range, compensate, correct }) =>
  [
    scheme,
    ...(activations ? [activations] : []),
    ...(block ? [`per ${block}`] : []),
    ...(range ? [range] : []),
    ...(compensate === false ? ["rounded to nearest"] : []),
    ...(correct ? ["corrected"] : []),
  ].join(", ");

console.log("| model | scheme | samples | float % | quantized % | points | output, dB | weights, of f32 | CPU s |");
console.log("|---|---|---|---|---|---|---|---|---|");
for (const { name, data, dims } of MODELS.filter((m) => m.name.includes(process.argv[2] ?? ""))) {
  const [calibration, evaluation] = data();
  const [calibrate, evaluate] = [stacked(calibration), stacked(evaluation)];
  for (const how of SCHEMES) {
    const options = dims ? { dims } : {};
    const start = process.cpuUsage();
    const { report } = await compileModel(sharedPath("models", `${name}.onnx`), { ...options, quantize: { ...how, calibrate } });
    const { user, system } = process.cpuUsage(start);
    const q = report.quantization;
    const scored = await compileModel(sharedPath("models", `${name}.onnx`), { ...options, quantize: { ...how, calibrate, evaluate } });
    const { samples, before, after } = scored.report.quantization.accuracy;
    const points = after - before;
    console.log(
      `| ${[name, nameOf(how), samples, before.toFixed(2), after.toFixed(2), `${points > 0 ? "+" : ""}${points.toFixed(2)}`, q.output.toFixed(1), q.size.toFixed(3), ((user + system) / 1e6).toFixed(1)].join(" | ")} |`,
    );
  }
}
