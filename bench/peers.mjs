// The competitors: each takes the bytes of an ONNX model and two feeds, and runs on one thread.
//
// A feed is { name: { data, shape } } with f32 in Float32Array, i64 in BigInt64Array. A competitor is { name, run(i), dispose() }:
// `run(i)` runs feed i % 2 and resolves to { name: data }.

import { createRequire } from "node:module";
import { compileModel } from "../dist/compiler/index.js";
import { load } from "../dist/runtime/index.js";
import { cpu, expectClose } from "./timing.mjs";

// Where there is a Float16Array, onnxruntime-common makes f16 tensors of it, which onnxruntime-node 1.30 reads as empty.
delete globalThis.Float16Array;

const require = createRequire(import.meta.url);
const TYPES = new Map([
  [Float32Array, "float32"],
  [BigInt64Array, "int64"],
  [Uint16Array, "float16"],
  [Uint8Array, "uint8"],
]);

async function onnxruntime(name, ort, bytes, feeds, settings) {
  const session = await ort.InferenceSession.create(bytes, { graphOptimizationLevel: "all", logSeverityLevel: 3, ...settings });
  const tensors = feeds.map((feed) =>
    Object.fromEntries(Object.entries(feed).map(([n, { data, shape }]) => [n, new ort.Tensor(TYPES.get(data.constructor), data, shape)])),
  );
  return {
    name,
    run: async (i) => {
      const outputs = await session.run(tensors[i & 1]);
      return Object.fromEntries(Object.entries(outputs).map(([n, t]) => [n, t.data]));
    },
    dispose: () => session.release(),
  };
}

/** onnxruntime-web's wasm build, SIMD. */
export async function ortWeb(bytes, feeds) {
  const ort = await import("onnxruntime-web");
  ort.env.wasm.numThreads = 1;
  ort.env.logLevel = "error";
  return onnxruntime("ort-web", ort, bytes, feeds, { executionProviders: ["wasm"] });
}

/** onnxruntime's native build for this processor. */
export async function ortNode(bytes, feeds, settings) {
  const ort = require("onnxruntime-node");
  return onnxruntime("ort-node", ort, bytes, feeds, {
    executionProviders: ["cpu"],
    intraOpNumThreads: 1,
    interOpNumThreads: 1,
    ...settings,
  });
}

/** This project. `options` are those of `compileModel`, with `variant`: `baseline`, say. */
export async function sparsec(bytes, feeds, { variant, ...options } = {}) {
  const from = cpu();
  const { artifact, report } = await compileModel(bytes, { backends: ["wasm"], ...options });
  const compileMs = cpu() - from;
  const model = await load(artifact, { device: variant ? `wasm:${variant}` : "wasm", threads: 1 });
  return {
    name: "sparsec",
    run: async (i) => {
      const outputs = await model.run(feeds[i & 1]);
      return Object.fromEntries(Object.entries(outputs).map(([n, t]) => [n, t.data]));
    },
    dispose: () => model.dispose(),
    artifact,
    report,
    compileMs,
    info: model.info(),
  };
}

/** What native onnxruntime answers, as the reference: `verify(who, allowed error)` is what `interleave` takes. */
export async function referenceOf(bytes, feeds) {
  const session = await ortNode(bytes, feeds);
  const references = [await session.run(0), await session.run(1)];
  await session.dispose();
  return (who, allowed) => (outputs, i) => expectClose(who, outputs, references[i & 1], allowed);
}

/** Peers that read ONNX, by name. */
export const peers = new Map([
  ["ort-web", ortWeb],
  ["ort-node", ortNode],
]);
