// Run as a process of its own: compiles models and prints the SHA-256 of every file of each artifact as JSON.
// Arguments: the bundle of the compiler, a JSON array of { path, options }.
import { createHash } from "node:crypto";
import { pathToFileURL } from "node:url";

const [bundle, list] = process.argv.slice(2);
const { compile } = await import(pathToFileURL(bundle).href);
const sha256 = (bytes) => createHash("sha256").update(bytes).digest("hex");

const results = [];
for (const { path, options } of JSON.parse(list)) {
  const { files, json } = await compile(path, options);
  results.push([["manifest.json", sha256(json)], ...[...files].map(([name, bytes]) => [name, sha256(bytes)])]);
}
console.log(JSON.stringify(results));
