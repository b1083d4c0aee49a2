// Whole networks on one thread and on a team, by wall time: in turns of a good many runs each, of which the first are not counted, because a
// core that has slept takes milliseconds to come back on some hosts.
// Usage: node bench/threads.mjs [--threads 2] [--seconds 4] [part of a name ...]      (not pinned, on a machine with idle cores)

import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { compileModel } from "../dist/compiler/index.js";
import { load } from "../dist/runtime/index.js";
import { bertBase } from "./networks/bert.mjs";
import { mobileNetV2, resNet50 } from "./networks/vision.mjs";
import { shared } from "./shared.mjs";
import { expectClose, geometricMean, median } from "./timing.mjs";

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: { threads: { type: "string", default: "2" }, seconds: { type: "string", default: "4" } },
});
const threads = Number(options.threads);
/** Milliseconds of a turn, and of its start that is not counted. */
const [TURN, START] = [250, 60];
/** Milliseconds: shorter runs are listed, but no part of the mean. */
const LEAST = 2;

const model = (name) => [name, () => readFileSync(`${shared}/models/${name}.onnx`)];
const NETWORKS = [
  ...[
    "espcn-nnresize-fp32",
    "mobilenetv2-1.0-224-fp32-dequantised",
    "resnet20-cifar10",
    "selfie-segmentation-mlkit-fp32",
    "squeezenet1.0-deepcompression-sparse",
    "squeezenet1.0-fp16",
    "ultraface-rfb-320",
    "yolox-nano-416",
  ].map(model),
  ["mobilenet-v2, 90 % zeros", () => mobileNetV2({ zeros: 0.9 })],
  ["resnet50, 90 % zeros", () => resNet50({ zeros: 0.9 })],
  ["bert-base, two layers, 90 % zeros", () => bertBase({ zeros: 0.9, layers: 2 })],
];

async function open(artifact, team) {
  const m = await load(artifact, { device: "wasm", threads: team });
  for (const { name, dtype } of m.inputs) m.input(name).fill(dtype === "i64" ? 1n : 0.5);
  m.invoke();
  return m;
}

const outputsOf = (m) => Object.fromEntries(m.outputs.map(({ name }) => [name, m.output(name)]));

async function measure(bytes) {
  const { artifact } = await compileModel(bytes, { backends: ["wasm"], report: false, threads: true });
  const teams = [await open(artifact, 1), await open(artifact, threads)];
  expectClose("the team", outputsOf(teams[1]), outputsOf(teams[0]), 1e-6);
  const times = teams.map(() => []);
  const until = performance.now() + 1000 * Number(options.seconds);
  do {
    for (const [k, m] of teams.entries()) {
      const start = performance.now();
      for (let now = start; now < start + TURN; ) {
        m.invoke();
        const end = performance.now();
        if (now > start + START) times[k].push(end - now);
        now = end;
      }
    }
  } while (performance.now() < until);
  const { threads: got, whyThreads } = teams[1].info();
  for (const m of teams) m.dispose();
  return { one: median(times[0]), team: median(times[1]), got, whyThreads };
}

console.log(`Node ${process.versions.node}, ${threads} threads, wall time\n`);
console.log("| network | one thread ms | team ms | gain | threads | why |\n| --- | --- | --- | --- | --- | --- |");
const gains = [];
for (const [name, build] of NETWORKS.filter(([n]) => positionals.length === 0 || positionals.some((p) => n.includes(p)))) {
  const { one, team, got, whyThreads } = await measure(build());
  if (one >= LEAST) gains.push(one / team);
  console.log(`| ${name} | ${one.toPrecision(3)} | ${team.toPrecision(3)} | ${(one / team).toFixed(2)} | ${got} | ${whyThreads} |`);
}
console.log(`| *mean of those of ${LEAST} ms and more* |  |  | ${geometricMean(gains).toFixed(2)} |  |  |`);
