// TensorFlow.js on its WebAssembly backend, as a peer: one thread. It reads no ONNX: the model converted to a graph model is given.

import { readFile } from "node:fs/promises";
import { dirname, join, sep } from "node:path";
import { SparsecError } from "../../../ir/diagnostics.ts";
import { elementCount, type Tensor } from "../../../ir/tensor.ts";
import type { Peer } from "./peers.ts";

/** The parts of the API that are used. */
interface TfTensor {
  readonly shape: readonly number[];
  readonly dtype: string;
  data(): Promise<Float32Array | Int32Array | Uint8Array>;
  dispose(): void;
}
interface TfModel {
  readonly inputs: readonly { readonly name: string; readonly shape?: readonly (number | null)[] }[];
  readonly outputNodes: readonly string[];
  execute(inputs: Readonly<Record<string, TfTensor>>, outputs: readonly string[]): TfTensor | readonly TfTensor[];
  dispose(): void;
}
interface Core {
  setBackend(name: string): Promise<boolean>;
  tensor(data: unknown, shape: readonly number[], dtype: string): TfTensor;
  transpose(t: TfTensor, perm: readonly number[]): TfTensor;
}
interface Converter {
  loadGraphModel(handler: { load(): Promise<object> }): Promise<TfModel>;
}
interface WasmBackend {
  setThreadsCount(n: number): void;
  setWasmPaths(folder: string): void;
}
interface ModelJson {
  readonly weightsManifest: readonly { readonly paths: readonly string[]; readonly weights: readonly object[] }[];
}

/** A graph model's files in one object, as the loader takes them. */
async function readGraphModel(path: string): Promise<object> {
  const json = JSON.parse(await readFile(path, "utf8")) as ModelJson;
  const groups = json.weightsManifest;
  const parts = await Promise.all(groups.flatMap((g) => g.paths).map((p) => readFile(join(dirname(path), p))));
  const weights = Buffer.concat(parts);
  const weightData = weights.buffer.slice(weights.byteOffset, weights.byteOffset + weights.length);
  return { ...json, weightSpecs: groups.flatMap((g) => g.weights), weightData };
}

const DTYPES: Readonly<Record<string, string>> = { f32: "float32", i32: "int32", i64: "int32", bool: "bool", u8: "int32", i8: "int32" };

/** An input as the model wants it: converters often put channels last. */
function toTf(core: Core, t: Tensor, wanted: readonly (number | null)[] | undefined): TfTensor {
  const dtype = DTYPES[t.dtype];
  if (!dtype) throw new SparsecError("unsupported-dtype", `TensorFlow.js has no ${t.dtype}`);
  const data = dtype === "int32" ? Int32Array.from(t.data as Iterable<number | bigint>, Number) : t.data;
  const plain = core.tensor(data, t.shape, dtype);
  const fits = (shape: readonly number[]): boolean =>
    wanted === undefined || (wanted.length === shape.length && wanted.every((d, k) => d === null || d === -1 || d === shape[k]));
  const last = [0, ...t.shape.slice(2).map((_, k) => k + 2), 1];
  if (fits(t.shape)) return plain;
  if (t.shape.length > 2 && fits(last.map((axis) => t.shape[axis]!))) return core.transpose(plain, last);
  throw new SparsecError("bad-input", `the TensorFlow.js model wants [${wanted!.join(", ")}], and the input is [${t.shape.join(", ")}]`);
}

const bare = (name: string): string => name.replace(/:\d+$/, "");

export const tfjs: Peer = {
  name: "tfjs",
  packages: ["@tensorflow/tfjs-core", "@tensorflow/tfjs-converter", "@tensorflow/tfjs-backend-wasm"],
  async open([core, converter, wasm], { argument, inputs }, folders) {
    const tf = core as Core;
    const backend = wasm as WasmBackend;
    backend.setThreadsCount(1);
    backend.setWasmPaths(join(folders[2]!, "dist") + sep);
    if (!(await tf.setBackend("wasm"))) throw new Error("its WebAssembly backend does not start");
    const model = await (converter as Converter).loadGraphModel({ load: () => readGraphModel(argument!) });
    const feeds = inputs.map((map) =>
      Object.fromEntries(
        model.inputs.map(({ name, shape }, k) => {
          const found = map.get(name) ?? map.get(bare(name)) ?? [...map.values()][k];
          if (!found) throw new Error(`it has an input '${name}', and the ONNX model has ${map.size} inputs`);
          return [name, toTf(tf, found, shape)] as const;
        }),
      ),
    );
    const run = async (k: number): Promise<readonly (readonly [string, Tensor])[]> => {
      const found = [model.execute(feeds[k]!, model.outputNodes)].flat() as TfTensor[];
      const data = await Promise.all(found.map((t) => t.data()));
      for (const t of found) t.dispose();
      return found.map((t, i) => [
        bare(model.outputNodes[i]!),
        { dtype: t.dtype === "int32" ? "i32" : "f32", shape: t.shape, data: data[i]! },
      ]);
    };
    return {
      run,
      outputs: async (k) => new Map(await run(k)),
      dispose: () => model.dispose(),
    };
  },
};

/** Where one engine's result is to be compared with ours: by its name, or as the only one of as many elements. */
export function matching(theirs: ReadonlyMap<string, Tensor>, name: string, like: Tensor): Tensor | undefined {
  const found = theirs.get(name);
  if (found) return found;
  const alike = [...theirs.values()].filter((t) => elementCount(t.shape) === elementCount(like.shape) && t.dtype === like.dtype);
  return alike.length === 1 ? { ...alike[0]!, shape: like.shape } : undefined;
}
