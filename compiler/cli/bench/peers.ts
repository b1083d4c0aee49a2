// Other engines to compare with. None is a dependency: they are taken from the project that the command is run in.

import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { SparsecError } from "../../../ir/diagnostics.ts";
import type { Tensor } from "../../../ir/tensor.ts";
import { onnxRuntime } from "./onnxruntime.ts";

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
  readonly inputs: readonly ReadonlyMap<string, Tensor>[];
}

export interface Peer {
  readonly name: string;
  readonly package: string;
  /** `imported` is the package's exports. */
  open(imported: unknown, job: PeerJob): Promise<PeerModel>;
}

export const peers: ReadonlyMap<string, Peer> = new Map(
  [
    { name: "ort-web", package: "onnxruntime-web", open: onnxRuntime("wasm") },
    { name: "ort-node", package: "onnxruntime-node", open: onnxRuntime("cpu") },
  ].map((p) => [p.name, p]),
);

/** Imports a peer's package as seen from `folder`. Errors: `no-peer`, with what to install. */
export async function importPeer({ name, package: id }: Peer, folder: string): Promise<unknown> {
  let path: string;
  try {
    path = createRequire(join(folder, "package.json")).resolve(id);
  } catch {
    throw new SparsecError("no-peer", `${name} is not installed where the command runs`, undefined, `npm install --no-save ${id}`);
  }
  const found = (await import(/* @vite-ignore */ pathToFileURL(path).href)) as { readonly default?: unknown };
  return found.default ?? found;
}
