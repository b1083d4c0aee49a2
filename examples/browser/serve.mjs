// Compiles the digit classifier and serves it with this page under a strict content policy: no eval, no inline scripts.
// Run after `npm ci && npm run build`: node examples/browser/serve.mjs [port]

import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { extname, join, normalize, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { compile } from "sparsec";

const here = fileURLToPath(new URL(".", import.meta.url));
const runtime = fileURLToPath(new URL(".", import.meta.resolve("sparsec/runtime")));
const digits = join(here, "..", "digits");
const TYPES = {
  ".html": "text/html",
  ".js": "text/javascript",
  ".css": "text/css",
  ".json": "application/json",
  ".wasm": "application/wasm",
};

const artifact = await compile(join(digits, "digits.onnx"), { backends: ["wasm", "webgpu", "js"], dims: { N: 1 } });

/** A file below a folder, and nothing else. */
async function below(folder, name) {
  const path = normalize(join(folder, name));
  return path.startsWith(folder.endsWith(sep) ? folder : folder + sep) ? readFile(path) : undefined;
}

async function find(path) {
  if (path === "/") return below(here, "index.html");
  if (path === "/digits.sparsec/manifest.json") return artifact.json;
  if (path.startsWith("/digits.sparsec/")) return artifact.files.get(path.slice("/digits.sparsec/".length));
  if (path.startsWith("/runtime/")) return below(runtime, path.slice("/runtime/".length));
  if (path === "/test-images.bin") return below(digits, "test-images.bin");
  return ["/main.js", "/style.css"].includes(path) ? below(here, path) : undefined;
}

const server = createServer(async (request, response) => {
  const path = new URL(request.url, "http://localhost").pathname;
  const body = await find(path).catch(() => undefined);
  response.writeHead(body === undefined ? 404 : 200, {
    "Content-Type": TYPES[path === "/" ? ".html" : extname(path)] ?? "application/octet-stream",
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data:; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'",
  });
  response.end(body);
});
server.listen(Number(process.argv[2] ?? 8080), "127.0.0.1", () => console.log(`http://localhost:${server.address().port}`));
