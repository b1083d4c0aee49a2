// `sparsec/testing`: the cases that every backend must pass, each held against the reference interpretation; and tools for tests of passes.

import { type Backend, compileGraph } from "../../compiler/index.ts";
import { SparsecError } from "../../ir/diagnostics.ts";
import { DTYPES, type DType, isFloat } from "../../ir/dtype.ts";
import { interpret } from "../../ir/interpret.ts";
import { standardOps } from "../../ir/ops/index.ts";
import { fromF16 } from "../../ir/scalar/f16.ts";
import type { Tensor } from "../../ir/tensor.ts";
import type { Executor } from "../../runtime/executor.ts";
import { type Inputs, load } from "../../runtime/index.ts";
import { elementwiseCases } from "./elementwise.ts";
import { familyCases } from "./families.ts";
import { type ConformanceCase, sketch } from "./sketch.ts";

export { encodeModel, type ModelInit } from "../../compiler/onnx/proto/encode.ts";
export { checkIr } from "./check-ir.ts";

/** What a test framework gives: `test` of vitest, node:test, jest or bun. */
export interface TestFunction {
  (name: string, body: () => Promise<void>): unknown;
  readonly skip?: (name: string, body: () => Promise<void>) => unknown;
}

export interface ConformanceOptions {
  readonly test: TestFunction;
  /** Cases that the backend does not pass, by name, each with the reason: its documentation. */
  readonly skip?: readonly { readonly reason: string; readonly cases: readonly string[] }[];
  /** Element types that the backend lacks: no case uses them, and those about one of them are left out. */
  readonly without?: readonly DType[];
}

const CASES: readonly ConformanceCase[] = [...elementwiseCases, ...familyCases];

/** The names of all cases. */
export const conformanceCases: readonly string[] = CASES.map((c) => c.name);

/** Error allowed relative to the element, and to the largest element: a few roundings of functions and sums. */
const TOLERANCE = { f32: [1e-4, 1e-6], f16: [4e-3, 1e-3], f64: [1e-4, 1e-6] } as const;

const at = ({ dtype, data }: Tensor, i: number): number => (dtype === "f16" ? fromF16(Number(data[i])) : Number(data[i]));

/** What is wrong with an output, or undefined. */
function mismatch(actual: Tensor, expected: Tensor): string | undefined {
  const type = ({ dtype, shape }: Tensor): string => `${dtype}[${shape.join(",")}]`;
  if (type(actual) !== type(expected)) return `is ${type(actual)}, expected ${type(expected)}`;
  const [relative, absolute] = isFloat(expected.dtype) ? TOLERANCE[expected.dtype as "f32"] : [0, 0];
  let largest = 0;
  for (let i = 0; i < expected.data.length; i++)
    if (Number.isFinite(at(expected, i))) largest = Math.max(largest, Math.abs(at(expected, i)));
  for (let i = 0; i < expected.data.length; i++) {
    const [x, y] = [at(actual, i), at(expected, i)];
    const equal = actual.data[i] === expected.data[i] || x === y || (Number.isNaN(x) && Number.isNaN(y));
    if (!equal && !(Math.abs(x - y) <= relative * Math.abs(y) + absolute * largest)) return `has ${x} at element ${i}, expected ${y}`;
  }
  return undefined;
}

/** Compiles a case for one variant, runs it, and compares. */
async function check(
  c: ConformanceCase,
  backend: Backend,
  variant: Backend["variants"][number],
  executor: Executor,
  types: readonly DType[],
): Promise<void> {
  const { graph, inputs } = sketch(c, standardOps, types);
  const names = graph.outputs.map((_, k) => `y${k}`);
  const variants = variant.may ? backend.variants.slice(backend.variants.indexOf(variant)) : [variant];
  const { artifact } = await compileGraph(graph, names, { backends: [{ ...backend, variants }], report: false });
  // A program that came out as a plainer variant is tested as that one's.
  const emitted = artifact.manifest.variants.find(({ name }) => name === variant.name);
  if (!emitted) return;
  const lacking = await executor.unsupported(emitted);
  if (lacking !== undefined) return console.log(`${backend.name}:${variant.name} ${c.name}: not run, ${lacking}`);
  const model = await load(artifact, { device: `${backend.name}:${variant.name}`, executors: [executor] });
  try {
    const given = Object.fromEntries(model.inputs.map((p, i) => [p.name, inputs[i]!])) as unknown as Inputs;
    if (c.faults) {
      const ended = await model.run(given).then(
        () => "no error",
        (e: unknown) => (e instanceof SparsecError ? e.code : String(e)),
      );
      if (ended !== "fault") throw new Error(`it ended in ${ended}, expected the error 'fault'`);
      return;
    }
    const expected = interpret(graph, inputs);
    const results = await model.run(given);
    for (const [k, name] of names.entries()) {
      const wrong = mismatch(results[name]! as Tensor, expected[k]!);
      if (wrong) throw new Error(`output ${k} (${graph.outputs[k]!.node.op}) ${wrong}`);
    }
  } finally {
    model.dispose();
  }
}

/**
 * Registers a test for each case and each variant of the backend that runs here. Throws where `skip` names an unknown case. A skipped
 * case is run nowhere; take it off the list when it passes. To be awaited: a device is asked first what it can do.
 */
export async function conformance(
  backend: Backend,
  executor: Executor,
  { test, skip = [], without = [] }: ConformanceOptions,
): Promise<void> {
  const types = (Object.keys(DTYPES) as DType[]).filter((t) => !without.includes(t));
  const reasons = new Map(skip.flatMap(({ reason, cases }) => cases.map((name) => [name, reason] as const)));
  for (const name of reasons.keys()) if (!conformanceCases.includes(name)) throw new TypeError(`skip: there is no case '${name}'`);
  for (const variant of backend.variants) {
    const runsHere = await executor.unsupported({ backend: backend.name, name: variant.name, needs: variant.needs });
    for (const c of CASES) {
      if (c.dtype && without.includes(c.dtype)) continue;
      const title = `${backend.name}:${variant.name} ${c.name}`;
      const reason = reasons.get(c.name) ?? runsHere;
      if (reason === undefined) test(title, () => check(c, backend, variant, executor, types));
      else test.skip?.(`${title} (${reason})`, async () => {});
    }
  }
}
