// Imports the nodes of a graph one after another: functions inlined, subgraphs closed or in place, each node by its line of the table.

import { type Loc, SparsecError } from "../../ir/diagnostics.ts";
import type { Value } from "../../ir/graph.ts";
import { toTensor } from "./constants.ts";
import { importContext, type Place, resolveAttribute, type Session } from "./context.ts";
import { importErrors, located } from "./diagnostics.ts";
import { allNodes, liveNodes } from "./liveness.ts";
import type { OnnxOp, Region } from "./op.ts";
import { functionKey, type OnnxAttribute, type OnnxFunction, type OnnxGraph, type OnnxModel, type OnnxNode } from "./proto/model.ts";
import { innerScope, regionScope, type Scope, scope } from "./scope.ts";

const MAX_NODES = 100_000;
const MAX_DEPTH = 48;

/** What nodes are imported into. */
export interface Frame {
  readonly scope: Scope;
  readonly opsets: ReadonlyMap<string, number>;
  /** Inside a function: the attributes of the call. */
  readonly bound: ReadonlyMap<string, OnnxAttribute> | undefined;
  readonly depth: number;
}

export interface Importer {
  /** The local function that a node calls. */
  functionOf(n: OnnxNode): OnnxFunction | undefined;
  /** The operands of a node that its line of the table declares to decide shapes. */
  shapeOperands(n: OnnxNode): readonly number[];
  /** Imports a graph whose inputs are defined already; gives its outputs. */
  graph(g: OnnxGraph, frame: Frame): readonly Value[];
}

/** Thrown in place of a value that an unbound input keeps from being known. */
const UNKNOWN = new Error("a value that hangs on an input to be bound");
const isNeeds = (e: unknown): e is SparsecError => e instanceof SparsecError && e.code === "needs-constant";

/** `Conv`, or `domain:Name`: the key of a node's line in the table. */
export const opName = (n: OnnxNode): string => (n.domain === "" ? n.opType : `${n.domain}:${n.opType}`);

const raise = (e: SparsecError): never => {
  throw e;
};

export function importer(model: OnnxModel, table: ReadonlyMap<string, OnnxOp>, session: Session): Importer {
  const { file } = model;
  const locOf = (n: OnnxNode): Loc => ({ file, name: n.name || n.outputs.find((o) => o !== "") || n.opType });
  const functionOf = (n: OnnxNode): OnnxFunction | undefined => model.functions.get(functionKey(n.domain, n.opType, n.overload));
  let count = 0;

  const deeper = (frame: Frame, loc: Loc): number =>
    frame.depth < MAX_DEPTH ? frame.depth + 1 : raise(importErrors.budget("levels of subgraphs and functions", MAX_DEPTH, loc));

  function graph(g: OnnxGraph, frame: Frame): readonly Value[] {
    for (const [name, t] of [...g.initializers, ...g.sparseInitializers]) {
      const loc = { file, name };
      frame.scope.define(name, () => frame.scope.b.constant(toTensor(t, `initializer ${JSON.stringify(name)}`, loc), { loc }));
    }
    const outputs = g.outputs.map((o) => o.name);
    return body(g.nodes, outputs, frame, { file, name: g.name });
  }

  function body(nodes: readonly OnnxNode[], outputs: readonly string[], frame: Frame, loc: Loc): readonly Value[] {
    for (const n of liveNodes(nodes, outputs)) visit(n, frame);
    return outputs.map(
      (name) => frame.scope.lookup(name, loc) ?? raise(importErrors.bad(`output ${JSON.stringify(name)} is computed nowhere`, loc)),
    );
  }

  function visit(n: OnnxNode, frame: Frame): void {
    const loc = locOf(n);
    if (++count > MAX_NODES) throw importErrors.budget("nodes", MAX_NODES, loc);
    try {
      const inputs = n.inputs.map((name) => (name === "" ? undefined : read(n, name, frame, loc)));
      const f = functionOf(n);
      const results = f ? call(n, f, inputs, frame, loc) : operator(n, inputs, frame, loc);
      n.outputs.forEach((name, k) => {
        if (name === "") return;
        const value = results[k] ?? raise(importErrors.unsupported(`${opName(n)}: output ${k} is not supported`, loc));
        if (!frame.scope.define(name, value)) throw importErrors.bad(`value ${JSON.stringify(name)} is computed twice`, loc);
      });
    } catch (e) {
      skip(n, e, frame, loc);
    }
  }

  const read = (n: OnnxNode, name: string, frame: Frame, loc: Loc): Value =>
    frame.scope.lookup(name, loc) ??
    raise(importErrors.bad(`${opName(n)} reads ${JSON.stringify(name)}, which nothing before it computes`, loc));

  /** Goes on after a node that needs an input bound, or hangs on one that does, to find all such inputs. */
  function skip(n: OnnxNode, e: unknown, frame: Frame, loc: Loc): void {
    if (e !== UNKNOWN && !isNeeds(e)) throw located(e, loc);
    if (isNeeds(e)) session.need(e.inputs ?? [], loc);
    const unknown = (): never => {
      throw UNKNOWN;
    };
    for (const name of n.outputs) if (name !== "") frame.scope.define(name, unknown);
  }

  function operator(n: OnnxNode, inputs: readonly (Value | undefined)[], frame: Frame, loc: Loc): readonly (Value | undefined)[] {
    const op = table.get(opName(n));
    const opset = frame.opsets.get(n.domain);
    if (!op) throw importErrors.unsupportedOp(opName(n), opset, missing(), loc);
    const place: Place = {
      scope: frame.scope,
      opset: opset ?? 1,
      bound: frame.bound,
      shapeOperands: op.shapeOperands ?? [],
      region: (g, params, at) => region(g, params, frame, at),
      inline: (g, values, at) => inline(g, values, frame, at),
    };
    const results = op.import(importContext(n, inputs, place, session, loc));
    return Array.isArray(results) ? (results as readonly (Value | undefined)[]) : [results as Value];
  }

  /** All operators of the model that the table lacks. */
  function missing(): readonly string[] {
    const nodes = allNodes(model.graph, functionOf);
    return [...new Set(nodes.filter((n) => !table.has(opName(n)) && !functionOf(n)).map(opName))].sort();
  }

  function call(n: OnnxNode, f: OnnxFunction, inputs: readonly (Value | undefined)[], frame: Frame, loc: Loc): readonly Value[] {
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
    return body(f.nodes, f.outputs, { scope: inner, opsets: f.opsets, bound, depth: deeper(frame, loc) }, loc);
  }

  const checkInputs = (g: OnnxGraph, given: number, loc: Loc): void => {
    if (given !== g.inputs.length) throw importErrors.bad(`the subgraph has ${g.inputs.length} inputs for ${given} values`, loc);
  };

  function inline(g: OnnxGraph, inputs: readonly Value[], frame: Frame, loc: Loc): readonly Value[] {
    checkInputs(g, inputs.length, loc);
    const inner = innerScope(frame.scope);
    g.inputs.forEach((v, k) => inner.define(v.name, inputs[k]!));
    return graph(g, { ...frame, scope: inner, depth: deeper(frame, loc) });
  }

  function region(g: OnnxGraph, types: readonly Value["type"][], frame: Frame, loc: Loc): Region {
    checkInputs(g, types.length, loc);
    const inner = regionScope(frame.scope, session.evaluate, session.captured);
    const params = g.inputs.map((v, k) => {
      const p = inner.param(v.name, types[k]!, loc);
      inner.define(v.name, p);
      return p;
    });
    const outputs = graph(g, { ...frame, scope: inner, depth: deeper(frame, loc) });
    const captures = inner.captures();
    const { ops, weights } = frame.scope.b;
    return {
      graph: { ops, name: g.name, params: [...params, ...captures.map((c) => c.param)], outputs, weights },
      captures: captures.map((c) => c.outer),
    };
  }

  return { functionOf, shapeOperands: (n) => table.get(opName(n))?.shapeOperands ?? [], graph };
}
