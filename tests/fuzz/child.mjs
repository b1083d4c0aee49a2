// Forked by the tests of mutations: compiles or loads what it is sent, runs it on zeros, and says how that ended.
// Argument: the folder of the bundle. Messages: { model, options } or { manifest, files, device }.
import { pathToFileURL } from "node:url";

const [folder] = process.argv.slice(2);
const module = (name) => import(pathToFileURL(`${folder}/${name}.mjs`).href);
const { compile, SparsecError } = await module("compiler");
const { load } = await module("runtime");

const ARRAYS = {
  ...{ f32: Float32Array, f64: Float64Array, f16: Uint16Array, u16: Uint16Array, i16: Int16Array, i32: Int32Array, u32: Uint32Array },
  ...{ i8: Int8Array, u8: Uint8Array, bool: Uint8Array, i4: Int8Array, u4: Uint8Array, i64: BigInt64Array, u64: BigUint64Array },
};
const zeros = ({ dtype, shape }) => new ARRAYS[dtype](shape.reduce((product, extent) => product * extent, 1));

async function attempt(asked) {
  const artifact = "model" in asked ? await compile(asked.model, asked.options) : asked;
  const model = await load(artifact, "model" in asked ? {} : { device: asked.device });
  try {
    await model.run(Object.fromEntries(model.inputs.map((port) => [port.name, zeros(port)])));
  } finally {
    model.dispose();
  }
}

process.on("uncaughtException", (thrown) => process.send({ outcome: "uncaught", problem: String(thrown?.stack ?? thrown) }));
process.on("unhandledRejection", (thrown) => process.send({ outcome: "uncaught", problem: String(thrown?.stack ?? thrown) }));
process.on("message", async (asked) => {
  const started = performance.now();
  let outcome = "run";
  let problem;
  try {
    await attempt(asked);
  } catch (thrown) {
    outcome = thrown instanceof SparsecError ? thrown.code : "uncoded";
    if (!(thrown instanceof SparsecError)) problem = String(thrown?.stack ?? thrown);
  }
  for (const prototype of [Object.prototype, Array.prototype])
    if (Object.keys(prototype).length > 0) problem ??= `a prototype was changed: ${Object.keys(prototype)}`;
  process.send({ outcome, problem, ms: performance.now() - started, peak: process.resourceUsage().maxRSS * 1024 });
});
process.send({ outcome: "ready" });
