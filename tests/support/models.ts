// The real models of the shared folder, with the reference inputs and outputs recorded beside them.

import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { DType } from "../../ir/dtype.ts";
import { sharedPath } from "./shared.ts";
import { type TestTensor, testTensor } from "./tensors.ts";

export interface SharedModel {
  /** The file's name without .onnx. */
  readonly name: string;
  readonly path: string;
  /** True where the model computes in quantized integers, which relaxes the comparison of outputs. */
  readonly quantized: boolean;
  model(): Uint8Array;
  /** Inputs and outputs; undefined for the one model that has none (gcn-cora-sparseadj). */
  reference(): { readonly inputs: readonly TestTensor[]; readonly outputs: readonly TestTensor[] } | undefined;
}

interface MetaTensor {
  readonly name: string;
  readonly type: string;
  readonly dims: readonly number[];
  readonly file: string;
}

const DTYPE_OF: ReadonlyMap<string, DType> = new Map([
  ["float32", "f32"],
  ["float16", "f16"],
  ["int64", "i64"],
]);

function readTensor(folder: string, { name, type, dims, file }: MetaTensor): TestTensor {
  const dtype = DTYPE_OF.get(type);
  if (!dtype) throw new Error(`${folder}/meta.json: type ${type}`);
  return testTensor(name, dtype, dims, new Uint8Array(readFileSync(join(folder, file))));
}

/** All shared models by name, in alphabetical order, or undefined (reason printed) where the shared folder is absent. */
export function sharedModels(): readonly SharedModel[] | undefined {
  const folder = sharedPath("models");
  if (folder === undefined) return undefined;
  const names = readdirSync(folder)
    .filter((f) => f.endsWith(".onnx"))
    .map((f) => f.slice(0, -".onnx".length))
    .sort();
  return names.map((name) => {
    const path = join(folder, `${name}.onnx`);
    const ref = join(folder, "ref", name);
    return {
      name,
      path,
      quantized: name.endsWith("-qdq"),
      model: () => new Uint8Array(readFileSync(path)),
      reference: () => {
        if (!existsSync(join(ref, "meta.json"))) return undefined;
        const meta = JSON.parse(readFileSync(join(ref, "meta.json"), "utf8")) as {
          readonly inputs: readonly MetaTensor[];
          readonly outputs: readonly MetaTensor[];
        };
        return { inputs: meta.inputs.map((t) => readTensor(ref, t)), outputs: meta.outputs.map((t) => readTensor(ref, t)) };
      },
    };
  });
}
