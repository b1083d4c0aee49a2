// A web site in memory on 127.0.0.1, with the bundled runtime and a page that runs models.

import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { rolldown } from "rolldown";
import type { Artifact } from "../../compiler/artifact.ts";

/** What a page of strict habits allows; sparsec must work under it. */
export const STRICT_POLICY = "script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'";

export type SiteFiles = ReadonlyMap<string, string | Uint8Array>;

export interface Site {
  readonly origin: string;
  readonly port: number;
  close(): Promise<void>;
}

const TYPES: ReadonlyMap<string, string> = new Map([
  ["html", "text/html"],
  ["js", "text/javascript"],
  ["mjs", "text/javascript"],
  ["wasm", "application/wasm"],
  ["json", "application/json"],
]);

/** Serves files by path (`/model.sparsec/manifest.json`), each answer with the given headers. */
export const serve = async (files: SiteFiles, headers: Readonly<Record<string, string>>): Promise<Site> => {
  const server = createServer((request, response) => {
    const path = new URL(request.url ?? "/", "http://local").pathname;
    const body = files.get(path === "/" ? "/index.html" : path);
    const type = TYPES.get(path === "/" ? "html" : path.slice(path.lastIndexOf(".") + 1)) ?? "application/octet-stream";
    response.writeHead(body === undefined ? 404 : 200, { ...headers, "content-type": type });
    response.end(body);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const close = (): Promise<void> => {
    server.closeAllConnections();
    return new Promise((resolve) => server.close(() => resolve()));
  };
  return { origin: `http://127.0.0.1:${port}`, port, close };
};

/** The runtime as minified modules, as a bundler for browsers makes them: `/runtime.js`, `/worker.js` and what they import. */
export const bundledRuntime = async (): Promise<SiteFiles> => {
  const source = (file: string): string => new URL(`../../runtime/${file}`, import.meta.url).pathname;
  const build = await rolldown({ input: { runtime: source("index.ts"), worker: source("worker.ts") }, platform: "browser" });
  const { output } = await build.generate({ format: "esm", minify: true });
  return new Map(output.flatMap((file) => (file.type === "chunk" ? [[`/${file.fileName}`, file.code] as const] : [])));
};

/** An artifact as a folder of the site. */
export const artifactFiles = (name: string, { json, files }: Artifact): readonly (readonly [string, string | Uint8Array])[] => [
  [`/${name}/manifest.json`, json],
  ...[...files].map(([file, bytes]) => [`/${name}/${file}`, bytes] as const),
];

/** What a page (or its worker) answers: outputs as bytes, or the error's code and message. */
export interface Answer {
  readonly info?: {
    readonly backend: string;
    readonly variant: string;
    readonly threads: number;
    readonly whyThreads: string;
    readonly skipped: readonly { readonly variant: string; readonly reason: string }[];
  };
  readonly outputs?: readonly {
    readonly name: string;
    readonly dtype: string;
    readonly shape: readonly number[];
    readonly bytes: readonly number[];
  }[];
  readonly error?: { readonly code: unknown; readonly message: string };
}
/** Inputs by name as dtype class name and elements, bigints as strings. */
export type Question = {
  readonly source: string;
  readonly device: string;
  readonly threads?: number;
  readonly inputs: readonly { readonly name: string; readonly array: string; readonly elements: readonly (number | string)[] }[];
};

const ANSWER = `
import { load } from "/runtime.js";
export const answer = async ({ source, device, threads, inputs }) => {
  try {
    const given = Object.fromEntries(inputs.map(({ name, array, elements }) => [
      name, globalThis[array].from(elements, array.startsWith("Big") ? BigInt : Number),
    ]));
    const model = await load(source, { device, threads, calibrate: false });
    const outputs = Object.entries(await model.run(given)).map(([name, { data, dtype, shape }]) => ({
      name, dtype, shape, bytes: Array.from(new Uint8Array(data.buffer, data.byteOffset, data.byteLength)),
    }));
    const { backend, variant, threads: team, whyThreads, skipped } = model.info();
    model.dispose();
    return { info: { backend, variant, threads: team, whyThreads, skipped }, outputs };
  } catch (error) {
    return { error: { code: error.code, message: String(error.message) } };
  }
};
`;
const PAGE = `
import { answer } from "/answer.js";
globalThis.inPage = answer;
globalThis.inWorker = (question) => new Promise((resolve, reject) => {
  const worker = new Worker("/page-worker.js", { type: "module" });
  worker.onmessage = ({ data }) => { worker.terminate(); resolve(data); };
  worker.onerror = (event) => reject(new Error(event.message));
  worker.postMessage(question);
});
`;
const WORKER = `
import { answer } from "/answer.js";
onmessage = async ({ data }) => postMessage(await answer(data));
`;

/** The site's own files; `inPage` and `inWorker` are globals of its page. */
export const pageFiles = async (): Promise<SiteFiles> =>
  new Map([
    ["/index.html", `<!doctype html><link rel="icon" href="data:,"><script type="module" src="/page.js"></script>`],
    ["/page.js", PAGE],
    ["/answer.js", ANSWER],
    ["/page-worker.js", WORKER],
    ...(await bundledRuntime()),
  ]);
