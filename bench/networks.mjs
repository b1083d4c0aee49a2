// Whole networks, dense and pruned, against onnxruntime's web and native builds running them dense: one thread, by CPU time.
// Usage: taskset -c 1 node bench/networks.mjs [--zeros 0,0.5,...] [--batch 1] [--block 4x1] [--seconds 4] [--variant baseline] [--json] [name ...]

import { parseArgs } from "node:util";
import { bertBase, bertFeeds } from "./networks/bert.mjs";
import { randomFeeds } from "./networks/graph.mjs";
import { alexNet, mobileNetV1, mobileNetV2, resNet50 } from "./networks/vision.mjs";
import { ortNode, ortWeb, sparsec } from "./peers.mjs";
import { expectClose, geometricMean, interleave } from "./timing.mjs";

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    zeros: { type: "string", default: "0,0.5,0.7,0.8,0.9,0.95" },
    batch: { type: "string", default: "1" },
    block: { type: "string", default: "1x1" },
    seconds: { type: "string", default: "4" },
    variant: { type: "string" },
    json: { type: "boolean" },
  },
});
const images = ({ batch }) => randomFeeds({ x: [batch, 3, 224, 224] });
const NETWORKS = {
  alexnet: [alexNet, images],
  "mobilenet-v1": [mobileNetV1, images],
  "mobilenet-v2": [mobileNetV2, images],
  resnet50: [resNet50, images],
  "bert-base": [bertBase, bertFeeds],
};

/** Answers of a competitor to both feeds. */
const answers = async ({ run }) => [await run(0), await run(1)];
const verifyBy = (who, references) => (outputs, i) => expectClose(who, outputs, references[i & 1]);

async function measure(name, zeros) {
  const [build, feedsFor] = NETWORKS[name];
  const how = { batch: Number(options.batch), block: options.block.split("x").map(Number) };
  const feeds = feedsFor(how);
  const competitors = [];
  /** What native onnxruntime answers is the reference. */
  const reference = async (bytes) => {
    const native = await ortNode(bytes, feeds);
    return { native, references: await answers(native) };
  };
  const dense = build(how);
  const { native, references } = await reference(dense);
  competitors.push({ ...native, verify: verifyBy("ort-node", references) });
  competitors.push({ ...(await ortWeb(dense, feeds)), verify: verifyBy("ort-web", references) });
  const variants = [];
  for (const z of zeros) {
    const bytes = z === 0 ? dense : build({ ...how, zeros: z });
    const expected = z === 0 ? { references } : await reference(bytes);
    if (z !== 0) await expected.native.dispose();
    const ours = await sparsec(bytes, feeds, { sparsity: z === 0 ? "off" : "auto", variant: options.variant, report: false });
    variants.push(ours);
    competitors.push({ ...ours, verify: verifyBy(`sparsec at ${z}`, expected.references) });
  }
  const [nativeMs, webMs, ...ours] = await interleave(competitors, { seconds: Number(options.seconds) });
  const rows = ours.map((ms, i) => ({
    name,
    batch: how.batch,
    zeros: zeros[i],
    ms,
    webMs,
    nativeMs,
    compileMs: variants[i].compileMs,
    variant: variants[i].info.variant,
  }));
  for (const c of competitors) await c.dispose();
  return rows;
}

const zeros = options.zeros.split(",").map(Number);
const names = Object.keys(NETWORKS).filter((n) => positionals.length === 0 || positionals.some((p) => n.includes(p)));
const rows = [];
if (!options.json) {
  console.log(`Node ${process.versions.node}, batch ${options.batch}, blocks ${options.block}\n`);
  console.log("| network | zeros | ms | items/s | x web | x native | ort-web ms | ort-node ms | compile s |");
  console.log("|---|---|---|---|---|---|---|---|---|");
}
for (const name of names) {
  try {
    for (const r of await measure(name, zeros)) {
      rows.push(r);
      if (options.json) continue;
      const cells = [r.ms, (1000 * r.batch) / r.ms, r.webMs / r.ms, r.nativeMs / r.ms, r.webMs, r.nativeMs, r.compileMs / 1000];
      console.log(`| ${name} | ${100 * r.zeros} % | ${cells.map((x) => x.toPrecision(3)).join(" | ")} |`);
    }
  } catch (e) {
    console.log(`| ${name} | ${String(e.message).split("\n")[0]} |`);
    process.exitCode = 1;
  }
}
if (options.json) console.log(JSON.stringify(rows, null, 2));
else
  for (const z of zeros) {
    const some = rows.filter((r) => r.zeros === z);
    if (some.length > 1)
      console.log(
        `\nGeometric mean at ${100 * z} %: ${geometricMean(some.map((r) => r.webMs / r.ms)).toPrecision(3)} x web, ${geometricMean(some.map((r) => r.nativeMs / r.ms)).toPrecision(3)} x native`,
      );
  }
