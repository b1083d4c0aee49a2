// A decoded ONNX model to a graph of the tensor IR: inputs bound, functions inlined, subgraphs closed or unrolled, shapes known.

import { type Loc, SparsecError } from "../../ir/diagnostics.ts";
import { type Graph, GraphBuilder, type Value } from "../../ir/graph.ts";
import { type OpDef, type OpSet, opSet } from "../../ir/op.ts";
import { standardOps } from "../../ir/ops/index.ts";
import type { Tensor } from "../../ir/tensor.ts";
import { weightStore } from "../../ir/weights.ts";
import { bindConstant, type ConstantInit, toTensor } from "./constants.ts";
import { importContext, type Place, resolveAttribute, type Session } from "./context.ts";
import { importErrors, located } from "./diagnostics.ts";
import { bindDims, type DimOptions } from "./dims.ts";
import { evaluator } from "./evaluate.ts";
import { allNodes, decidingInputs, liveNodes } from "./liveness.ts";
import type { OnnxOp } from "./op.ts";
import { onnxOps } from "./ops/index.ts";
import { dtypeOf, elemTypeName } from "./proto/elem-types.ts";
import {
  functionKey,
  type OnnxAttribute,
  type OnnxFunction,
  type OnnxGraph,
  type OnnxModel,
  type OnnxNode,
  type OnnxValueInfo,
} from "./proto/model.ts";
import { innerScope, regionScope, type Scope, scope } from "./scope.ts";

export const MIN_OPSET = 7;
export const MAX_OPSET = 27;
const MAX_NODES = 250_000;
const MAX_DEPTH = 48;

export interface ImportOptions extends DimOptions {
  /** Values for inputs, which then are part of the model and no inputs of it. */
  readonly constants?: Readonly<Record<string, ConstantInit>> | undefined;
  /** Operators beyond ours: definitions, and lines of the ONNX table (which win over ours). */
  readonly ops?: { readonly ops?: readonly OpDef[]; readonly onnx?: readonly OnnxOp[] } | undefined;
}

export interface Imported {
  /** Its parameters are the model's inputs, in order, but for those bound to constants. */
  readonly graph: Graph;
  /** Names of the graph's outputs. */
  readonly outputs: readonly string[];
  /** What the import decided by itself, in sentences. */
  readonly notes: readonly string[];
}

/** What nodes are imported into. */
interface Frame {
  readonly scope: Scope;
  readonly opsets: ReadonlyMap<string, number>;
  readonly bound: ReadonlyMap<string, OnnxAttribute> | undefined;
  readonly depth: number;
}

const opName = (n: OnnxNode): string => (n.domain === "" ? n.opType : `${n.domain}:${n.opType}`);
const locOf = (n: OnnxNode, file: string): Loc => ({ file, name: n.name || n.outputs.find((o) => o !== "") || n.opType });

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
  const what = `input ${JSON.stringify(v.name)}${reader ? ` of ${opName(reader)}` : ""}`;
  throw importErrors.unsupportedDType(what, v.kind === "tensor" ? elemTypeName(v.elemType) : v.kind, { file, name: v.name });
}

function raise(e: SparsecError): never {
  throw e;
}

class Importer {
  readonly #model: OnnxModel;
  readonly #table: ReadonlyMap<string, OnnxOp>;
  readonly #session: Session;
  #nodes = 0;

  constructor(model: OnnxModel, table: ReadonlyMap<string, OnnxOp>, session: Session) {
    this.#model = model;
    this.#table = table;
    this.#session = session;
  }

  functionOf = (n: OnnxNode): OnnxFunction | undefined => this.#model.functions.get(functionKey(n.domain, n.opType, n.overload));
  shapeOperands = (n: OnnxNode): readonly number[] => this.#table.get(opName(n))?.shapeOperands ?? [];

  /** Imports a graph's nodes, its inputs being defined already; gives its outputs. */
  graph(g: OnnxGraph, frame: Frame): readonly Value[] {
    const { file } = this.#model;
    for (const [name, t] of [...g.initializers, ...g.sparseInitializers]) {
      const loc = { file, name };
      frame.scope.define(name, () => frame.scope.b.constant(toTensor(t, `initializer ${JSON.stringify(name)}`, loc), { loc }));
    }
    const outputs = g.outputs.map((o) => o.name);
    return this.#body(g.nodes, outputs, frame, { file, name: g.name });
  }

  #body(nodes: readonly OnnxNode[], outputs: readonly string[], frame: Frame, loc: Loc): readonly Value[] {
    for (const n of liveNodes(nodes, outputs)) this.#node(n, frame);
    return outputs.map(
      (name) => frame.scope.lookup(name, loc) ?? raise(importErrors.bad(`output ${JSON.stringify(name)} is computed nowhere`, loc)),
    );
  }

  #node(n: OnnxNode, frame: Frame): void {
    const loc = locOf(n, this.#model.file);
    if (++this.#nodes > MAX_NODES) throw importErrors.budget("nodes", MAX_NODES, loc);
    try {
      const inputs = n.inputs.map((name) =>
        name === ""
          ? undefined
          : (frame.scope.lookup(name, loc) ??
            raise(importErrors.bad(`${opName(n)} reads ${JSON.stringify(name)}, which nothing before it computes`, loc))),
      );
      const f = this.functionOf(n);
      const results = f ? this.#call(n, f, inputs, frame, loc) : this.#operator(n, inputs, frame, loc);
      n.outputs.forEach((name, k) => {
        if (name === "") return;
        const value = results[k] ?? raise(importErrors.unsupported(`${opName(n)}: output ${k} is not supported`, loc));
        if (!frame.scope.define(name, value)) throw importErrors.bad(`value ${JSON.stringify(name)} is computed twice`, loc);
      });
    } catch (e) {
      throw located(e, loc);
    }
  }

  #operator(n: OnnxNode, inputs: readonly (Value | undefined)[], frame: Frame, loc: Loc): readonly (Value | undefined)[] {
    const op = this.#table.get(opName(n));
    const opset = frame.opsets.get(n.domain);
    if (!op) throw importErrors.unsupportedOp(opName(n), opset, this.#missing(), loc);
    const place: Place = {
      scope: frame.scope,
      opset: opset ?? 1,
      bound: frame.bound,
      shapeOperands: op.shapeOperands ?? [],
      region: (g, params, at) => this.#region(g, params, frame, at),
      inline: (g, values, at) => this.#inline(g, values, frame, at),
    };
    const results = op.import(importContext(n, inputs, place, this.#session, loc));
    return Array.isArray(results) ? (results as readonly (Value | undefined)[]) : [results as Value];
  }

  /** All operators of the model that no table has. */
  #missing(): readonly string[] {
    const nodes = allNodes(this.#model.graph, this.functionOf);
    return [...new Set(nodes.filter((n) => !this.#table.has(opName(n)) && !this.functionOf(n)).map(opName))].sort();
  }

  #deeper(frame: Frame, loc: Loc): number {
    if (frame.depth >= MAX_DEPTH) throw importErrors.budget("levels of subgraphs and functions", MAX_DEPTH, loc);
    return frame.depth + 1;
  }

  #call(n: OnnxNode, f: OnnxFunction, inputs: readonly (Value | undefined)[], frame: Frame, loc: Loc): readonly Value[] {
    const inner = scope(frame.scope.b);
    f.inputs.forEach((name, k) => {
      const value = inputs[k];
      if (value) inner.define(name, value);
    });
    const bound = new Map(f.defaults);
    for (const [name, a] of n.attributes) {
      const given = resolveAttribute(a, frame.bound);
      if (given) bound.set(name, given);
    }
    return this.#body(f.nodes, f.outputs, { scope: inner, opsets: f.opsets, bound, depth: this.#deeper(frame, loc) }, loc);
  }

  #inline(g: OnnxGraph, inputs: readonly Value[], frame: Frame, loc: Loc): readonly Value[] {
    if (inputs.length !== g.inputs.length)
      throw importErrors.bad(`the subgraph has ${g.inputs.length} inputs for ${inputs.length} values`, loc);
    const inner = innerScope(frame.scope);
    g.inputs.forEach((v, k) => inner.define(v.name, inputs[k]!));
    return this.graph(g, { ...frame, scope: inner, depth: this.#deeper(frame, loc) });
  }

  #region(g: OnnxGraph, types: readonly Value["type"][], frame: Frame, loc: Loc): { graph: Graph; captures: readonly Value[] } {
    if (types.length !== g.inputs.length)
      throw importErrors.bad(`the subgraph has ${g.inputs.length} inputs for ${types.length} values`, loc);
    const inner = regionScope(frame.scope, this.#session.evaluate, this.#session.captured);
    const params = g.inputs.map((v, k) => {
      const p = inner.param(v.name, types[k]!, loc);
      inner.define(v.name, p);
      return p;
    });
    const outputs = this.graph(g, { ...frame, scope: inner, depth: this.#deeper(frame, loc) });
    const captures = inner.captures();
    const { ops, weights } = frame.scope.b;
    return {
      graph: { ops, name: g.name, params: [...params, ...captures.map((c) => c.param)], outputs, weights },
      captures: captures.map((c) => c.outer),
    };
  }
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
 * `needs-constant` (its `inputs` lists every input to bind), `dynamic-shape`, `budget`, `unknown-input`, `bad-option`.
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
  const { shapes, notes: dimNotes } = bindDims(
    fed.map((v) => ({ name: v.name, dims: v.dims })),
    fixed,
    options,
    file,
  );

  const notes = new Set(dimNotes);
  const recorded = new Set<string>();
  const session: Session = {
    evaluate: evaluator({ ops, weights: b.weights }),
    captured: new Map(),
    note: (what) => notes.add(what),
    need: (names) => names.forEach((name) => recorded.add(name)),
    needed: () => {
      const deciding = new Set(
        decidingInputs(
          g,
          fed.map((v) => v.name),
          importer,
        ),
      );
      return fed.map((v) => v.name).filter((name) => deciding.has(name) || recorded.has(name));
    },
  };
  const importer = new Importer(model, table, session);

  const top = scope(b);
  const params = fed.map((v) => {
    const p = b.param(v.name, types.get(v.name)!, shapes.get(v.name)!, { file, name: v.name });
    top.define(v.name, p);
    return p;
  });
  for (const [name, t] of bound) top.define(name, () => b.constant(t, { loc: { file, name } }));

  let outputs: readonly Value[];
  try {
    outputs = importer.graph(g, { scope: top, opsets: model.opsets, bound: undefined, depth: 0 });
  } catch (e) {
    // With a guess made to find all inputs to bind, what follows may fail for the guess alone.
    if (recorded.size === 0 || (e instanceof SparsecError && e.code === "needs-constant")) throw located(e, { file, name: "" });
    outputs = [];
  }
  if (recorded.size > 0) throw importErrors.needsConstant(session.needed(), { file, name: "" });
  const names = g.outputs.map((o) => o.name);
  if (new Set(names).size !== names.length) throw importErrors.bad("two outputs have one name", { file, name: "" });
  return { graph: { ops, name: g.name, params, outputs, weights: b.weights }, outputs: names, notes: [...notes] };
}
