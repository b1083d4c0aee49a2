// Speed of the panel SpMM kernel (KERNELS.md 5.1) as the wasm backend prints it, hand-written here in kernel IR.
// Run pinned, from the project's root, on built code:  npm run build && taskset -c 0 node bench/kernel-spmm.mjs [zeros] [vectors]
// The machine code of the inner loop:  node --print-wasm-code --no-liftoff --no-wasm-lazy-compilation bench/kernel-spmm.mjs

import { wasm } from "../dist/backends/wasm/index.js";
import { legalize } from "../dist/compiler/kernel/legalize.js";
import * as k from "../dist/ir/kernel/build.js";
import { wasmExecutor } from "../dist/runtime/executors/wasm.js";

const [M, K, N] = [256, 256, 196];
const zeros = Number(process.argv[2] ?? 0.9);

/** One panel of NV vectors: for each row, splat weights times the panel's row that a u16 byte offset names. */
function kernel(NV, panels) {
  const stride = 16 * NV;
  const v = (name, type) => k.variable(name, type);
  const [x, c, w, index, header] = ["x", "c", "w", "index", "header"].map((n) => v(n, "ptr"));
  const lanes = Array.from({ length: NV }, (_, j) => j);
  const acc = (j) => v(`acc${j}`, "f32x4");
  const inner = k.repeat(
    [
      k.let_("row", k.advance(x, k.load("u16", v("i", "ptr")))),
      k.let_("weight", k.splat("f32x4", k.load("f32", v("wp", "ptr")))),
      ...lanes.map((j) => k.set(`acc${j}`, k.fma(v("weight", "f32x4"), k.load("f32x4", v("row", "ptr"), 16 * j), acc(j)))),
      k.set("wp", k.advance(v("wp", "ptr"), k.i32(4))),
      k.set("i", k.advance(v("i", "ptr"), k.i32(2))),
      k.set("n", k.sub(v("n"), k.i32(1))),
    ],
    v("n"),
  );
  inner.again = k.compare("ne", v("n"), k.i32(0));
  const body = [
    k.let_("wp", w),
    k.let_("i", index),
    k.let_("h", header),
    k.let_("out", c),
    k.let_("m", k.i32(M)),
    k.repeat(
      [
        ...lanes.map((j) => k.let_(`acc${j}`, k.splat("f32x4", k.f32(0)))),
        k.let_("n", k.load("u16", v("h", "ptr"))),
        k.if_(k.compare("ne", v("n"), k.i32(0)), [inner]),
        ...lanes.map((j) => k.store("f32x4", v("out", "ptr"), acc(j), 16 * j)),
        k.set("h", k.advance(v("h", "ptr"), k.i32(2))),
        k.set("out", k.advance(v("out", "ptr"), k.i32(stride))),
        k.set("m", k.sub(v("m"), k.i32(1))),
      ],
      k.compare("ne", v("m"), k.i32(0)),
    ),
  ];
  const panel = {
    name: `spmm_panel${4 * NV}`,
    doc: `C[${M}][${4 * NV}] = W[${M}][${K}] X[${K}][${4 * NV}], W unstructured`,
    params: [
      k.pointer("x", "read", K * stride),
      k.pointer("c", "write", M * stride),
      k.pointer("w", "read", 4 * M * K),
      k.pointer("index", "read", 2 * M * K),
      k.pointer("header", "read", 2 * M),
    ],
    body,
  };
  const [weights, arena] = [v("weights", "ptr"), v("arena", "ptr")];
  const call = (p) =>
    k.callStmt(panel.name, [
      k.advance(arena, k.i32(p * K * stride)),
      k.advance(arena, k.i32((panels * K + p * M) * stride)),
      k.advance(weights, k.i32(0)),
      k.advance(weights, k.i32(4 * M * K)),
      k.advance(weights, k.i32(6 * M * K)),
    ]);
  const main = {
    name: "main",
    params: [k.pointer("weights", "read", 6 * M * K + 2 * M), k.pointer("arena", "readwrite", panels * (K + M) * stride)],
    body: Array.from({ length: panels }, (_, p) => call(p)),
  };
  return { functions: [panel, main], entry: "main", faults: [] };
}

function weightsOf(stride) {
  const bytes = new Uint8Array(6 * M * K + 2 * M);
  const w = new Float32Array(bytes.buffer, 0, M * K);
  const index = new Uint16Array(bytes.buffer, 4 * M * K, M * K);
  const header = new Uint16Array(bytes.buffer, 6 * M * K, M);
  const dense = new Float64Array(M * K);
  let [seed, nnz] = [1, 0];
  const random = () => (seed = (seed * 16807) % 2147483647) / 2147483647;
  for (let m = 0; m < M; m++) {
    const before = nnz;
    for (let c = 0; c < K; c++) {
      if (random() < zeros) continue;
      w[nnz] = random() - 0.5;
      dense[m * K + c] = w[nnz];
      index[nnz++] = c * stride;
    }
    header[m] = nnz - before;
  }
  return { bytes, dense, nnz };
}

for (const variant of wasm.variants) {
  const NV = Number(process.argv[3] ?? (variant.name === "relaxed" ? 10 : 7));
  const panels = Math.ceil(N / (4 * NV));
  const stride = 16 * NV;
  const program = kernel(NV, panels);
  const { code, files } = await wasm.emit(legalize(program, variant.can), variant);
  const manifest = { needs: variant.needs, weights: 6 * M * K + 2 * M, arena: panels * (K + M) * stride };
  const reason = wasmExecutor.unsupported(manifest);
  if (reason) {
    console.log(`${variant.name}: skipped, ${reason}`);
    continue;
  }
  const instance = await wasmExecutor.instantiate({ bytes: files[code] }, manifest);
  const { bytes, dense, nnz } = weightsOf(stride);
  new Uint8Array(instance.buffer, instance.weights, bytes.length).set(bytes);
  const x = new Float32Array(instance.buffer, instance.arena, panels * K * 4 * NV).map((_, i) => ((i * 7919) % 97) / 97 - 0.5);
  new Float32Array(instance.buffer, instance.arena, x.length).set(x);
  instance.run();
  const c = new Float32Array(instance.buffer, instance.arena + panels * K * stride, panels * M * 4 * NV);
  let worst = 0;
  for (let m = 0; m < M; m++)
    for (let n = 0; n < N; n++) {
      const [p, lane] = [Math.floor(n / (4 * NV)), n % (4 * NV)];
      let sum = 0;
      for (let i = 0; i < K; i++) sum += dense[m * K + i] * x[(p * K + i) * 4 * NV + lane];
      worst = Math.max(worst, Math.abs(sum - c[(p * M + m) * 4 * NV + lane]));
    }
  const samples = [];
  for (let round = 0; round < 40; round++) {
    const start = process.cpuUsage();
    for (let i = 0; i < 50; i++) instance.run();
    const { user, system } = process.cpuUsage(start);
    samples.push((user + system) / 50);
  }
  samples.sort((a, b) => a - b);
  const us = samples[10];
  const gflops = (2 * nnz * N) / us / 1e3;
  console.log(
    `${variant.name}: ${M}x${K}x${N}, ${(100 * zeros).toFixed(0)} % zeros, ${4 * NV}-column panels: ${us.toFixed(1)} us, ` +
      `${gflops.toFixed(1)} GF effective, error ${worst.toExponential(1)}, ${files[code].length} bytes of wasm`,
  );
}
