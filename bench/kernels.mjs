// Speed of the templates' kernels as wasm, in GF effective (2 x non-zeros x outputs / time), with a spot check of every result.
// Run pinned, from the project's root, on built code:  npm run build && taskset -c 0 node bench/kernels.mjs [part of a name] [zeros...]
// The machine code of a kernel:  node --print-wasm-code --no-liftoff --no-wasm-lazy-compilation bench/kernels.mjs "name"

import { wasm } from "../dist/backends/wasm/index.js";
import { createImage } from "../dist/compiler/image.js";
import { legalize } from "../dist/compiler/kernel/legalize.js";
import { denseConv } from "../dist/compiler/lower/match-conv.js";
import { flat, rows } from "../dist/compiler/lower/storage.js";
import { noEpilogue } from "../dist/compiler/lower/template.js";
import { convDepthwise } from "../dist/compiler/lower/templates/conv-depthwise.js";
import { convSparse } from "../dist/compiler/lower/templates/conv-sparse.js";
import { matmulDense } from "../dist/compiler/lower/templates/matmul-dense.js";
import { matmulSparse } from "../dist/compiler/lower/templates/matmul-features.js";
import { createWeightsWriter } from "../dist/compiler/weights-writer.js";
import { advance, callStmt, i32, pointer, variable } from "../dist/ir/kernel/build.js";
import { fillImage } from "../dist/runtime/sections.js";

const RELAXED = new Uint8Array([
  0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 15, 1, 13, 0, 65, 1, 253, 15, 65, 2, 253, 15, 253, 128, 2, 11,
]);
const variant = wasm.variants.find((v) => v.needs.includes("relaxed-simd") === WebAssembly.validate(RELAXED));

function random(seed) {
  let s = seed;
  return () => {
    s ^= s << 13;
    s ^= s >>> 17;
    s ^= s << 5;
    return (s >>> 0) / 2 ** 31 - 1;
  };
}

const margin = { rows: 1, columns: 1 };
const f32 = (shape) => ({ dtype: "f32", shape });

/** A convolution: [name, what it is asked for, and one output by hand]. */
function conv(c, m, h, w, k, s, zeros, groups = 1) {
  const next = random(c * 131 + m);
  const pad = (k - 1) >> 1;
  const [ho, wo] = [Math.floor((h + 2 * pad - k) / s) + 1, Math.floor((w + 2 * pad - k) / s) + 1];
  const weights = Float32Array.from({ length: (m * c * k * k) / groups }, () => ((next() + 1) / 2 < zeros ? 0 : next()));
  const input = rows(f32([1, c, h, w]), margin);
  const output = rows(f32([1, m, ho, wo]), margin);
  const spec = {
    name: "conv",
    input,
    output,
    weights,
    kernel: [k, k],
    strides: [s, s],
    dilations: [1, 1],
    pads: [pad, pad, pad, pad],
    groups,
    epilogue: noEpilogue,
    target: variant.can,
  };
  const [cg, mg] = [c / groups, m / groups];
  const at = (x, o, y, z) => {
    let sum = 0;
    for (let i = 0; i < cg; i++)
      for (let ky = 0; ky < k; ky++)
        for (let kx = 0; kx < k; kx++) {
          const [iy, ix, channel] = [y * s + ky - pad, z * s + kx - pad, Math.floor(o / mg) * cg + i];
          if (iy >= 0 && iy < h && ix >= 0 && ix < w) sum += weights[((o * cg + i) * k + ky) * k + kx] * x([0, channel, iy, ix]);
        }
    return sum;
  };
  const spots = Array.from({ length: 40 }, (_, i) => [0, (i * 7) % m, (i * 5) % ho, (i * 11) % wo]);
  return { spec, outputs: ho * wo, spots, expect: (x, [, o, y, z]) => at(x, o, y, z) };
}

/** An activation [t, k] times constant weights, row-major. */
function product(t, k, m, zeros) {
  const next = random(t * 131 + k);
  const weights = Float32Array.from({ length: m * k }, () => ((next() + 1) / 2 < zeros ? 0 : next()));
  const spec = {
    name: "product",
    side: "right",
    input: flat(f32([t, k])),
    output: flat(f32([t, m])),
    weights,
    epilogue: noEpilogue,
    target: variant.can,
  };
  const spots = Array.from({ length: 40 }, (_, i) => [(i * 3) % t, (i * 7) % m]);
  const expect = (x, [row, o]) => {
    let sum = 0;
    for (let i = 0; i < k; i++) sum += weights[o * k + i] * x([row, i]);
    return sum;
  };
  return { spec, outputs: t, spots, expect };
}

const KINDS = [
  ...[
    [256, 256, 1, 196],
    [32, 64, 112, 112],
    [128, 128, 56, 56],
    [256, 256, 28, 28],
    [512, 512, 14, 14],
    [1024, 1024, 7, 7],
  ].map(([c, m, h, w]) => [`mobilenet 1x1 ${c}->${m} @${h}x${w}`, (zeros) => conv(c, m, h, w, 1, 1, zeros)]),
  ...[
    [16, 16, 32, 1],
    [16, 32, 32, 2],
    [32, 32, 16, 1],
    [32, 64, 16, 2],
    [64, 64, 8, 1],
    [64, 64, 56, 1],
    [128, 128, 28, 1],
    [256, 256, 14, 1],
  ].map(([c, m, h, s]) => [`resnet 3x3 ${c}->${m} @${h} s${s}`, (zeros) => conv(c, m, h, h, 3, s, zeros)]),
  ["mobilenet 3x3 3->32 @224 s2", (zeros) => conv(3, 32, 224, 224, 3, 2, zeros)],
  ["squeezenet 7x7 3->96 @224 s2", (zeros) => conv(3, 96, 224, 224, 7, 2, zeros)],
  ...[
    [96, 16, 54, 1],
    [16, 64, 54, 3],
    [48, 192, 27, 3],
    [512, 1000, 13, 1],
  ].map(([c, m, h, k]) => [`squeezenet ${k}x${k} ${c}->${m} @${h}`, (zeros) => conv(c, m, h, h, k, 1, zeros)]),
  ...[
    [32, 112, 1],
    [144, 56, 1],
    [96, 112, 2],
    [144, 56, 2],
    [384, 14, 1],
    [576, 14, 2],
  ].map(([c, h, s]) => [`depthwise ${c} @${h} s${s}`, () => conv(c, c, h, h, 3, s, 0, c)]),
  ...[
    [1, 1024, 1024],
    [128, 768, 768],
    [128, 3072, 768],
  ].map(([t, k, m]) => [`matmul ${t}x${k}x${m}`, (zeros) => product(t, k, m, zeros)]),
];

const templateFor = (name, zeros) =>
  name.startsWith("depthwise")
    ? convDepthwise
    : name.startsWith("matmul")
      ? zeros > 0
        ? matmulSparse
        : matmulDense
      : zeros > 0
        ? convSparse
        : denseConv;

function offsetOf(storage, coords) {
  return coords.reduce((sum, c, axis) => sum + c * storage.strides[axis], storage.offset);
}

/** Assembles one kernel: memory holds the weight image, then every other buffer. */
async function assembled(lowered, spec) {
  const file = createWeightsWriter();
  const image = createImage(file);
  const places = lowered.bindings.map((b) => (b.kind === "packed" ? image.packed(b.packed) : 0));
  let end = 64 + image.bytes;
  lowered.bindings.forEach((b, i) => {
    if (b.kind === "packed") return;
    places[i] = end;
    end += Math.ceil((b.kind === "scratch" ? b.bytes : b.kind === "result" ? spec.output.bytes : spec.input.bytes) / 64) * 64 + 64;
  });
  const [weights, arena] = [variable("weights", "ptr"), variable("arena", "ptr")];
  const args = lowered.bindings.map((b, i) => advance(b.kind === "packed" ? weights : arena, i32(places[i])));
  const run = {
    name: "run",
    params: [pointer("weights", "read", end), pointer("arena", "readwrite", end)],
    body: [callStmt(lowered.entry, args)],
  };
  const program = legalize({ functions: [...lowered.functions, run], entry: "run", faults: [] }, variant.can);
  const { code, files } = await wasm.emit(program, variant);
  const memory = new WebAssembly.Memory({ initial: Math.ceil((end + 64) / 65536) });
  fillImage(new Uint8Array(memory.buffer, 64, image.bytes), file.finish(), image.sections);
  const { instance } = await WebAssembly.instantiate(files[code], { env: { memory } });
  return {
    run: () => instance.exports.run(64, 0),
    view: new DataView(memory.buffer),
    x: places[0],
    y: places[lowered.bindings.findIndex((b) => b.kind === "result")],
  };
}

function check({ spec, spots, expect }, kernel) {
  const x = (coords) => kernel.view.getFloat32(kernel.x + offsetOf(spec.input, coords), true);
  for (const coords of spots) {
    const [got, want] = [kernel.view.getFloat32(kernel.y + offsetOf(spec.output, coords), true), expect(x, coords)];
    if (!(Math.abs(got - want) <= 1e-4 * (1 + Math.abs(want)))) throw new Error(`element [${coords}] is ${got}, expected ${want}`);
  }
}

function fill({ spec }, kernel) {
  const next = random(99);
  const visit = (axis, coords) => {
    if (axis === spec.input.shape.length) kernel.view.setFloat32(kernel.x + offsetOf(spec.input, coords), next(), true);
    else for (let i = 0; i < spec.input.shape[axis]; i++) visit(axis + 1, [...coords, i]);
  };
  visit(0, []);
}

/** Microseconds of processor time a run: the lower quartile of samples of 5 ms. */
function time(run) {
  const cpu = () => {
    const { user, system } = process.cpuUsage();
    return user + system;
  };
  let count = 1;
  for (let spent = 0; spent < 5000; count *= 2) {
    const from = cpu();
    for (let i = 0; i < count; i++) run();
    spent = cpu() - from;
  }
  const samples = Array.from({ length: 13 }, () => {
    const from = cpu();
    for (let i = 0; i < count; i++) run();
    return (cpu() - from) / count;
  });
  return samples.sort((a, b) => a - b)[3];
}

const [part = "", ...given] = process.argv.slice(2);
const zeros = given.length > 0 ? given.map(Number) : [0, 0.67, 0.9];
console.log(`Node ${process.version}, ${variant.name}; GF effective and microseconds at zeros ${zeros.join(", ")}`);
for (const [name, make] of KINDS) {
  if (!name.includes(part)) continue;
  const cells = [];
  for (const z of name.startsWith("depthwise") ? [0] : zeros) {
    const problem = make(z);
    const lowered = templateFor(name, z)(problem.spec);
    const kernel = await assembled(lowered, problem.spec);
    fill(problem, kernel);
    kernel.run();
    check(problem, kernel);
    const us = time(kernel.run);
    const nonzeros = problem.spec.weights.reduce((n, w) => n + (w === 0 ? 0 : 1), 0);
    cells.push(`${((2 * nonzeros * problem.outputs) / us / 1e3).toFixed(1).padStart(6)} GF ${us.toFixed(1).padStart(9)} us`);
  }
  console.log(name.padEnd(34), cells.join("   "));
}
