// The models of ../shared/models, which are real, against onnxruntime's web and native builds: one thread, by CPU time.
// Usage: taskset -c 1 node bench/models.mjs [--seconds 3] [--peers ort-web,ort-node] [--variant baseline] [--json] [part of a name ...]

import { existsSync, readdirSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { parseArgs } from "node:util";
import { ortNode, peers, sparsec } from "./peers.mjs";
import { shared } from "./shared.mjs";
import { expectClose, geometricMean, interleave, relativeError } from "./timing.mjs";

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    seconds: { type: "string", default: "3" },
    peers: { type: "string", default: "ort-web,ort-node" },
    variant: { type: "string" },
    json: { type: "boolean" },
  },
});
const folder = join(shared, "models");
if (!existsSync(folder)) {
  console.error(`the models are absent: no ${folder}; set SPARSEC_SHARED`);
  process.exit(1);
}
const rivals = options.peers.split(",").filter((p) => peers.has(p));

const ARRAYS = { float32: Float32Array, int64: BigInt64Array, float16: Uint16Array };
/** Inputs whose values decide shapes, by model: fixed when compiling. */
const CONSTANTS = { "silero-vad-16k-op15-if": ["sr"] };
/** Neither run by the peers: it has sparse tensors as run-time inputs. */
const BEYOND_PEERS = ["gcn-cora-sparseadj"];
/** Neither a dtype nor a sparsity pattern in the name. */
const isDense = (name) => !/int8|fp16|2to4|block|unstructured|sparse/.test(name);

/** What was recorded for a model: inputs and outputs as { name: { data, shape } }. */
function recorded(name) {
  const at = join(folder, "ref", name);
  const meta = JSON.parse(readFileSync(join(at, "meta.json"), "utf8"));
  const read = (t) => {
    const { buffer, byteOffset, byteLength } = readFileSync(join(at, t.file));
    return [t.name, { data: new ARRAYS[t.type](buffer.slice(byteOffset, byteOffset + byteLength)), shape: t.dims }];
  };
  return { inputs: Object.fromEntries(meta.inputs.map(read)), outputs: Object.fromEntries(meta.outputs.map(read)) };
}

const mapValues = (object, f) => Object.fromEntries(Object.entries(object).map(([k, v]) => [k, f(v)]));

/**
 * The first of the answers is the reference. Where integers are rounded, small differences flip and grow, so nobody is right alone: a
 * quantized model may be as far from the nearest answer as the answers are from each other.
 */
function expectAmong(who, got, answers, allowed, quantized) {
  for (const output of Object.keys(answers[0])) {
    const [reference, ...others] = answers.map((a) => a[output]);
    if (!quantized) {
      expectClose(who, { [output]: got[output] }, { [output]: reference }, allowed);
      continue;
    }
    const spread = Math.max(allowed, ...others.map((o) => relativeError(o, reference)));
    const error = Math.min(...[reference, ...others].map((o) => relativeError(got[output], o)));
    if (!(error <= spread)) throw new Error(`${who}: ${output} is off by ${error}, allowed ${spread}`);
  }
}

async function measure(name) {
  const bytes = new Uint8Array(readFileSync(join(folder, `${name}.onnx`)));
  const { inputs, outputs } = recorded(name);
  // The second input is the first one moved on by one element: its values are as valid.
  const feeds = [inputs, mapValues(inputs, ({ data, shape }) => ({ data: data.map((_, i) => data[(i + 1) % data.length]), shape }))];
  const plain = await ortNode(bytes, feeds, { graphOptimizationLevel: "disabled" });
  const references = [mapValues(outputs, (t) => t.data), await plain.run(1)];
  await plain.dispose();
  const competitors = [];
  const answers = [references];
  for (const p of rivals) {
    const peer = await peers.get(p)(bytes, feeds);
    competitors.push(peer);
    answers.push([await peer.run(0), await peer.run(1)]);
  }
  const verify = (got, i) =>
    expectAmong(
      `${name}, input ${i & 1}`,
      got,
      answers.map((a) => a[i & 1]),
      name.includes("fp16") || name.endsWith("-qdq") ? 1e-2 : 1e-4,
      name.endsWith("-qdq"),
    );
  const fixed = new Set(CONSTANTS[name] ?? []);
  const pick = (feed, keep) => Object.fromEntries(Object.entries(feed).filter(([n]) => fixed.has(n) === keep));
  const inputShapes = mapValues(pick(inputs, false), (t) => t.shape);
  const how = { inputShapes, constants: pick(inputs, true), variant: options.variant };
  const given = feeds.map((feed) => pick(feed, false));
  for (const sparsity of ["auto", "off"]) competitors.push(await sparsec(bytes, given, { ...how, sparsity }));
  const checked = competitors.map((c) => ({ ...c, verify }));
  const times = await interleave(checked, { seconds: Number(options.seconds) });
  const [ours, dense] = times.slice(-2);
  const { compileMs, artifact, info } = competitors.at(-2);
  for (const c of competitors) await c.dispose();
  return {
    name,
    ours,
    dense,
    peers: Object.fromEntries(rivals.map((p, i) => [p, times[i]])),
    compileMs,
    weightsKiB: artifact.files.get("weights.bin").length / 1024,
    variant: info.variant,
  };
}

const names = readdirSync(folder)
  .filter((f) => f.endsWith(".onnx"))
  .map((f) => basename(f, ".onnx"))
  .filter((n) => !BEYOND_PEERS.includes(n) && (positionals.length === 0 || positionals.some((p) => n.includes(p))));
const rows = [];
const three = (x) => x.toPrecision(3);
const say = (cells) => options.json || console.log(`| ${cells.join(" | ")} |`);
if (!options.json) console.log(`Node ${process.versions.node}, ${options.variant ?? "best"} variant\n`);
const header = ["model", "ms", ...rivals.map((p) => `x ${p}`), "x our dense", ...rivals.map((p) => `${p} ms`), "compile ms", "weights KiB"];
say(header);
say(header.map(() => "---"));
for (const name of names) {
  try {
    const r = await measure(name);
    rows.push(r);
    const times = Object.values(r.peers);
    const ratios = [...times, r.dense].map((t) => three(t / r.ours));
    say([name, three(r.ours), ...ratios, ...times.map(three), r.compileMs.toFixed(0), r.weightsKiB.toFixed(0)]);
  } catch (e) {
    console.log(`| ${name} | ${String(e.message).split("\n")[0]} |`);
    process.exitCode = 1;
  }
}
if (options.json) console.log(JSON.stringify({ node: process.versions.node, rows }, null, 2));
else
  for (const [what, some] of [
    ["dense fp32 models", rows.filter((r) => isDense(r.name))],
    ["all models", rows],
  ]) {
    const of = (p) => some.map((r) => r.peers[p] / r.ours);
    const said = rivals.map((p) => `${three(geometricMean(of(p)))} x ${p} (least ${three(Math.min(...of(p)))})`);
    if (some.length > 0) console.log(`\nGeometric mean of ${what}: ${said.join(", ")}.`);
  }
