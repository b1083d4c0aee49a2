// Graphs on a device: their kernels as interpreted against the reference, as WGSL that Dawn takes, and on a software driver where there is one.

import { expect, test } from "vitest";
import { webgpu } from "../../backends/webgpu/index.ts";
import { compileGraph } from "../../compiler/index.ts";
import type { GenericContext } from "../../compiler/lower/generic/kernel.ts";
import { lowerGraph } from "../../compiler/lower/lower.ts";
import { flat } from "../../compiler/lower/storage.ts";
import type { Binding, Lowered } from "../../compiler/lower/template.ts";
import { type Unit, unitOf } from "../../compiler/lower/unit.ts";
import { passContext } from "../../compiler/pass.ts";
import { expand } from "../../compiler/passes/expand.ts";
import { fuse } from "../../compiler/passes/fuse.ts";
import { bytesOf } from "../../ir/dtype.ts";
import type { Graph, Value } from "../../ir/graph.ts";
import { interpret } from "../../ir/interpret.ts";
import { type Counts, interpret as run } from "../../ir/kernel/interpret.ts";
import type { Func, PointerParam, Stmt } from "../../ir/kernel/types.ts";
import { standardOps } from "../../ir/ops/index.ts";
import type { Tensor } from "../../ir/tensor.ts";
import { webgpuExecutor } from "../../runtime/executors/webgpu.ts";
import { type Inputs, load } from "../../runtime/index.ts";
import { type Sketch, sketch } from "../conformance/sketch.ts";
import { difference } from "../support/equal.ts";
import { runLowered } from "../support/run-lowered.ts";
import { nullDevice, webgpuSkipped, wgslProblem } from "../support/webgpu.ts";
import { buffers } from "./run-lowered.ts";

/** What every device can do, and what some can. */
export const { can } = webgpu.variants.at(-1)!;
export const { can: most } = webgpu.variants[0]!;

export interface DeviceCase {
  readonly graph: Graph;
  readonly inputs: readonly Tensor[];
}

/** A graph of a few operators, expanded and fused. */
export function deviceCase(build: (s: Sketch) => Value | readonly Value[]): DeviceCase {
  const { graph, inputs } = sketch({ name: "device", build: (s) => [build(s)].flat() }, standardOps, ["f32"]);
  return { graph: fuse.run(expand.run(graph, passContext()), passContext()), inputs };
}

/** The kernels of a graph, but for those that only move data. */
export const kernelsOf = (graph: Graph, target = can): readonly Lowered[] =>
  lowerGraph(graph, target).steps.flatMap((s) => (s.kind === "kernel" && !s.lowered.moves ? [s.lowered] : []));

const validator = webgpuSkipped()?.includes("not installed") ? undefined : await nullDevice();

const compiled = async (graph: Graph) => {
  const names = graph.outputs.map((_, k) => `y${k}`);
  const { artifact } = await compileGraph(graph, names, { backends: [webgpu], report: false });
  return { artifact, names };
};

type Mode = "exact" | "bounded";

/** Expects the kernels named, first of all, the reference's results of them, and valid WGSL. */
export async function checkDevice({ graph, inputs }: DeviceCase, kernels: readonly string[], mode: Mode = "bounded"): Promise<void> {
  expect(
    kernelsOf(graph)
      .map((k) => k.kernel)
      .slice(0, kernels.length),
  ).toEqual(kernels);
  expect(difference(runLowered(graph, inputs, can), interpret(graph, inputs), mode)).toBeUndefined();
  if (!validator) return;
  const { artifact } = await compiled(graph);
  for (const { code } of artifact.manifest.variants)
    for (const kernel of new TextDecoder()
      .decode(artifact.files.get(code))
      .split(/^\/\/\/\/ .*\n/m)
      .slice(1))
      expect(await wgslProblem(validator, kernel)).toBeUndefined();
}

/** Many graphs as one, on a software driver: a test where there is one. */
export function testOnDriver(builds: readonly ((s: Sketch) => Value | readonly Value[])[], mode: Mode = "bounded"): void {
  const reason = webgpuSkipped();
  const title = "all of these on a software driver";
  if (reason !== undefined) return void test.skip(`${title} (${reason})`, () => {});
  test(title, { timeout: 120_000 }, async () => {
    const { graph, inputs } = deviceCase((s) => builds.flatMap((build) => build(s)));
    const { artifact, names } = await compiled(graph);
    const expected = interpret(graph, inputs);
    for (const { name: variant } of artifact.manifest.variants) {
      const model = await load(artifact, { device: `webgpu:${variant}`, executors: [webgpuExecutor] });
      try {
        const results = await model.run(Object.fromEntries(model.inputs.map((p, i) => [p.name, inputs[i]!])) as unknown as Inputs);
        expect(names.map((name, k) => difference([results[name]! as Tensor], [expected[k]!], mode))).toEqual(names.map(() => undefined));
      } finally {
        model.dispose();
      }
    }
  });
}

/** What a template makes of the last node of a graph, whatever else is on the menu; its operands are all inputs or weights. */
export function lowerLast({ graph }: DeviceCase, template: (u: Unit, c: GenericContext) => Lowered | undefined): Lowered {
  const constantOf = (v: Value): Tensor | undefined =>
    v.node.op === "const" ? graph.weights.get(v.node.attrs["ref"] as string) : undefined;
  const context = { ops: graph.ops, storageOf: (v: Value) => flat(v.type), constantOf, vectors: true, loose: true };
  return template(unitOf(graph.outputs[0]!.node), context)!;
}

/** Runs one kernel of a case, its races judged, and gives what it counts. Expects the reference's result. */
export function checkKernel(c: DeviceCase, lowered: Lowered): Counts {
  const { graph, inputs } = c;
  const { node } = graph.outputs[0]!;
  const operands = node.inputs.map((v) => {
    const t = inputs[graph.params.indexOf(v)] ?? graph.weights.get(v.node.attrs["ref"] as string)!;
    const bytes = new Uint8Array(flat(v.type).bytes);
    bytes.set(bytesOf(t.data));
    return bytes;
  });
  const [expected] = interpret(graph, inputs);
  const result = new Uint8Array(flat(node.results[0]!.type).bytes);
  const counts = runKernel(lowered, lowered.functions, operands, [result]);
  const found = { ...expected!, data: new Float32Array(result.buffer, 0, expected!.data.length) };
  expect(difference([found], [expected!], "bounded")).toBeUndefined();
  return counts;
}

/** Runs one kernel, by default on zeros, its races judged, and counts what it does. */
export function runKernel(
  lowered: Lowered,
  functions: readonly Func[] = lowered.functions,
  operands?: readonly Uint8Array[],
  results?: readonly Uint8Array[],
): Counts {
  const counts: Counts = { loads: 0, sharedLoads: 0, multiplyAdds: 0 };
  const { params } = functions.find((f) => f.name === lowered.entry)!;
  const blank = (kind: Binding["kind"]): Uint8Array[] => {
    const found: Uint8Array[] = [];
    lowered.bindings.forEach((b, k) => {
      const number = b.kind === "operand" ? b.operand : b.kind === "result" ? b.result : 0;
      if (b.kind === kind) found[number] = new Uint8Array((params[k] as PointerParam).bytes);
    });
    return found;
  };
  const given = buffers(lowered, operands ?? blank("operand"), results ?? blank("result"));
  run(
    { functions, entry: lowered.entry, faults: lowered.faults },
    lowered.entry,
    given.map((bytes) => ({ bytes })),
    { counts },
  );
  return counts;
}

/** The functions with one barrier less, for each barrier in turn. */
export function withoutEachBarrier(functions: readonly Func[]): (readonly Func[])[] {
  const total = countBarriers(functions);
  return Array.from({ length: total }, (_, dropped) => {
    let at = 0;
    const walk = (body: readonly Stmt[]): readonly Stmt[] =>
      body.flatMap((s): readonly Stmt[] => {
        if (s.kind === "barrier") return at++ === dropped ? [] : [s];
        if (s.kind === "for" || s.kind === "repeat" || s.kind === "while") return [{ ...s, body: walk(s.body) }];
        return s.kind === "if" ? [{ ...s, then: walk(s.then), else: walk(s.else) }] : [s];
      });
    return functions.map((f) => ({ ...f, body: walk(f.body) }));
  });
}

export function countBarriers(functions: readonly Func[]): number {
  const count = (body: readonly Stmt[]): number =>
    body.reduce((n, s) => {
      if (s.kind === "barrier") return n + 1;
      if (s.kind === "for" || s.kind === "repeat" || s.kind === "while") return n + count(s.body);
      return s.kind === "if" ? n + count(s.then) + count(s.else) : n;
    }, 0);
  return functions.reduce((n, f) => n + count(f.body), 0);
}
