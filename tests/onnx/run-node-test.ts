// Runs one official ONNX test on the backends through the public way, compile and load, and says how it ended.

import { type Artifact, compile, SparsecError } from "../../compiler/index.ts";
import { decodeModel } from "../../compiler/onnx/proto/decode.ts";
import type { OnnxGraph } from "../../compiler/onnx/proto/model.ts";
import { load } from "../../runtime/index.ts";
import { compareNodeTest } from "../support/compare.ts";
import { feeds } from "../support/model-options.ts";
import type { OnnxTest, OnnxTestData } from "../support/onnx-tests.ts";
import { sharedDevice } from "../support/webgpu.ts";

/** Devices by the page of results that shows them. */
export const HOSTS = ["wasm:baseline", "js"] as const;
export const DEVICES = ["webgpu:base"] as const;
export type Device = (typeof HOSTS | typeof DEVICES)[number];

export type Outcome =
  | { readonly kind: "pass" }
  /** A coded error, whose message names the operator and the reason. */
  | { readonly kind: "refused"; readonly code: string; readonly why: string }
  /** Wrong numbers, an error without a code, or one that names no operator. */
  | { readonly kind: "wrong"; readonly why: string };

export type Outcomes = ReadonlyMap<Device, Outcome>;

function opTypes({ nodes }: OnnxGraph): readonly string[] {
  return nodes.flatMap((n) => [n.opType, ...[...n.attributes.values()].flatMap((a) => (a.kind === "graph" ? opTypes(a.value) : []))]);
}

/** A refusal counts only where its message names an operator of the model, or says that it is about none. */
function failure(test: OnnxTest, thrown: unknown): Outcome {
  if (!(thrown instanceof SparsecError)) return { kind: "wrong", why: `threw ${String(thrown).split("\n")[0]}` };
  const { code, message } = thrown;
  const why = message.split("\n")[0]!;
  const { graph, functions } = decodeModel(test.model(), { file: test.name });
  const ops = [...opTypes(graph), ...[...functions.values()].flatMap((f) => f.nodes.map((n) => n.opType))];
  const named =
    ops.some((op) => new RegExp(`\\b${op}\\b`).test(why)) ||
    why.includes("which no operator reads") ||
    why.includes("computes in f64, which");
  return named ? { kind: "refused", code, why } : { kind: "wrong", why: `names no operator: ${why}` };
}

/** Compiles for the backends of some devices; inputs that must be known are bound to their values, which `bound` lists. */
async function compileFor(
  test: OnnxTest,
  devices: readonly Device[],
  data: OnnxTestData | undefined,
): Promise<{ artifact: Artifact; bound: readonly string[] }> {
  const backends = devices.map((d) => d.split(":")[0]!);
  const shapes = (bound: readonly string[]) =>
    Object.fromEntries((data?.inputs ?? []).filter((t) => !bound.includes(t.name)).map((t) => [t.name, t.shape]));
  try {
    return { artifact: await compile(test.model(), { backends, inputShapes: shapes([]) }), bound: [] };
  } catch (thrown) {
    if (!(thrown instanceof SparsecError) || thrown.code !== "needs-constant" || !data) throw thrown;
    const bound = thrown.inputs!;
    const constants = Object.fromEntries(data.inputs.filter((t) => bound.includes(t.name)).map((t) => [t.name, t]));
    return { artifact: await compile(test.model(), { backends, constants, inputShapes: shapes(bound) }), bound };
  }
}

async function runOn(device: Device, artifact: Artifact, bound: readonly string[], data: OnnxTestData): Promise<string | undefined> {
  using model = await load(artifact, { device, ...(device === "webgpu:base" ? { gpu: await sharedDevice() } : {}) });
  const outputs = await model.run(feeds(data.inputs.filter((t) => !bound.includes(t.name))));
  for (const expected of data.outputs) {
    // An optional output without a name is not there to be compared.
    const problem = expected.name === "" ? undefined : compareNodeTest(outputs[expected.name]!, expected);
    if (problem !== undefined) return `output ${expected.name}: ${problem}`;
  }
  return undefined;
}

/** Every data set of a test on every device of a list, for all of which it is compiled at once. */
export async function runNodeTest(test: OnnxTest, devices: readonly Device[]): Promise<Outcomes> {
  const all = (outcome: Outcome): Map<Device, Outcome> => new Map(devices.map((d) => [d, outcome]));
  const strange = test.unsupported();
  const sets = strange.length > 0 ? [undefined] : test.data();
  const outcomes = all({ kind: "pass" });
  for (const data of sets) {
    let compiled: Awaited<ReturnType<typeof compileFor>>;
    try {
      compiled = await compileFor(test, devices, data);
    } catch (thrown) {
      return all(failure(test, thrown));
    }
    if (!data) return all({ kind: "wrong", why: `compiles, but no ${strange.join(", ")} can be compared` });
    for (const device of devices) {
      if (outcomes.get(device)!.kind !== "pass") continue;
      try {
        const problem = await runOn(device, compiled.artifact, compiled.bound, data);
        if (problem !== undefined) outcomes.set(device, { kind: "wrong", why: problem });
      } catch (thrown) {
        outcomes.set(device, failure(test, thrown));
      }
    }
  }
  return outcomes;
}
