// Other engines to compare with. None is a dependency: they are taken from the project that the command is run in.

import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";
import { SparsecError } from "../../../ir/diagnostics.ts";
import type { Tensor } from "../../../ir/tensor.ts";
import { onnxRuntime } from "./onnxruntime.ts";
import { tfjs } from "./tfjs.ts";

/** A model that was loaded by another engine. */
export interface PeerModel {
  /** One inference of inputs number `k`. */
  run(k: number): Promise<unknown>;
  /** The results of inputs number `k` as ours are named, for comparison. */
  outputs(k: number): Promise<ReadonlyMap<string, Tensor>>;
  dispose(): void | Promise<void>;
}

/** What a peer is given: the model as a file, and the inputs to take in turn. */
export interface PeerJob {
  readonly model: string;
  /** What stands after the peer's name: `tfjs=model.json`. */
  readonly argument?: string;
  readonly inputs: readonly ReadonlyMap<string, Tensor>[];
}

export interface Peer {
  readonly name: string;
  readonly packages: readonly string[];
  /** `imported` are the packages' exports, `folders` where they lie. */
  open(imported: readonly unknown[], job: PeerJob, folders: readonly string[]): Promise<PeerModel>;
}

export const peers: ReadonlyMap<string, Peer> = new Map(
  [
    { name: "ort-web", packages: ["onnxruntime-web"], open: onnxRuntime("wasm") },
    { name: "ort-node", packages: ["onnxruntime-node"], open: onnxRuntime("cpu") },
    tfjs,
  ].map((p): readonly [string, Peer] => [p.name, p]),
);

/** The folder of the package that a file is part of. */
function packageFolder(file: string, id: string): string {
  const end = file.lastIndexOf(join("node_modules", id));
  return end < 0 ? dirname(file) : file.slice(0, end + join("node_modules", id).length);
}

/** Opens the model with a peer whose packages are those seen from `folder`. Errors: `no-peer`, with what to install; `peer-failed`. */
export async function openPeer(peer: Peer, job: PeerJob, folder: string): Promise<PeerModel> {
  const { name, packages } = peer;
  let paths: readonly string[];
  try {
    paths = packages.map((id) => createRequire(join(folder, "package.json")).resolve(id));
  } catch {
    throw new SparsecError(
      "no-peer",
      `${name} is not installed where the command runs`,
      undefined,
      `npm install --no-save ${packages.join(" ")}`,
    );
  }
  try {
    const imported: unknown[] = [];
    for (const path of paths) {
      const found = (await import(/* @vite-ignore */ pathToFileURL(path).href)) as { readonly default?: unknown };
      imported.push(found.default ?? found);
    }
    return await peer.open(
      imported,
      job,
      paths.map((path, k) => packageFolder(path, packages[k]!)),
    );
  } catch (e) {
    throw new SparsecError("peer-failed", `${name} cannot run the model: ${e instanceof Error ? e.message : String(e)}`);
  }
}
