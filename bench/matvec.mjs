// One row by weights of 4 and 8 bits, against our floats and onnxruntime's web and native builds, whose MatMulNBits takes activations of 8 bits,
// too (accuracy_level 4): one thread, by CPU time. Every result is held against the same weights in floats. With zeros: chains of products by
// weights with a part of zeros in blocks of features by inputs, as floats and as 8 bits, against floats and 8 bits without.
// Usage: taskset -c 1 node bench/matvec.mjs [--peers ort-web,ort-node] [--seconds 3] [--rows 1] [--variant baseline]
//   [--zeros 0.5,0.9 [--block 8x4] [--layers 4]] [part of a name ...]

import { parseArgs } from "node:util";
import { encodeModel } from "../dist/compiler/onnx/proto/encode.js";
import { prune, random } from "./networks/prune.mjs";
import { peers, sparsec } from "./peers.mjs";
import { expectClose, interleave } from "./timing.mjs";

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    peers: { type: "string", default: "ort-web,ort-node" },
    seconds: { type: "string", default: "3" },
    rows: { type: "string", default: "1" },
    variant: { type: "string" },
    zeros: { type: "string" },
    block: { type: "string", default: "8x4" },
    layers: { type: "string", default: "4" },
  },
});
const BLOCK = 32;
const ROWS = Number(options.rows);
/** [K, N], as the product sums over K. */
const SIZES = [
  [2048, 2048],
  [3072, 768],
  [768, 3072],
  [4096, 4096],
];
const rivals = options.peers.split(",").filter((p) => peers.has(p));

/** Rows of weights in blocks: integers around 8, and a scale for each block. */
function rounded(k, n) {
  const next = random(3);
  const blocks = k / BLOCK;
  const [nibbles, scales, floats] = [new Uint8Array((n * k) / 2), new Float32Array(n * blocks), new Float32Array(k * n)];
  for (let b = 0; b < n * blocks; b++) {
    const weights = Array.from({ length: BLOCK }, next);
    const scale = Math.fround(weights.reduce((m, w) => Math.max(m, Math.abs(w)), 0) / 7 / Math.sqrt(k));
    scales[b] = scale;
    weights.forEach((w, i) => {
      const q = Math.round(w / Math.sqrt(k) / scale);
      nibbles[(b * BLOCK + i) >> 1] |= (q + 8) << (4 * (i & 1));
      floats[((b % blocks) * BLOCK + i) * n + Math.floor(b / blocks)] = q * scale;
    });
  }
  return { nibbles, scales, floats, blocks };
}

function models(k, n) {
  const { nibbles, scales, floats, blocks } = rounded(k, n);
  const ports = {
    inputs: [{ name: "x", dtype: "f32", shape: [ROWS, k] }],
    outputs: [{ name: "y", dtype: "f32", shape: [ROWS, n] }],
  };
  const ints = Object.entries({ K: k, N: n, bits: 4, block_size: BLOCK, accuracy_level: 4 }).map(([name, int]) => [name, { int }]);
  return {
    float: encodeModel({
      ...ports,
      opset: 17,
      nodes: [{ op: "MatMul", inputs: ["x", "w"], outputs: ["y"] }],
      initializers: [{ name: "w", dtype: "f32", shape: [k, n], data: floats }],
    }),
    four: encodeModel({
      ...ports,
      opset: { "": 17, "com.microsoft": 1 },
      nodes: [
        { op: "MatMulNBits", domain: "com.microsoft", inputs: ["x", "w", "s"], outputs: ["y"], attributes: Object.fromEntries(ints) },
      ],
      initializers: [
        { name: "w", dtype: "u8", shape: [n, blocks, BLOCK / 2], data: nibbles },
        { name: "s", dtype: "f32", shape: [n * blocks], data: scales },
      ],
    }),
  };
}

const feedOf = (k, seed) => {
  const next = random(seed);
  return { x: { shape: [ROWS, k], data: Float32Array.from({ length: ROWS * k }, next) } };
};
const weightsOf = ({ artifact }) => artifact.files.get("weights.bin").length;

async function measure([k, n]) {
  const { float, four } = models(k, n);
  const feeds = [feedOf(k, 11), feedOf(k, 12)];
  const native = await peers.get("ort-node")(float, feeds);
  const references = [await native.run(0), await native.run(1)].map(({ y }) => ({ y: y.slice() }));
  await native.dispose();
  const held = (competitor, who, allowed) => ({
    ...competitor,
    who,
    verify: (outputs, i) => expectClose(who, outputs, references[i & 1], allowed),
  });
  const { variant } = options;
  const ours = [
    // Some of the weights are zero; none is left out.
    held(await sparsec(float, feeds, { variant, sparsity: "off" }), "f32", 1e-5),
    held(await sparsec(float, feeds, { variant, quantize: { scheme: "int8-weights" } }), "int8", 0.03),
    held(await sparsec(four, feeds, { variant }), "int4", 0.02),
  ];
  const others = [];
  for (const p of rivals) {
    others.push(held(await peers.get(p)(float, feeds), `${p} f32`, 1e-5));
    others.push(held(await peers.get(p)(four, feeds), `${p} int4`, 0.02));
  }
  const all = [...ours, ...others];
  const times = await interleave(all, { seconds: Number(options.seconds) });
  for (const c of all) await c.dispose();
  const [f32, int8, int4] = times;
  const size = ours.map(weightsOf);
  return { f32, int8, int4, sizes: size.map((s) => s / size[0]), peers: times.slice(3), variant: ours[2].info.variant };
}

/** A chain of square products, each but the last with a ReLU: weights random, of which some are pruned in blocks. */
function chain(k, zeros, block) {
  const layers = Array.from({ length: Number(options.layers) }, (_, l) => l);
  const weights = layers.map((l) => {
    const next = random(l + 5);
    const rows = prune(
      Float32Array.from({ length: k * k }, () => next() * Math.sqrt(6 / k)),
      [k, k],
      zeros,
      block,
    );
    return rows.map((_, i) => rows[(i % k) * k + Math.floor(i / k)]);
  });
  const value = (l) => (l === layers.length ? "y" : l === 0 ? "x" : `r${l}`);
  return encodeModel({
    opset: 17,
    inputs: [{ name: "x", dtype: "f32", shape: [ROWS, k] }],
    outputs: [{ name: "y", dtype: "f32", shape: [ROWS, k] }],
    nodes: layers.flatMap((l) =>
      l + 1 === layers.length
        ? [{ op: "MatMul", inputs: [value(l), `w${l}`], outputs: ["y"] }]
        : [
            { op: "MatMul", inputs: [value(l), `w${l}`], outputs: [`p${l}`] },
            { op: "Relu", inputs: [`p${l}`], outputs: [value(l + 1)] },
          ],
    ),
    initializers: weights.map((data, l) => ({ name: `w${l}`, dtype: "f32", shape: [k, k], data })),
  });
}

async function measureZeros(k, zeros) {
  const block = options.block.split("x").map(Number);
  const [full, pruned] = [chain(k, 0, block), chain(k, zeros, block)];
  const feeds = [feedOf(k, 11), feedOf(k, 12)];
  const quantize = { scheme: "int8-weights" };
  const { variant } = options;
  const all = [];
  for (const [model, others] of [
    [full, [{ quantize }]],
    [pruned, [{}, { quantize }]],
  ]) {
    const reference = await sparsec(model, feeds, { variant, sparsity: "off" });
    const wanted = [await reference.run(0), await reference.run(1)].map(({ y }) => ({ y: y.slice() }));
    const verify = (outputs, i) => expectClose("zeros", outputs, wanted[i & 1], 0.06);
    for (const settings of others) all.push({ ...(await sparsec(model, feeds, { variant, ...settings })), verify });
    if (model === full) all.push({ ...reference, verify });
    else await reference.dispose();
  }
  const times = await interleave(all, { seconds: Number(options.seconds) });
  for (const c of all) await c.dispose();
  const [dense8, dense, sparse, sparse8] = times.map((ms) => (1000 * ms) / Number(options.layers));
  const bytes = (weightsOf(all[3]) / weightsOf(all[1])).toFixed(4);
  return { dense, sparse, dense8, sparse8, bytes, variant: all[3].info.variant };
}

const three = (x) => x.toPrecision(3);
const say = (cells) => console.log(`| ${cells.join(" | ")} |`);
console.log(`Node ${process.versions.node}, rows: ${ROWS}.\n`);
if (options.zeros) {
  const header = [
    "K x K",
    "zeros",
    "variant",
    "f32 us",
    "f32 zeros",
    "int8",
    "int8 zeros",
    "f32 zeros / int8 zeros",
    "int8 / int8 zeros",
    "bytes",
  ];
  say(header);
  say(header.map(() => "---"));
  for (const k of [1024, 2048].filter((k) => positionals.length === 0 || positionals.includes(String(k))))
    for (const zeros of options.zeros.split(",").map(Number)) {
      const r = await measureZeros(k, zeros);
      const times = [r.dense, r.sparse, r.dense8, r.sparse8].map(three);
      say([k, `${zeros} in ${options.block}`, r.variant, ...times, three(r.sparse / r.sparse8), three(r.dense8 / r.sparse8), r.bytes]);
    }
} else {
  const header = ["K x N", "variant", "f32 us", "int8 us", "int4 us", "f32 / int8", "f32 / int4", "bytes int8, int4"];
  say([...header, ...rivals.flatMap((p) => [`${p} f32 / int4`, `${p} int4 / int4`])]);
  say([...header, ...rivals, ...rivals].map(() => "---"));
  for (const size of SIZES.filter((s) => positionals.length === 0 || positionals.some((p) => s.join("x").includes(p)))) {
    const r = await measure(size);
    const own = [r.f32, r.int8, r.int4].map((t) => three(1000 * t));
    const bytes = r.sizes
      .slice(1)
      .map((s) => s.toFixed(3))
      .join(", ");
    say([
      size.join(" x "),
      r.variant,
      ...own,
      three(r.f32 / r.int8),
      three(r.f32 / r.int4),
      bytes,
      ...r.peers.map((t) => three(t / r.int4)),
    ]);
  }
}
