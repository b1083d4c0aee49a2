// Layers of small integers, each as a chain of eight with bytes in and out, against the same layers in floats with the same zeros, and
// onnxruntime's web and native builds on the same quantized file: one thread, by CPU time. Ours is written as MatMul or as 1x1 convolution
// as the row says; a peer runs whichever is faster for it. Every result is held against onnxruntime-web's: within a step, and how many differ.
// Vectors are one row by weights alone rounded, in blocks of 32 (MatMulNBits, activations may be rounded too), held against floats.
// Usage: taskset -c 1 node bench/bytes.mjs [--zeros 0,0.9/1x4,0.9] [--form conv|matmul] [--peers ort-web,ort-node] [--seconds 2]
//          [--variant baseline] [--json] [part of a name ...]

import { parseArgs } from "node:util";
import { byteChain, byteFeeds, vectorChain } from "./networks/bytes.mjs";
import { randomFeeds } from "./networks/graph.mjs";
import { peers, referenceOf, sparsec } from "./peers.mjs";
import { interleave } from "./timing.mjs";

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    zeros: { type: "string", default: "0,0.9/1x4,0.9" },
    form: { type: "string" },
    peers: { type: "string", default: "ort-web,ort-node" },
    seconds: { type: "string", default: "2" },
    variant: { type: "string" },
    json: { type: "boolean" },
  },
});

const LAYERS = [
  ...[
    [256, 256, "conv", [14, 14]],
    [512, 512, "conv", [14, 14]],
    [768, 768, "matmul", [8, 16]],
    [3072, 768, "matmul", [8, 16]],
  ].map(([m, k, form, size]) => ({ name: `${m}x${k}x${size[0] * size[1]}`, kind: "product", m, k, form, size })),
  ...[
    [256, [28, 28]],
    [64, [112, 112]],
    [512, [16, 16]],
  ].map(([k, size]) => ({ name: `depthwise 3x3 ${k} @ ${size.join("x")}`, kind: "depthwise", m: k, k, form: "conv", size })),
  ...[4, 8].map((bits) => ({ name: `vector 2048x2048, ${bits} bits`, kind: "vector", size: 2048, bits })),
];

/** `0.9/1x4`: zeros in blocks of one output by four inputs. */
const densityOf = (text) => {
  const [zeros, block = "1x1"] = text.split("/");
  return {
    text: `${100 * Number(zeros)} %${block === "1x1" ? "" : `, ${block}`}`,
    zeros: Number(zeros),
    block: block.split("x").map(Number),
  };
};
const DENSE = densityOf("0");
const DENSITIES = options.zeros.split(",").map(densityOf);
const rivals = options.peers.split(",").filter((p) => peers.has(p));

/** Throws where bytes are more than a step apart, or more than one of a hundred are at all; else how many are. */
function differences(who, got, want) {
  let count = 0;
  for (let i = 0; i < want.length; i++) {
    const steps = Math.abs(got[i] - want[i]);
    if (!(steps <= 1)) throw new Error(`${who}: element ${i} is ${got[i]}, expected ${want[i]}`);
    count += steps;
  }
  if (!(count <= want.length / 100)) throw new Error(`${who}: ${count} of ${want.length} elements differ`);
  return count;
}

/** The row that times make: all competitors, the last two of them ours. */
function rowOf(competitors, times, ours) {
  const [ms, f32] = times.slice(-2);
  return {
    ours: ms,
    f32,
    kernel: ours.report.variants.find((v) => v.variant === ours.info.variant).nodes.find((n) => /^(conv|matmul|block)/.test(n.kernel))
      .kernel,
    peers: Object.fromEntries(rivals.map((p) => [p, Math.min(...times.filter((_, i) => competitors[i].name === p))])),
  };
}

/** Roundings of eight layers' activations to 8 bits, as far as floats: relative error. */
const DYNAMIC = 0.05;

/** A row by weights in blocks, against the floats that the weights stand for. */
async function measureVector({ name, size, bits }) {
  const { bytes, shape } = vectorChain(size, bits);
  const feeds = randomFeeds({ x: shape });
  const float = vectorChain(size, 32, bits);
  const verify = await referenceOf(float.bytes, feeds);
  const competitors = [];
  for (const p of rivals) competitors.push({ ...(await peers.get(p)(bytes, feeds)), verify: verify(`${name}: ${p}`, DYNAMIC) });
  // Of 8 bits ours is the float file, quantized: the product's activations would not be rounded otherwise.
  const quantize = { scheme: "int8-weights", block: 32 };
  const how = { variant: options.variant };
  const ours = bits === 4 ? await sparsec(bytes, feeds, how) : await sparsec(float.bytes, feeds, { ...how, quantize });
  const floats = await sparsec(float.bytes, feeds, how);
  competitors.push({ ...ours, verify: verify(`${name}: ours`, DYNAMIC) }, { ...floats, verify: verify(`${name}: our floats`) });
  const times = await interleave(competitors, { seconds: Number(options.seconds) });
  for (const c of competitors) await c.dispose();
  return { form: bits === 4 ? "MatMulNBits" : "quantized", ...rowOf(competitors, times, ours) };
}

async function measure(layer, { zeros, block }) {
  if (layer.kind === "vector") return measureVector(layer);
  const forms = layer.kind === "depthwise" ? ["conv"] : ["conv", "matmul"];
  const own = layer.kind === "depthwise" ? "conv" : (options.form ?? layer.form);
  const competitors = [];
  let reference;
  for (const form of forms) {
    const { bytes, shape } = byteChain(layer, { form, zeros, block });
    const feeds = byteFeeds(shape, false);
    const web = await peers.get("ort-web")(bytes, feeds);
    const expected = [(await web.run(0)).y.slice(), (await web.run(1)).y.slice()];
    await web.dispose();
    if (form === own) reference = { expected, bytes, feeds };
    for (const p of rivals) {
      const peer = await peers.get(p)(bytes, feeds);
      competitors.push({ ...peer, verify: ({ y }, i) => void differences(`${layer.name}: ${p}`, y, expected[i & 1]) });
    }
  }
  let differ = 0;
  const bytes = await sparsec(reference.bytes, reference.feeds, { variant: options.variant });
  const verify = ({ y }, i) => {
    differ = Math.max(differ, differences(`${layer.name}: ours`, y, reference.expected[i & 1]));
  };
  const float = byteChain(layer, { form: own, floats: true, zeros, block });
  const feeds = byteFeeds(float.shape, true);
  const floats = await sparsec(float.bytes, feeds, { variant: options.variant });
  const close = await referenceOf(float.bytes, feeds);
  competitors.push({ ...bytes, verify }, { ...floats, verify: close(`${layer.name}: our floats`) });
  const times = await interleave(competitors, { seconds: Number(options.seconds) });
  for (const c of competitors) await c.dispose();
  return { form: own, ...rowOf(competitors, times, bytes), differ: `${differ} of ${reference.expected[0].length}` };
}

const three = (x) => x.toPrecision(3);
const say = (cells) => options.json || console.log(`| ${cells.join(" | ")} |`);
const rows = [];
if (!options.json) console.log(`Node ${process.versions.node}, ${options.variant ?? "best"} variant. Microseconds are of one layer.\n`);
const header = ["layer (MxKxN)", "zeros", "form", "kernel", "bytes us", "f32 us", "x our f32", ...rivals.map((p) => `x ${p}`), "differ"];
say(header);
say(header.map(() => "---"));
for (const layer of LAYERS.filter(({ name }) => positionals.length === 0 || positionals.some((p) => name.includes(p))))
  for (const density of layer.kind === "product" ? DENSITIES : [DENSE]) {
    try {
      const r = await measure(layer, density);
      rows.push({ name: layer.name, zeros: density.text, ...r });
      const ratios = [r.f32, ...rivals.map((p) => r.peers[p])].map((t) => three(t / r.ours));
      const cells = [layer.name, density.text, r.form, r.kernel, three(125 * r.ours), three(125 * r.f32), ...ratios];
      say([...cells, r.differ ?? ""]);
    } catch (e) {
      console.log(`| ${layer.name} | ${density.text} | ${String(e.message).split("\n")[0]} |`);
      process.exitCode = 1;
    }
  }
if (options.json) console.log(JSON.stringify({ node: process.versions.node, rows }, null, 2));
