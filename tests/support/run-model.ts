// Small ONNX models described in a test, imported and interpreted.

import { type Imported, type ImportOptions, importOnnx } from "../../compiler/onnx/import.ts";
import { decodeModel } from "../../compiler/onnx/proto/decode.ts";
import { encodeModel, type GraphInit, type ModelInit } from "../../compiler/onnx/proto/encode.ts";
import { SparsecError } from "../../ir/diagnostics.ts";
import { interpret } from "../../ir/interpret.ts";
import type { Tensor } from "../../ir/tensor.ts";

/** A model of opset 21, or of what it says. */
export const modelOf = (init: GraphInit & Partial<ModelInit>) => decodeModel(encodeModel({ opset: 21, ...init }), { file: "test.onnx" });

export const importModel = (init: GraphInit & Partial<ModelInit>, options: ImportOptions = {}): Imported =>
  importOnnx(modelOf(init), options);

/** Runs an imported model on tensors by name; gives its outputs by name, as plain numbers with their shapes. */
export function runImported(
  { graph, outputs }: Imported,
  inputs: Readonly<Record<string, Tensor>>,
): Map<string, { shape: readonly number[]; data: readonly number[] }> {
  const given = new Map(Object.entries(inputs));
  const results = interpret(
    graph,
    graph.params.map((p) => given.get(String(p.node.attrs["name"]))!),
  );
  return new Map(
    outputs.map((name, k) => [
      name,
      { shape: results[k]!.shape, data: Array.from(results[k]!.data as ArrayLike<number | bigint>, Number) },
    ]),
  );
}

/** The error that `run` ends in; fails where there is none, or one without a code. */
export function errorOf(run: () => unknown): SparsecError {
  try {
    run();
  } catch (e) {
    if (e instanceof SparsecError) return e;
    throw e;
  }
  throw new Error("no error was raised");
}
