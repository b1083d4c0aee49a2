// Whole networks, dense and pruned, against onnxruntime's web and native builds running them dense: one thread, by CPU time.
// Usage: taskset -c 1 node bench/networks.mjs [--zeros 0,0.5,...] [--batch 1,48] [--block 4x1] [--peers ort-web,ort-node] [--seconds 4]
//          [--least 7] [--variant baseline] [--json] [part of a name ...]

import { parseArgs } from "node:util";
import { bertBase, bertFeeds } from "./networks/bert.mjs";
import { randomFeeds } from "./networks/graph.mjs";
import { alexNet, mobileNetV1, mobileNetV2, resNet50 } from "./networks/vision.mjs";
import { peers, referenceOf, sparsec } from "./peers.mjs";
import { interleave } from "./timing.mjs";

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    zeros: { type: "string", default: "0,0.5,0.7,0.8,0.9,0.95" },
    batch: { type: "string", default: "1" },
    block: { type: "string", default: "1x1" },
    peers: { type: "string", default: "ort-web,ort-node" },
    seconds: { type: "string", default: "4" },
    /** Samples of each competitor at least. */
    least: { type: "string", default: "7" },
    variant: { type: "string" },
    json: { type: "boolean" },
  },
});
const asked = options.zeros.split(",").map(Number);
const block = options.block.split("x").map(Number);
const batches = options.batch.split(",").map(Number);
const rivals = options.peers.split(",").filter((p) => peers.has(p));

const images = ({ batch }) => randomFeeds({ x: [batch, 3, 224, 224] });
const NETWORKS = {
  alexnet: [alexNet, images],
  "mobilenet-v1": [mobileNetV1, images],
  "mobilenet-v2": [mobileNetV2, images],
  resnet50: [resNet50, images],
  "bert-base": [bertBase, bertFeeds],
};

async function measure(name, batch) {
  const [build, feedsFor] = NETWORKS[name];
  const how = { batch, block };
  const feeds = feedsFor(how);
  const competitors = [];
  const dense = build(how);
  const verify = await referenceOf(dense, feeds);
  for (const p of rivals) competitors.push({ ...(await peers.get(p)(dense, feeds)), verify: verify(`${name}: ${p}`) });
  for (const zeros of asked) {
    const bytes = zeros === 0 ? dense : build({ ...how, zeros });
    const check = zeros === 0 ? verify : await referenceOf(bytes, feeds);
    const ours = await sparsec(bytes, feeds, { sparsity: zeros === 0 ? "off" : "auto", variant: options.variant, report: false });
    competitors.push({ ...ours, zeros, verify: check(`${name}: sparsec at ${zeros}`) });
  }
  const times = await interleave(competitors, { seconds: Number(options.seconds), least: Number(options.least) });
  const rows = competitors.map(({ name: who, zeros = 0, compileMs, artifact }, i) => ({
    network: name,
    batch,
    who,
    zeros,
    ms: times[i],
    ...(artifact ? { compileMs, weights: artifact.files.get("weights.bin").length } : {}),
  }));
  for (const c of competitors) await c.dispose();
  return rows;
}

const three = (x) => (x >= 1000 ? x.toFixed(0) : x.toPrecision(3));
const line = (cells) => options.json || console.log(`| ${cells.join(" | ")} |`);
if (!options.json) console.log(`Node ${process.versions.node}, ${options.variant ?? "best"} variant, blocks ${options.block}\n`);
const header = ["network", "batch", "who", "zeros", "ms", "items/s", ...rivals.map((p) => `x ${p}`), "compile s (CPU)", "weights MB"];
line(header);
line(header.map(() => "---"));
const density = (zeros) => (zeros === 0 ? "dense" : `${100 * zeros} %`);
const rate = ({ batch, ms }) => three((1000 * batch) / ms);
const names = Object.keys(NETWORKS).filter((n) => positionals.length === 0 || positionals.some((p) => n.includes(p)));
const all = [];
for (const name of names)
  for (const batch of batches)
    try {
      const rows = await measure(name, batch);
      all.push(...rows);
      for (const r of rows) {
        const ratios = rivals.map((_, i) => three(rows[i].ms / r.ms));
        const paid = r.compileMs === undefined ? ["", ""] : [three(r.compileMs / 1000), three(r.weights / 1e6)];
        line([name, batch, r.who, density(r.zeros), three(r.ms), rate(r), ...ratios, ...paid]);
      }
    } catch (e) {
      console.log(`| ${name} | ${batch} | ${String(e.message).split("\n")[0]} |`);
      process.exitCode = 1;
    }
if (batches.length > 1)
  for (const name of names) {
    if (!options.json) console.log(`\n${name}, items/s\n`);
    line(["who", ...batches.map((b) => `batch ${b}`)]);
    line(["---", ...batches.map(() => "---")]);
    const some = all.filter((r) => r.network === name);
    const kinds = new Map(some.map((r) => [`${r.who} ${density(r.zeros)}`, r]));
    for (const [kind, { who, zeros }] of kinds)
      line([
        kind,
        ...batches.map((b) => some.find((r) => r.batch === b && r.who === who && r.zeros === zeros)).map((r) => (r ? rate(r) : "")),
      ]);
  }
if (options.json) console.log(JSON.stringify({ node: process.versions.node, rows: all }, null, 2));
