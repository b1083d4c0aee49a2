// Runs an official ONNX test through the import and the graph interpreter, and says how it ended.

import { type Imported, type ImportOptions, importOnnx } from "../../compiler/onnx/import.ts";
import { decodeModel } from "../../compiler/onnx/proto/decode.ts";
import type { OnnxModel } from "../../compiler/onnx/proto/model.ts";
import { SparsecError } from "../../ir/diagnostics.ts";
import { interpret } from "../../ir/interpret.ts";
import { compareNodeTest } from "./compare.ts";
import type { OnnxTest } from "./onnx-tests.ts";
import type { TestTensor } from "./tensors.ts";

export type Outcome =
  | { readonly kind: "pass" }
  /** Ended in a coded error. */
  | { readonly kind: "refused"; readonly code: string; readonly why: string }
  | { readonly kind: "wrong"; readonly why: string };

/** The shapes of the given tensors, for inputs that leave theirs open. */
function openShapes(model: OnnxModel, inputs: readonly TestTensor[]): Readonly<Record<string, readonly number[]>> {
  const open = new Set(model.graph.inputs.filter((v) => !v.dims || v.dims.some((d) => typeof d !== "number")).map((v) => v.name));
  return Object.fromEntries(inputs.filter((t) => open.has(t.name)).map((t): [string, readonly number[]] => [t.name, t.shape]));
}

/** Imports a model for these inputs; the inputs that `needs-constant` lists are bound to their values, once. */
export function importFor(model: OnnxModel, inputs: readonly TestTensor[], options: ImportOptions = {}): Imported {
  const given = { inputShapes: openShapes(model, inputs), ...options };
  try {
    return importOnnx(model, given);
  } catch (e) {
    if (!(e instanceof SparsecError) || e.code !== "needs-constant") throw e;
    const bound = inputs.filter((t) => e.inputs?.includes(t.name));
    const constants = Object.fromEntries(bound.map((t) => [t.name, { data: t.data, shape: t.shape }]));
    const inputShapes = Object.fromEntries(Object.entries(given.inputShapes ?? {}).filter(([name]) => !Object.hasOwn(constants, name)));
    return importOnnx(model, { ...given, inputShapes, constants });
  }
}

/** What one data set gives: what is wrong, or undefined. */
function runSet(model: OnnxModel, inputs: readonly TestTensor[], expected: readonly TestTensor[]): string | undefined {
  const { graph, outputs } = importFor(model, inputs);
  const byName = new Map(inputs.map((t) => [t.name, t]));
  const results = interpret(
    graph,
    graph.params.map((p) => byName.get(String(p.node.attrs["name"]))!),
  );
  for (const want of expected) {
    const got = results[outputs.indexOf(want.name)];
    const why = got ? compareNodeTest(got, want) : "it is missing";
    if (why !== undefined) return `output ${want.name}: ${why}`;
  }
  return undefined;
}

export function runReference(t: OnnxTest): Outcome {
  try {
    const model = decodeModel(t.model(), { file: t.name });
    if (t.unsupported().length > 0) {
      importOnnx(model);
      return { kind: "wrong", why: `it imports, with ${t.unsupported().join(", ")} among its inputs and outputs` };
    }
    for (const { inputs, outputs } of t.data()) {
      const why = runSet(model, inputs, outputs);
      if (why !== undefined) return { kind: "wrong", why };
    }
    return { kind: "pass" };
  } catch (e) {
    if (e instanceof SparsecError && e.code !== "internal" && e.code !== "needs-constant")
      return { kind: "refused", code: e.code, why: e.message };
    return { kind: "wrong", why: e instanceof Error ? `${e.message}\n${e.stack}` : String(e) };
  }
}
