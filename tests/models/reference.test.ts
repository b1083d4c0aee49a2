// Every real model, compiled for wasm and for js, gives its recorded reference outputs, and what onnxruntime has before a final softmax.

import { describe, expect, it } from "vitest";
import { type Artifact, compile } from "../../compiler/index.ts";
import { decodeModel } from "../../compiler/onnx/proto/decode.ts";
import type { OnnxGraph } from "../../compiler/onnx/proto/model.ts";
import type { Tensor } from "../../ir/tensor.ts";
import { load } from "../../runtime/index.ts";
import { compareModel, compareQuantized, relativeError } from "../support/compare.ts";
import { beforeFinalSoftmax, quantizationStep, withOutput } from "../support/extra-output.ts";
import { feedsOf, optionsOf } from "../support/model-options.ts";
import { type SharedModel, sharedModels } from "../support/models.ts";
import { openOracle } from "../support/onnxruntime.ts";
import type { TestTensor } from "../support/tensors.ts";

const all = sharedModels();
const models = (all ?? []).filter((m) => m.name !== "gcn-cora-sparseadj");

/** The model with the tensors before its softmaxes as outputs, and the values that they and its own outputs should have. */
interface Case {
  readonly bytes: Uint8Array;
  readonly graph: OnnxGraph;
  readonly inputs: readonly TestTensor[];
  readonly expected: ReadonlyMap<string, Tensor>;
}

async function prepare(m: SharedModel): Promise<Case> {
  const { inputs, outputs } = m.reference()!;
  const { graph } = decodeModel(m.model(), { file: m.name });
  const expected = new Map<string, Tensor>(outputs.map((t) => [t.name, t]));
  const inner = beforeFinalSoftmax(graph);
  const bytes = inner.reduce(withOutput, m.model());
  if (inner.length > 0) {
    const oracle = await openOracle(bytes);
    const values = await oracle.run(inputs);
    await oracle.release();
    for (const name of inner) expected.set(name, values.get(name)!);
  }
  return { bytes, graph, inputs, expected };
}

/** For quantized models: a step here and there, or as near as onnxruntime's own optimisations come. */
async function compareToOptimized(name: string, actual: Tensor, c: Case): Promise<string | undefined> {
  const expected = c.expected.get(name)!;
  const step = quantizationStep(c.graph, name);
  const problem = step === undefined ? compareModel(actual, expected) : compareQuantized(actual, expected, step);
  if (problem === undefined) return undefined;
  const oracle = await openOracle(c.bytes, true);
  const optimized = (await oracle.run(c.inputs)).get(name)!;
  await oracle.release();
  const [ours, theirs] = [relativeError(actual, expected), relativeError(optimized, expected)];
  return ours <= theirs ? undefined : `${problem}; relative error ${ours}, and ${theirs} with onnxruntime's optimisations`;
}

it.skipIf(!all)("there are models with references", () => {
  expect(models.length).toBeGreaterThan(20);
});

describe.each(models)("$name", (m) => {
  const prepared = new Map<string, Promise<readonly [Case, Artifact]>>();
  const ready = (): Promise<readonly [Case, Artifact]> => {
    const start = async () => {
      const c = await prepare(m);
      return [c, await compile(c.bytes, { backends: ["wasm", "js"], ...optionsOf(m.name) })] as const;
    };
    if (!prepared.has(m.name)) prepared.set(m.name, start());
    return prepared.get(m.name)!;
  };

  it.each(["wasm", "js"])("on %s", { timeout: 180_000 }, async (device) => {
    const [c, artifact] = await ready();
    using model = await load(artifact, { device });
    const outputs = await model.run(feedsOf(m.name, c.inputs));
    expect(new Set(Object.keys(outputs))).toEqual(new Set(c.expected.keys()));
    for (const [name, expected] of c.expected) {
      const problem = m.quantized ? await compareToOptimized(name, outputs[name]!, c) : compareModel(outputs[name]!, expected);
      expect(problem, name).toBeUndefined();
    }
  });
});
