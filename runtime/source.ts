// Where an artifact comes from: a folder, a URL, URLs of its files, or memory. Reads a file only when asked for it.

import { type ArtifactFiles, MANIFEST } from "./artifact.ts";
import { builtin } from "./builtin.ts";
import { errors, SparsecError, said, show } from "./diagnostics.ts";

type FileHandle = import("node:fs/promises").FileHandle;

/** The URL of each file, for bundlers that move files about: `{ "model.wasm": new URL("./model.wasm", import.meta.url), ... }`. */
export interface ArtifactUrls {
  readonly urls: Readonly<Record<string, string | URL>>;
}
/** An artifact in memory whose files are plain properties, as edge workers import them. */
export interface ArtifactBytes {
  readonly manifest: unknown;
  readonly files: Readonly<Record<string, Uint8Array | ArrayBuffer>>;
}
/** A path or URL is that of an artifact's folder, or of the manifest in it. */
export type ArtifactSource = string | URL | ArtifactFiles | ArtifactBytes | ArtifactUrls;

export interface Source {
  /** What the artifact is called in errors. */
  readonly label: string;
  /** The manifest as JSON gives it, unchecked. */
  manifest(): Promise<unknown>;
  /** The bytes of a file, which must be `bytes` long. */
  read(name: string, bytes: number): Promise<Uint8Array>;
  url(name: string): URL | undefined;
  /** Whether what `read` gives is no one else's. */
  readonly fresh: boolean;
}

const MANIFEST_LIMIT = 2 ** 26;

export const openSource = (source: ArtifactSource): Source => {
  if (typeof source === "string" || source instanceof URL) return folderSource(locate(source));
  if (typeof source === "object" && source !== null) {
    if ("urls" in source) return urlsSource(source);
    if ("manifest" in source && "files" in source) return memorySource(source);
  }
  throw errors.badSource(source);
};

const isMap = (files: object): files is ReadonlyMap<string, unknown> => "get" in files && typeof files.get === "function";

const memorySource = ({ manifest, files }: ArtifactFiles | ArtifactBytes): Source => ({
  label: "artifact",
  manifest: async () => manifest,
  read: async (name, bytes) => {
    const found: unknown = isMap(files) ? files.get(name) : Object.hasOwn(files, name) ? files[name] : undefined;
    if (found === undefined) throw errors.unreadable(name, "it is not among the artifact's files");
    const view = found instanceof ArrayBuffer ? new Uint8Array(found) : found;
    if (!(view instanceof Uint8Array)) throw errors.unreadable(name, `expected a Uint8Array, found ${show(found)}`);
    return sized(name, view, bytes);
  },
  url: () => undefined,
  fresh: false,
});

const urlsSource = ({ urls }: ArtifactUrls): Source => {
  const url = (name: string): URL | undefined => (Object.hasOwn(urls, name) ? new URL(urls[name]!, here()) : undefined);
  const known = (name: string): URL => {
    const found = url(name);
    if (!found) throw errors.unreadable(name, "no URL was given for it");
    return found;
  };
  return {
    label: url(MANIFEST)?.href ?? MANIFEST,
    manifest: async () => parse(known(MANIFEST), await readUrl(known(MANIFEST), MANIFEST_LIMIT)),
    read: async (name, bytes) => sized(known(name).href, await readUrl(known(name), bytes), bytes),
    url,
    fresh: true,
  };
};

const folderSource = (folder: URL): Source => {
  // A query (a version, a signature) goes with every file.
  const url = (name: string): URL => Object.assign(new URL(name, folder), { search: folder.search });
  return {
    label: folder.protocol === "file:" ? decodeURI(folder.pathname) : folder.href,
    manifest: async () => parse(url(MANIFEST), await readUrl(url(MANIFEST), MANIFEST_LIMIT)),
    read: async (name, bytes) => sized(url(name).href, await readUrl(url(name), bytes), bytes),
    url,
    fresh: true,
  };
};

/** The URL of the folder, with a slash at its end. */
const locate = (source: string | URL): URL => {
  const given = String(source);
  const isUrl = source instanceof URL || /^(https?|file):/i.test(given);
  const path = isUrl ? undefined : builtin("node:path");
  const url = path ? builtin("node:url")!.pathToFileURL(path.resolve(given)) : new URL(given, isUrl ? undefined : here());
  if (url.pathname.endsWith(`/${MANIFEST}`)) url.pathname = url.pathname.slice(0, -MANIFEST.length);
  else if (!url.pathname.endsWith("/")) url.pathname += "/";
  return url;
};

/** What relative URLs are relative to, in pages and workers. */
const here = (): string | undefined => globalThis.document?.baseURI ?? globalThis.location?.href;

const readUrl = async (url: URL, limit: number): Promise<Uint8Array> => {
  const fs = url.protocol === "file:" ? builtin("node:fs/promises") : undefined;
  try {
    if (!fs) return await download(url, limit);
    const stat = await fs.stat(url);
    if (!stat.isFile()) throw errors.unreadable(url.href, "it is no regular file");
    if (stat.size > limit) throw errors.corrupt(url.href, `${stat.size} bytes; expected at most ${limit}`);
    return await readWhole(await fs.open(url), stat.size);
  } catch (thrown) {
    const hint = url.pathname.endsWith(MANIFEST)
      ? "`sparsec compile model.onnx` writes an artifact's folder; give its path or URL"
      : undefined;
    throw thrown instanceof SparsecError ? thrown : errors.unreadable(url.href, said(thrown), hint);
  }
};

/** Reads a file in one piece, which takes a fraction of the time of `readFile`'s many. */
const readWhole = async (file: FileHandle, size: number): Promise<Uint8Array> => {
  try {
    const bytes = new Uint8Array(size);
    let length = 0;
    for (let read = 1; read && length < bytes.length; length += read) read = (await file.read(bytes, length)).bytesRead;
    return bytes.subarray(0, length);
  } finally {
    await file.close();
  }
};

/** Takes no more than `limit` bytes, whatever the server sends. */
const download = async (url: URL, limit: number): Promise<Uint8Array> => {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`HTTP ${response.status} ${response.statusText}`);
  const parts: Uint8Array[] = [];
  let length = 0;
  const reader = response.body?.getReader();
  for (let part = await reader?.read(); part?.value; part = await reader!.read()) {
    parts.push(part.value);
    length += part.value.length;
    if (length > limit) {
      await reader!.cancel();
      throw errors.corrupt(url.href, `more than the ${limit} bytes expected`);
    }
  }
  if (parts.length === 1) return parts[0]!;
  const whole = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
};

const sized = (name: string, found: Uint8Array, bytes: number): Uint8Array => {
  if (found.length !== bytes) throw errors.corrupt(name, `${found.length} bytes; expected ${bytes}`);
  return found;
};

const parse = (url: URL, bytes: Uint8Array): unknown => {
  const text = new TextDecoder().decode(bytes);
  try {
    return JSON.parse(text);
  } catch {
    throw errors.notAnArtifact(url.href, `no JSON; it begins with ${show(text.slice(0, 40))}`);
  }
};
