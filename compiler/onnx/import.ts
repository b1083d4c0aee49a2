// A decoded ONNX model to a graph of the tensor IR: inputs bound, functions inlined, subgraphs closed or unrolled, shapes known.

import type { Loc } from "../../ir/diagnostics.ts";
import { type Graph, GraphBuilder, type Value } from "../../ir/graph.ts";
import { type OpDef, type OpSet, opSet } from "../../ir/op.ts";
import { standardOps } from "../../ir/ops/index.ts";
import type { Tensor } from "../../ir/tensor.ts";
import { weightStore } from "../../ir/weights.ts";
import { checkBatch, withBatch } from "./batch.ts";
import { bindConstant, type ConstantInit } from "./constants.ts";
import type { Session } from "./context.ts";
import { importErrors, located } from "./diagnostics.ts";
import { bindDims, type DimOptions } from "./dims.ts";
import { evaluator } from "./evaluate.ts";
import { importer, opName } from "./importer.ts";
import { decidingInputs } from "./liveness.ts";
import type { OnnxOp } from "./op.ts";
import { onnxOps } from "./ops/index.ts";
import { dtypeOf, elemTypeName } from "./proto/elem-types.ts";
import type { OnnxModel, OnnxValueInfo } from "./proto/model.ts";
import { scope } from "./scope.ts";

export const MIN_OPSET = 7;
export const MAX_OPSET = 27;

export interface ImportOptions extends DimOptions {
  /** Values for inputs, which then are part of the model and no inputs of it. */
  readonly constants?: Readonly<Record<string, ConstantInit>> | undefined;
  /** Items at once: takes the place of the inputs' batch extent, see `withBatch`. */
  readonly batch?: number | undefined;
  /** Operators beyond ours: definitions, and lines of the ONNX table (which win over ours). */
  readonly ops?: { readonly ops?: readonly OpDef[]; readonly onnx?: readonly OnnxOp[] } | undefined;
}

export interface Imported {
  /** Its parameters are the model's inputs, in order, but for those bound to constants. */
  readonly graph: Graph;
  /** Names of the graph's outputs. */
  readonly outputs: readonly string[];
  /** What nodes of the model's own graph compute, as the model calls it. */
  readonly values: ReadonlyMap<string, Value>;
  /** What the import decided by itself, in sentences. */
  readonly notes: readonly string[];
}

function checkVersion(model: OnnxModel): void {
  const version = model.opsets.get("");
  if (version !== undefined && (version < MIN_OPSET || version > MAX_OPSET))
    throw importErrors.unsupportedVersion(version, MIN_OPSET, MAX_OPSET, model.graph.nodes[0]?.opType, model.file);
}

/** The element type of an input. */
function inputType(v: OnnxValueInfo, { graph, file }: OnnxModel) {
  const dtype = v.kind === "tensor" ? dtypeOf(v.elemType) : undefined;
  if (dtype) return dtype;
  const reader = graph.nodes.find((n) => n.inputs.includes(v.name));
  const what = `input ${JSON.stringify(v.name)}${reader ? ` of ${opName(reader)}` : ", which no operator reads,"}`;
  throw importErrors.unsupportedDType(what, v.kind === "tensor" ? elemTypeName(v.elemType) : v.kind, { file, name: v.name });
}

/** Constants for inputs: those that the user gives. Errors: `unknown-input`, `bad-option`. */
function boundInputs(model: OnnxModel, options: ImportOptions): ReadonlyMap<string, Tensor> {
  const { inputs } = model.graph;
  const names = inputs.map((i) => i.name);
  for (const [option, given] of [
    ["constants", options.constants],
    ["inputShapes", options.inputShapes],
  ] as const) {
    for (const name of Object.keys(given ?? {}))
      if (!names.includes(name)) throw importErrors.unknownInput(option, name, names, model.file);
  }
  const given = new Map(Object.entries(options.constants ?? {}));
  return new Map(
    inputs.flatMap((v) => {
      const value = given.get(v.name);
      return value === undefined ? [] : [[v.name, bindConstant(v.name, inputType(v, model), v.dims, value, model.file)] as const];
    }),
  );
}

/**
 * Imports a model of opset 7 to 27. Errors: `unsupported`, `unsupported-op`, `unsupported-dtype`, `bad-model`, `unbound-dim`,
 * `needs-constant` (its `inputs` lists every input to bind), `dynamic-shape`, `budget`, `unknown-input`, `bad-option`, `no-batch`.
 */
export function importOnnx(model: OnnxModel, options: ImportOptions = {}): Imported {
  checkVersion(model);
  const { graph: g, file } = model;
  const ops: OpSet = options.ops?.ops ? opSet([...standardOps.values()], options.ops.ops) : standardOps;
  const table = new Map([...onnxOps, ...(options.ops?.onnx ?? [])].map((op) => [op.name, op]));
  const b = new GraphBuilder(ops, weightStore());

  const bound = boundInputs(model, options);
  const fed = g.inputs.filter((v) => !bound.has(v.name) && !g.initializers.has(v.name) && !g.sparseInitializers.has(v.name));
  const fixed = g.inputs.flatMap((v) => {
    const shape =
      bound.get(v.name)?.shape ?? (fed.includes(v) ? undefined : (g.initializers.get(v.name) ?? g.sparseInitializers.get(v.name))?.dims);
    return shape ? [{ dims: v.dims, shape }] : [];
  });
  const types = new Map(fed.map((v) => [v.name, inputType(v, model)]));
  const declared = fed.map(({ name, dims }) => ({ name, dims }));
  const { batch } = options;
  const { shapes, notes: dimNotes } = bindDims(batch === undefined ? declared : withBatch(declared, batch, file), fixed, options, file);

  const notes = new Set(dimNotes);
  const recorded = new Set<string>();
  const fedNames = fed.map((v) => v.name);
  let first: Loc | undefined;
  let deciding: ReadonlySet<string> | undefined;
  const session: Session = {
    evaluate: evaluator({ ops, weights: b.weights }),
    captured: new Map(),
    note: (what) => notes.add(what),
    need(names, loc) {
      first ??= loc;
      for (const name of names) recorded.add(name);
    },
    needed() {
      deciding ??= new Set(decidingInputs(g, fedNames, nodes));
      return fedNames.filter((name) => deciding?.has(name) || recorded.has(name));
    },
  };
  const nodes = importer(model, table, session);

  const top = scope(b);
  const params = fed.map((v) => {
    const p = b.param(v.name, types.get(v.name)!, shapes.get(v.name)!, { file, name: v.name });
    top.define(v.name, p);
    return p;
  });
  for (const [name, t] of bound) top.define(name, () => b.constant(t, { loc: { file, name } }));

  let outputs: readonly Value[];
  try {
    outputs = nodes.graph(g, { scope: top, opsets: model.opsets, bound: undefined, depth: 0 });
  } catch (e) {
    // With a guess made to find all inputs to bind, what follows may fail for the guess alone.
    if (recorded.size === 0) throw located(e, { file, name: "" });
    outputs = [];
  }
  if (recorded.size > 0) throw importErrors.needsConstant(session.needed(), first ?? { file, name: "" });
  if (batch !== undefined)
    checkBatch(
      g.outputs.map(({ name, dims }, k) => ({ name, declared: dims, shape: outputs[k]!.type.shape })),
      batch,
      file,
    );
  const names = g.outputs.map((o) => o.name);
  if (new Set(names).size !== names.length) throw importErrors.bad("two outputs have one name", { file, name: "" });
  const values = new Map(
    g.nodes.flatMap((n) =>
      n.outputs.flatMap((name) => {
        const value = name === "" ? undefined : top.lookup(name, { file, name });
        return value ? [[name, value] as const] : [];
      }),
    ),
  );
  return { graph: { ops, name: g.name, params, outputs, weights: b.weights }, outputs: names, values, notes: [...notes] };
}
