// Run by an engine under test: loads artifacts with a bundled runtime, runs each on its inputs, and prints the outputs' SHA-256 as JSON.
// Arguments: the bundle of the runtime, a file with { name, folder, inputs: [{ name, file, dtype, shape }] } of each artifact.
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const [bundle, list] = process.argv.slice(2);
const { load } = await import(pathToFileURL(bundle).href);
const arrays = { f32: Float32Array, i64: BigInt64Array };

const results = {};
for (const { name, folder, inputs } of JSON.parse(readFileSync(list, "utf8"))) {
  const model = await load(folder, { device: "wasm:baseline" });
  const tensors = inputs.map(({ name, file, dtype, shape }) => {
    const bytes = readFileSync(file);
    const whole = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength);
    return [name, { data: new arrays[dtype](whole), shape }];
  });
  const outputs = await model.run(Object.fromEntries(tensors));
  results[name] = Object.fromEntries(
    Object.keys(outputs).map((output) => {
      const { data, shape } = outputs[output];
      const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
      return [output, { shape, sha256: createHash("sha256").update(bytes).digest("hex") }];
    }),
  );
}
console.log(JSON.stringify(results));
