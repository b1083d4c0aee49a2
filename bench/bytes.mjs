// Layers of small integers, each as a chain of eight with bytes in and out, against the same layers in floats with the same zeros, and
// onnxruntime's web and native builds on the same quantized file: one thread, by CPU time. Ours is written as MatMul or as 1x1 convolution
// as the row says; a peer runs whichever is faster for it. Every result is held against onnxruntime-web's: within a step, and how many differ.
// Usage: taskset -c 1 node bench/bytes.mjs [--zeros 0,0.9/1x4,0.9] [--form conv|matmul] [--peers ort-web,ort-node] [--seconds 2]
//          [--variant baseline] [--json] [part of a name ...]

import { parseArgs } from "node:util";
import { byteChain, byteFeeds } from "./networks/bytes.mjs";
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

async function measure(layer, { zeros, block }) {
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
  const [ours, f32] = times.slice(-2);
  return {
    form: own,
    ours,
    f32,
    differ,
    elements: reference.expected[0].length,
    kernel: bytes.report.variants.find((v) => v.variant === bytes.info.variant).nodes.find((n) => !n.kernel.startsWith("relayout")).kernel,
    peers: Object.fromEntries(rivals.map((p) => [p, Math.min(...times.filter((_, i) => competitors[i].name === p))])),
  };
}

const three = (x) => x.toPrecision(3);
const say = (cells) => options.json || console.log(`| ${cells.join(" | ")} |`);
const rows = [];
if (!options.json) console.log(`Node ${process.versions.node}, ${options.variant ?? "best"} variant. Microseconds are of one layer.\n`);
const header = ["layer (MxKxN)", "zeros", "form", "kernel", "int8 us", "f32 us", "x our f32", ...rivals.map((p) => `x ${p}`), "differ"];
say(header);
say(header.map(() => "---"));
for (const layer of LAYERS.filter(({ name }) => positionals.length === 0 || positionals.some((p) => name.includes(p))))
  for (const density of layer.kind === "depthwise" ? [DENSE] : DENSITIES) {
    try {
      const r = await measure(layer, density);
      rows.push({ name: layer.name, zeros: density.text, ...r });
      const ratios = [r.f32, ...rivals.map((p) => r.peers[p])].map((t) => three(t / r.ours));
      const cells = [layer.name, density.text, r.form, r.kernel, three(125 * r.ours), three(125 * r.f32), ...ratios];
      say([...cells, `${r.differ} of ${r.elements}`]);
    } catch (e) {
      console.log(`| ${layer.name} | ${density.text} | ${String(e.message).split("\n")[0]} |`);
      process.exitCode = 1;
    }
  }
if (options.json) console.log(JSON.stringify({ node: process.versions.node, rows }, null, 2));
