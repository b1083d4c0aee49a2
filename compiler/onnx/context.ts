// What one node's import sees (ImportContext): its operands, its attributes with the caller's bound, and ways to build and to fail.

import type { Loc } from "../../ir/diagnostics.ts";
import { dependencies, type Value } from "../../ir/graph.ts";
import { fromF16 } from "../../ir/scalar/f16.ts";
import { toNumbers } from "../../ir/tensor.ts";
import { filled, toTensor } from "./constants.ts";
import { importErrors } from "./diagnostics.ts";
import type { Evaluator } from "./evaluate.ts";
import type { ImportContext, Region } from "./op.ts";
import type { OnnxAttribute, OnnxGraph, OnnxNode } from "./proto/model.ts";
import type { Scope } from "./scope.ts";

/** What importing the whole model shares with the import of one node. */
export interface Session {
  readonly evaluate: Evaluator;
  /** For parameters of regions: the outer value that each stands for. */
  readonly captured: Map<Value, Value>;
  note(what: string): void;
  /** Records inputs that must be bound to constants, and where that showed. */
  need(inputs: readonly string[], loc: Loc): void;
  /** Every input that must be bound, as far as the graph shows, with those recorded. */
  needed(): readonly string[];
}

/** Where a node stands: its scope, its operator set's version, the attributes of the function call around it. */
export interface Place {
  readonly scope: Scope;
  readonly opset: number;
  readonly bound: ReadonlyMap<string, OnnxAttribute> | undefined;
  /** What the operator's table line declares. */
  readonly shapeOperands: readonly number[];
  region(g: OnnxGraph, params: readonly Value["type"][], loc: Loc): Region;
  inline(g: OnnxGraph, inputs: readonly Value[], loc: Loc): readonly Value[];
}

/** Names of the graph inputs that a value is computed from. */
function inputsOf(root: Value, captured: ReadonlyMap<Value, Value>): readonly string[] {
  const names = new Set<string>();
  const seen = new Set<Value["node"]>();
  const stack = [root];
  while (stack.length > 0) {
    const v = stack.pop()!;
    if (seen.has(v.node)) continue;
    seen.add(v.node);
    const outer = captured.get(v);
    if (outer) stack.push(outer);
    else if (v.node.op === "param") names.add(String(v.node.attrs["name"]));
    else stack.push(...dependencies(v.node));
  }
  return [...names];
}

/** The attribute that a node gives; inside a function it may be one of the call's, under another name. */
export function resolveAttribute(a: OnnxAttribute | undefined, bound: Place["bound"]): OnnxAttribute | undefined {
  if (a?.kind !== "ref") return a;
  const given = bound?.get(a.value);
  return given && { ...given, name: a.name };
}

export function importContext(
  node: OnnxNode,
  inputs: readonly (Value | undefined)[],
  place: Place,
  session: Session,
  loc: Loc,
): ImportContext {
  const { scope, bound, opset } = place;
  const { b } = scope;
  const op = `${node.domain === "" ? "" : `${node.domain}.`}${node.opType}`;
  const bad = (why: string): never => {
    throw importErrors.bad(`${op}: ${why}`, loc);
  };
  const attribute = (name: string): OnnxAttribute | undefined => resolveAttribute(node.attributes.get(name), bound);

  /** The value of an attribute of one kind, or what to take where it is absent. */
  function value<K extends "int" | "float" | "string" | "ints" | "floats", T>(
    kind: K,
    name: string,
    otherwise: T | undefined,
    read: (a: OnnxAttribute & { readonly kind: K }) => T,
  ): T {
    const a = attribute(name);
    if (!a) return otherwise === undefined ? bad(`attribute '${name}' is missing`) : otherwise;
    if (a.kind !== kind) return bad(`attribute '${name}' must be of kind ${kind}, got ${a.kind}`);
    return read(a as OnnxAttribute & { readonly kind: K });
  }
  const graphOf = (name: string): OnnxGraph => {
    const a = attribute(name);
    return a?.kind === "graph" ? a.value : bad(`attribute '${name}' must be a graph`);
  };
  const input = (k: number): Value => inputs[k] ?? bad(`operand ${k} is missing`);
  const outputs = node.outputs.length - [...node.outputs].reverse().findIndex((o) => o !== "");

  return {
    b,
    node,
    opset,
    loc,
    inputs,
    outputs: node.outputs.some((o) => o !== "") ? outputs : 0,
    wants: (k) => (node.outputs[k] ?? "") !== "",
    input,
    attribute,
    int: (name, otherwise) => value("int", name, otherwise, (a) => Number(a.value)),
    float: (name, otherwise) => value("float", name, otherwise, (a) => a.value),
    string: (name, otherwise) => value("string", name, otherwise, (a) => a.value),
    ints: (name, otherwise) => value("ints", name, otherwise, (a) => a.value.map(Number)),
    floats: (name, otherwise) => value("floats", name, otherwise, (a) => a.value),
    tensor(name) {
      const a = attribute(name);
      if (!a) return undefined;
      if (a.kind !== "tensor" && a.kind !== "sparseTensor") return bad(`attribute '${name}' must be a tensor, got ${a.kind}`);
      return toTensor(a.value, `${op}: attribute '${name}'`, loc);
    },
    region: (name, params) => place.region(graphOf(name), params, loc),
    inline: (name, values) => place.inline(graphOf(name), values, loc),
    constantOf: (v) => v && session.evaluate.tensorOf(v),
    known(k) {
      const v = input(k);
      const t = session.evaluate.tensorOf(v);
      if (t) return t;
      if (session.evaluate.isConstant(v))
        throw importErrors.unsupported(`${op}: operand ${k} takes too long to compute while importing`, loc);
      // Values do not flow through Shape, which the search for declared operands knows and this one does not.
      if (!place.shapeOperands.includes(k)) session.need(inputsOf(v, session.captured), loc);
      const names = session.needed();
      if (names.length > 0) throw importErrors.needsConstant(names, loc);
      throw importErrors.dynamicShape(`${op}: operand ${k} decides a shape, and hangs on data`, loc);
    },
    numbers(k, otherwise) {
      if (!inputs[k] && otherwise) return otherwise;
      const t = this.known(k);
      return t.dtype === "f16" ? Array.from(t.data as Uint16Array, fromF16) : toNumbers(t);
    },
    needs(v, why) {
      const names = inputsOf(v, session.captured);
      if (names.length === 0) throw importErrors.dynamicShape(`${op}: ${why}`, loc);
      session.need(names, loc);
    },
    constant: (t) => b.constant(t, { loc }),
    scalar: (dtype, x) => b.constant(filled(dtype, [], x), { loc }),
    add: (name, values, attrs = {}) => b.value(name, values, attrs, loc),
    note: (what) => session.note(what),
    unsupported(why) {
      throw importErrors.unsupported(`${op}: ${why}`, loc);
    },
    bad,
  };
}
