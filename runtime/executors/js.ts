// Runs the variants of the js backend: an ES module over one ArrayBuffer.

import type { VariantManifest } from "../artifact.ts";
import { errors } from "../diagnostics.ts";
import { aligned, type Code, type HostExecutor, type Instance, RESERVED, type Requirements } from "../executor.ts";

/** What the js backend's module exports. */
interface Kernels {
  instantiate(buffer: ArrayBuffer): { run(weights: number, arena: number): number };
}

const isKernels = (x: unknown): x is Kernels =>
  typeof x === "object" && x !== null && "instantiate" in x && typeof x.instantiate === "function";

/** Base64 of bytes, in pieces that a call's arguments can hold. */
function base64(bytes: Uint8Array): string {
  const piece = 0x2000;
  let text = "";
  for (let i = 0; i < bytes.length; i += piece) text += String.fromCharCode(...bytes.subarray(i, i + piece));
  return btoa(text);
}

async function imported(code: Code): Promise<Kernels> {
  const found = code.module ?? (await importFrom(code));
  if (!isKernels(found)) throw errors.badOption("the module of a js variant exports `instantiate(buffer)`");
  return found;
}

/**
 * A page imports the file itself, as content policies such as `script-src 'self'` refuse data: URLs. Elsewhere the bytes are
 * imported: it is they whose hash was checked, and no engine caches them under the name of a file that may change.
 */
function importFrom(code: Code): Promise<unknown> {
  const page = globalThis.location && code.url?.protocol.startsWith("http") ? code.url.href : undefined;
  if (!code.bytes && !code.url) throw errors.badOption("a js variant needs its bytes, its URL or its module");
  const from = page ?? (code.bytes ? `data:text/javascript;base64,${base64(code.bytes)}` : code.url!.href);
  return import(/* webpackIgnore: true */ /* @vite-ignore */ from);
}

async function instantiate(code: Code, variant: VariantManifest): Promise<Instance> {
  const kernels = await imported(code);
  const weights = RESERVED;
  const arena = aligned(weights + variant.weights);
  const buffer = new ArrayBuffer(aligned(arena + variant.arena));
  const { run } = kernels.instantiate(buffer);
  return { buffer, weights, arena, run: () => run(weights, arena), dispose() {} };
}

export const jsExecutor = {
  backend: "js",
  unsupported: (variant: Requirements) =>
    variant.needs.length > 0 ? `JavaScript does not have ${variant.needs.join(" and ")}` : undefined,
  instantiate,
} satisfies HostExecutor;
