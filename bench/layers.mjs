// Layers of networks, each as a chain of eight in one model, at many sparsities, against onnxruntime's web and native builds running
// them dense: one thread, by CPU time. A peer runs a layer as MatMul or as 1x1 convolution, whichever is faster for it.
// Usage: taskset -c 1 node bench/layers.mjs [--zeros 0.5,0.9] [--block 16x1] [--peers ort-web,ort-node,tfjs] [--seconds 3]
//          [--variant baseline] [--json] [part of a name ...]

import { parseArgs } from "node:util";
import { chain } from "./networks/chain.mjs";
import { randomFeeds } from "./networks/graph.mjs";
import { LAYERS } from "./networks/layers.mjs";
import { peers, referenceOf, sparsec } from "./peers.mjs";
import { tfjsChain } from "./tfjs.mjs";
import { geometricMean, interleave } from "./timing.mjs";

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    zeros: { type: "string", default: "0.5,0.7,0.8,0.9,0.95,0.99" },
    block: { type: "string", default: "1x1" },
    peers: { type: "string", default: "ort-web,ort-node" },
    seconds: { type: "string", default: "3" },
    variant: { type: "string" },
    json: { type: "boolean" },
  },
});
const asked = options.zeros.split(",").map(Number);
const block = options.block.split("x").map(Number);
const rivals = options.peers.split(",").filter((p) => p === "tfjs" || peers.has(p));

/** The competitors of a layer: every peer running it dense in each form, ours dense, ours at each sparsity. */
async function enter(layer) {
  const competitors = [];
  const problem = async (how) => {
    const built = chain(layer, how);
    const feeds = randomFeeds(built.shapes);
    const verify = await referenceOf(built.bytes, feeds);
    return { built, feeds, verify: (who) => verify(`${layer.name}: ${who}`) };
  };
  for (const form of layer.kind === "conv3x3" ? ["conv"] : ["matmul", "conv"]) {
    const { built, feeds, verify } = await problem({ form });
    for (const p of rivals) {
      const peer = await (p === "tfjs" ? tfjsChain(built, feeds) : peers.get(p)(built.bytes, feeds));
      competitors.push({ ...peer, verify: verify(`${p} ${form}`) });
    }
  }
  const pruned = layer.patterns
    ? [...layer.patterns].filter(([z]) => asked.includes(z)).map(([z, patterns]) => [z, { patterns: patterns() }])
    : asked.map((z) => [z, { zeros: z, block }]);
  for (const [zeros, how] of [[0, {}], ...pruned]) {
    const { built, feeds, verify } = await problem(how);
    const ours = await sparsec(built.bytes, feeds, { sparsity: zeros === 0 ? "off" : "auto", variant: options.variant, report: false });
    competitors.push({ ...ours, zeros, verify: verify(`sparsec at ${zeros}`) });
  }
  return competitors;
}

/** Milliseconds: of each peer its faster form, of ours by sparsity. */
async function measure(layer) {
  const competitors = await enter(layer);
  const times = await interleave(competitors, { seconds: Number(options.seconds) });
  const theirs = Object.fromEntries(rivals.map((p) => [p, Math.min(...times.filter((_, i) => competitors[i].name === p))]));
  const [dense, ...sparse] = competitors.flatMap((c, i) => (c.name === "sparsec" ? [{ zeros: c.zeros, ms: times[i] }] : []));
  for (const c of competitors) await c.dispose();
  return { name: layer.name, group: layer.group, peers: theirs, dense: dense.ms, sparse };
}

const three = (x) => x.toPrecision(3);
const atZeros = (row, z) => row.sparse.find((s) => s.zeros === z)?.ms;
/** By what a time is divided: each peer's, then our dense kernel's. */
const bars = (row) => [...rivals.map((p) => row.peers[p]), row.dense];
const ratios = (row, ms) =>
  ms === undefined
    ? ""
    : bars(row)
        .map((b) => three(b / ms))
        .join(" ");

/** The ratios of rows, put together by `fold`. */
function summary(rows, fold, time) {
  const known = rows.filter((r) => time(r) !== undefined);
  return known.length === 0 ? "" : [...rivals, "dense"].map((_, i) => three(fold(known.map((r) => bars(r)[i] / time(r))))).join(" ");
}

const wanted = ({ name }) => positionals.length === 0 || positionals.some((p) => name.includes(p));
const rows = [];
const say = (line) => options.json || console.log(line);
const line = (cells) => say(`| ${cells.join(" | ")} |`);
say(
  `Node ${process.versions.node}, ${options.variant ?? "best"} variant, blocks ${options.block}. Milliseconds are a chain's of eight layers;`,
);
say(`the other cells are ratios: x ${[...rivals, "our dense"].join(", x ")}.\n`);
const header = ["layer", ...rivals.map((p) => `${p} ms`), "dense ms", "dense", ...asked.map((z) => `${three(100 * z)} %`)];
line(header);
line(header.map(() => "---"));
for (const l of LAYERS.filter(wanted)) {
  try {
    const r = await measure(l);
    rows.push(r);
    line([l.name, ...bars(r).map(three), ratios(r, r.dense), ...asked.map((z) => ratios(r, atZeros(r, z)))]);
  } catch (e) {
    console.log(`| ${l.name} | ${String(e.message).split("\n")[0]} |`);
    process.exitCode = 1;
  }
}
const least = (numbers) => Math.min(...numbers);
const layers = rows.filter((r) => r.group !== "vector");
for (const [name, some, fold] of [
  ...[...new Set(rows.map((r) => r.group))].map((g) => [`*mean of ${g}*`, rows.filter((r) => r.group === g), geometricMean]),
  ["*mean of all but vectors*", layers, geometricMean],
  ["*least of all but vectors*", layers, least],
]) {
  const cells = [(r) => r.dense, ...asked.map((z) => (r) => atZeros(r, z))].map((time) => summary(some, fold, time));
  line([name, ...bars({ peers: {} }).map(() => ""), ...cells]);
}
if (options.json) console.log(JSON.stringify({ node: process.versions.node, rows }, null, 2));
