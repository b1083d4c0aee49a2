// Whether the right kernel is chosen: over layers and sparsities, the chosen one against each format forced, in three runs. A choice
// is bad where, in two of the three, it is more than 10 % slower than the best candidate or more than 5 % slower than dense.
// Usage: taskset -c 1 node bench/grid.mjs [--zeros 0,0.1,...] [--block 16x1] [--seconds 1] [--variant baseline] [--json] [part of a name ...]

import { parseArgs } from "node:util";
import { definePass, replace } from "../dist/compiler/index.js";
import { GraphBuilder } from "../dist/ir/index.js";
import { rebuild } from "../dist/ir/rewrite.js";
import { chain } from "./networks/chain.mjs";
import { randomFeeds } from "./networks/graph.mjs";
import { LAYERS } from "./networks/layers.mjs";
import { referenceOf, sparsec } from "./peers.mjs";
import { interleave, median } from "./timing.mjs";

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    zeros: { type: "string", default: "0,0.05,0.1,0.15,0.2,0.25,0.3,0.4,0.5,0.6,0.7,0.8,0.9,0.95,0.99" },
    block: { type: "string", default: "1x1" },
    seconds: { type: "string", default: "1" },
    variant: { type: "string" },
    json: { type: "boolean" },
  },
});
const block = options.block.split("x").map(Number);
const RUNS = 3;

/** Gives every weight of a convolution or product the format. */
const forced = (format) =>
  definePass({
    name: "detect-sparsity",
    doc: "Gives every weight one format.",
    exactness: "exact",
    invariant: "every weight has the format",
    run: (g) =>
      rebuild(g, new GraphBuilder(g.ops, g.weights), (n, inputs, b) => {
        if (n.op !== "conv" && n.op !== "matmul") return undefined;
        const layout = n.op === "conv" ? format : format.replace(/^csr/, "csc").replace(/^bsr/, "bsc");
        const operands = inputs.map((v, k) => (k === 1 && b.constantOf(v) ? b.constant(b.constantOf(v), { layout }) : v));
        return b.add(n.op, operands, n.attrs, n.locs).results;
      }),
  });

const FORMATS = block[0] * block[1] > 1 ? ["csr", `bsr-${options.block}`] : ["csr"];
const CANDIDATES = [
  ["chosen", {}],
  ["dense", { sparsity: "off" }],
  ...FORMATS.map((format) => [format, { passes: (defaults) => replace(defaults, "detect-sparsity", forced(format)) }]),
];

/** Equal artifacts need no second measurement. */
const same = (a, b) => a.json === b.json;

async function measure(layer, zeros) {
  const { bytes, shapes } = chain(layer, { zeros, block });
  const feeds = randomFeeds(shapes);
  const verify = (await referenceOf(bytes, feeds))(`${layer.name} at ${zeros}`);
  const distinct = [];
  const names = [];
  for (const [name, how] of CANDIDATES) {
    const ours = await sparsec(bytes, feeds, { ...how, variant: options.variant, report: false });
    const twin = distinct.findIndex((d) => same(d.artifact, ours.artifact));
    names.push([name, twin < 0 ? distinct.length : twin]);
    if (twin < 0) distinct.push({ ...ours, verify });
    else ours.dispose();
  }
  const runs = [];
  for (let i = 0; i < RUNS; i++) {
    const times = distinct.length > 1 ? await interleave(distinct, { seconds: Number(options.seconds), warm: i === 0 ? 500 : 50 }) : [1];
    runs.push(Object.fromEntries(names.map(([name, k]) => [name, times[k]])));
  }
  for (const d of distinct) d.dispose();
  const slower = (bar) => runs.filter((r) => bar(r)).length >= 2;
  const best = (r) => Math.min(...Object.values(r));
  const bad = slower((r) => r.chosen > 1.1 * best(r) || r.chosen > 1.05 * r.dense);
  return { layer: layer.name, zeros, runs, bad, pick: names.slice(1).find(([, k]) => k === names[0][1])?.[0] ?? "another" };
}

const rows = [];
const line = (cells) => options.json || console.log(`| ${cells.join(" | ")} |`);
if (!options.json)
  console.log(`Node ${process.versions.node}, ${options.variant ?? "best"} variant, blocks ${options.block}; gains over dense\n`);
const header = ["layer", "zeros", "chosen", ...CANDIDATES.map(([name]) => name), "bad"];
line(header);
line(header.map(() => "---"));
for (const layer of LAYERS.filter((l) => !l.patterns && (positionals.length === 0 || positionals.some((p) => l.name.includes(p)))))
  for (const zeros of options.zeros.split(",").map(Number)) {
    try {
      const r = await measure(layer, zeros);
      rows.push(r);
      const gains = CANDIDATES.map(([name]) => median(r.runs.map((run) => run.dense / run[name])).toFixed(2));
      line([layer.name, `${(100 * zeros).toFixed(0)} %`, r.pick, ...gains, r.bad ? "bad" : ""]);
    } catch (e) {
      console.log(`| ${layer.name} | ${zeros} | ${String(e.message).split("\n")[0]} |`);
      process.exitCode = 1;
    }
  }
if (options.json) console.log(JSON.stringify({ node: process.versions.node, rows }, null, 2));
else console.log(`\n${rows.filter((r) => r.bad).length} of ${rows.length} choices are bad.`);
