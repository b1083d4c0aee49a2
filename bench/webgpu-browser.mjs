// Whole models on WebGPU in Chromium, against onnxruntime-web's WebGPU build on the same adapter, SwiftShader where there is no GPU: what is
// asked of the device, and wall time. A software adapter does not say what a GPU would.
// Usage: npm run build && node bench/webgpu-browser.mjs [--runs 5] [--flag=--more-for=chromium ...] [part of a name ...]
// Prints a table in Markdown.

import { existsSync, readFileSync } from "node:fs";
import { createServer } from "node:http";
import { basename, extname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { chromium } from "playwright-core";
import { compile } from "../dist/compiler/index.js";
import { shared } from "./shared.mjs";
import { expectClose, median } from "./timing.mjs";

const MODELS = ["mobilenetv2-1.0-224-fp32-dequantised", "squeezenet1.0-deepcompression-sparse", "sst2-encoder-dense"];
const WHO = ["sparsec", "ort-web"];
const FLAGS = ["--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];
const TYPES = {
  ".html": "text/html",
  ".js": "text/javascript",
  ".mjs": "text/javascript",
  ".json": "application/json",
  ".wasm": "application/wasm",
};
const ARRAYS = { float32: Float32Array, int64: BigInt64Array };

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: { runs: { type: "string", default: "5" }, flag: { type: "string", multiple: true, default: [] } },
});
const executablePath = process.env.SPARSEC_CHROMIUM ?? "/usr/bin/chromium";
const folder = join(shared, "models");
for (const needed of [executablePath, folder])
  if (!existsSync(needed)) {
    console.error(`absent: ${needed}; set SPARSEC_CHROMIUM and SPARSEC_SHARED`);
    process.exit(1);
  }
const here = fileURLToPath(new URL(".", import.meta.url));
const runtime = join(here, "../dist/runtime");
const ort = fileURLToPath(new URL(".", import.meta.resolve("onnxruntime-web/webgpu")));

/** A site with a model, as ONNX and as our artifact. */
async function serve(name, artifact) {
  const find = (path) => {
    const file = basename(path);
    if (path === "/") return '<!doctype html><link rel="icon" href="data:,"><script type="module" src="/page.js"></script>';
    if (path === "/page.js") return readFileSync(join(here, "webgpu-page.js"));
    if (path === "/model.onnx") return readFileSync(join(folder, `${name}.onnx`));
    if (path === "/model.sparsec/manifest.json") return artifact.json;
    if (path.startsWith("/model.sparsec/")) return artifact.files.get(file);
    if (path.startsWith("/ref/")) return readFileSync(join(folder, "ref", name, file));
    return readFileSync(join(path.startsWith("/ort/") ? ort : runtime, file));
  };
  const server = createServer((request, response) => {
    const path = new URL(request.url, "http://localhost").pathname;
    const body = existsSync(join(runtime, basename(path))) || !path.startsWith("/runtime/") ? find(path) : undefined;
    response.writeHead(body === undefined ? 404 : 200, {
      "content-type": TYPES[path === "/" ? ".html" : extname(path)] ?? "application/octet-stream",
    });
    response.end(body);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return server;
}

/** A browser of its own: drivers keep what they compiled. */
async function openPage(server, listen = () => {}) {
  const browser = await chromium.launch({
    executablePath,
    headless: true,
    chromiumSandbox: false,
    args: [...FLAGS, "--no-proxy-server", "--enable-unsafe-webgpu", ...options.flag],
  });
  const page = await browser.newPage();
  page.setDefaultTimeout(0);
  page.on("console", (message) => listen(message.text()));
  page.on("pageerror", (error) => console.error(String(error)));
  await page.goto(`http://127.0.0.1:${server.address().port}/`, { waitUntil: "networkidle" });
  return { page, browser };
}

/** The nodes that onnxruntime leaves to the CPU, by its own account when it logs everything. */
async function onCPU(server, meta) {
  let placed = "";
  const { page, browser } = await openPage(server, (text) => {
    placed += `${text}\n`;
  });
  await page.evaluate((m) => start("ort-web", m, { logSeverityLevel: 0 }), meta);
  await browser.close();
  const lists = [...placed.matchAll(/placed on \[(\w+)\]\. Number of nodes: (\d+)/g)];
  if (!lists.length) throw new Error("onnxruntime does not say where its nodes run");
  return lists.filter(([, provider]) => provider.startsWith("CPU")).reduce((sum, [, , n]) => sum + Number(n), 0);
}

function referenceOf(name) {
  const at = join(folder, "ref", name);
  const meta = JSON.parse(readFileSync(join(at, "meta.json"), "utf8"));
  const read = ({ name: output, type, file }) => [output, new ARRAYS[type](new Uint8Array(readFileSync(join(at, file))).buffer)];
  return { meta, reference: Object.fromEntries(meta.outputs.map(read)) };
}

async function measure(name) {
  const { meta, reference } = referenceOf(name);
  const inputShapes = Object.fromEntries(meta.inputs.map((t) => [t.name, t.dims]));
  const server = await serve(name, await compile(join(folder, `${name}.onnx`), { inputShapes, backends: ["webgpu"] }));
  const rivals = [];
  for (const who of WHO) {
    const { page, browser } = await openPage(server);
    const infer = async () => {
      const { outputs, ...taken } = await page.evaluate(() => infer());
      expectClose(`${name}: ${who}`, outputs, reference);
      return taken;
    };
    const load = await page.evaluate(([w, m]) => start(w, m), [who, meta]);
    rivals.push({ who, browser, infer, load, first: await infer(), warm: [] });
  }
  // In turn, that what else the machine does is shared.
  for (let run = 0; run < Number(options.runs); run++) for (const rival of rivals) rival.warm.push(await rival.infer());
  for (const { browser } of rivals) await browser.close();
  const cpu = await onCPU(server, meta);
  server.closeAllConnections();
  server.close();
  return rivals.map(({ who, load, first, warm }) => ({ who, load, first, warm, cpu: who === "ort-web" ? cpu : 0 }));
}

const line = (cells) => console.log(`| ${cells.join(" | ")} |`);
const header = [
  "model",
  "who",
  "dispatches",
  "on the CPU",
  "MB up, load and first run",
  "KB up",
  "KB down",
  "load ms",
  "first run ms",
  "warm ms",
];
let said = false;
for (const name of MODELS.filter((n) => !positionals.length || positionals.some((p) => n.includes(p)))) {
  const rows = await measure(name);
  if (!said) {
    console.log(
      `Chromium, ${rows[0].load.adapter}; onnxruntime-web ${JSON.parse(readFileSync(join(ort, "../package.json"), "utf8")).version}\n`,
    );
    line(header);
    line(header.map(() => "---"));
    said = true;
  }
  for (const { who, load, first, warm, cpu } of rows) {
    const last = warm.at(-1);
    const moved = [((load.up + first.up) / 1e6).toFixed(2), (last.up / 1e3).toFixed(2), (last.down / 1e3).toFixed(2)];
    line([name, who, last.dispatches, cpu, ...moved, ...[load.ms, first.ms, median(warm.map(({ ms }) => ms))].map((ms) => ms.toFixed(0))]);
  }
  const [ours, theirs] = rows.map(({ warm, cpu }) => warm.at(-1).dispatches + cpu);
  if (ours > theirs) {
    console.error(`${name}: ${ours} dispatches, more than onnxruntime's ${theirs}`);
    process.exitCode = 1;
  }
}
