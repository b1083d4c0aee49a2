// The artifact in memory: a manifest with the bytes of its files, and how it is written to a folder.

import { createHash } from "node:crypto";
import { mkdir, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { SparsecError } from "../ir/diagnostics.ts";
import type { ArtifactFiles, Manifest } from "../runtime/artifact.ts";

const MANIFEST = "manifest.json";
/** No name of a file in an artifact can lead out of its folder. */
const FILE_NAME = /^\w[\w.-]{0,127}$/;

export interface Artifact extends ArtifactFiles {
  /** The text of manifest.json: the same for the same content. */
  readonly json: string;
  /** Bytes of all files, manifest.json among them. */
  readonly size: number;
  /**
   * Writes the artifact's files into a folder, which is created. A folder that holds an artifact is replaced, another one
   * that is not empty is refused with code `not-an-artifact`. manifest.json comes first: what was interrupted does not load,
   * as its hashes do not match, but can be written again.
   */
  write(folder: string): Promise<void>;
}

export interface ArtifactContent extends Omit<Manifest, "format" | "version" | "files"> {
  readonly files: ReadonlyMap<string, Uint8Array>;
}

export const createArtifact = ({ files, ...head }: ArtifactContent): Artifact => {
  const sorted = [...files].sort(([a], [b]) => (a < b ? -1 : 1));
  const entries = sorted.map(([file, bytes]) => {
    if (!FILE_NAME.test(file) || file === MANIFEST) throw new SparsecError("bad-file-name", `'${file}' cannot be a file of an artifact`);
    return [file, { bytes: bytes.length, sha256: createHash("sha256").update(bytes).digest("hex") }] as const;
  });
  const manifest: Manifest = { format: "sparsec", version: 1, ...head, files: Object.fromEntries(entries) };
  const json = manifestJson(manifest);
  return {
    manifest,
    files: new Map(sorted),
    json,
    size: sorted.reduce((sum, [, bytes]) => sum + bytes.length, Buffer.byteLength(json)),
    write: (folder) => writeFolder(folder, json, sorted),
  };
};

/** JSON with a line for each field at the top and the keys of everything below sorted. */
const manifestJson = (manifest: Manifest): string => {
  const sortKeys = (_: string, value: unknown): unknown =>
    typeof value === "object" && value !== null && !Array.isArray(value)
      ? Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)))
      : value;
  const fields = Object.entries(manifest).map(([key, value]) => `${JSON.stringify(key)}:${JSON.stringify(value, sortKeys)}`);
  return `{\n${fields.join(",\n")}\n}\n`;
};

const writeFolder = async (folder: string, json: string, files: readonly (readonly [string, Uint8Array])[]): Promise<void> => {
  const stale = await previousFiles(folder);
  await mkdir(folder, { recursive: true }).catch((thrown) => {
    throw unwritable(folder, thrown);
  });
  for (const [name, bytes] of [[MANIFEST, json] as const, ...files]) {
    // Another process that reads the folder sees a file whole or not at all.
    const partial = join(folder, `.${name}.partial`);
    try {
      await writeFile(partial, bytes);
      await rename(partial, join(folder, name));
    } catch (thrown) {
      await rm(partial, { force: true });
      throw unwritable(folder, thrown);
    }
    stale.delete(name);
  }
  for (const name of stale) await rm(join(folder, name), { force: true });
};

/** The files of the artifact that a folder holds; none where it is new or empty. */
const previousFiles = async (folder: string): Promise<Set<string>> => {
  let present: readonly string[];
  try {
    present = await readdir(folder);
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === "ENOENT") return new Set();
    throw unwritable(folder, thrown);
  }
  if (!present.length) return new Set();
  try {
    const manifest: unknown = JSON.parse(await readFile(join(folder, MANIFEST), "utf8"));
    const { format, files } = manifest as Partial<Manifest>;
    if (format === "sparsec" && files) return new Set(Object.keys(files).filter((name) => FILE_NAME.test(name)));
  } catch {
    // No manifest, or none of ours: the same answer.
  }
  const hint = "give a new folder, or remove this one";
  throw new SparsecError("not-an-artifact", "the folder is not empty and holds no artifact", { file: folder, name: "" }, hint);
};

const unwritable = (folder: string, thrown: unknown): SparsecError =>
  new SparsecError("unwritable", `cannot be written: ${thrown instanceof Error ? thrown.message : String(thrown)}`, {
    file: folder,
    name: "",
  });
