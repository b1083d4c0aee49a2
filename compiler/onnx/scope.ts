// Names to values while importing: the model's graph, subgraphs in place, function bodies, and regions, which capture what is outside.

import type { Loc } from "../../ir/diagnostics.ts";
import { GraphBuilder, type Value } from "../../ir/graph.ts";
import { isStatic, typeToString } from "../../ir/types.ts";
import { importErrors } from "./diagnostics.ts";
import type { Evaluator } from "./evaluate.ts";

export interface Scope {
  readonly b: GraphBuilder;
  /** The value called `name`, or undefined; `loc` is who asks. */
  lookup(name: string, loc: Loc): Value | undefined;
  /** False where the scope already has the name. A function is called when the value is first asked for. */
  define(name: string, value: Value | (() => Value)): boolean;
}

/** A scope of its own: the names around it are not seen, unless `outer` finds them. */
export function scope(b: GraphBuilder, outer: (name: string, loc: Loc) => Value | undefined = () => undefined): Scope {
  const values = new Map<string, Value | (() => Value)>();
  return {
    b,
    lookup(name, loc) {
      const found = values.get(name);
      if (typeof found !== "function") return found ?? outer(name, loc);
      const value = found();
      values.set(name, value);
      return value;
    },
    define(name, value) {
      if (values.has(name)) return false;
      values.set(name, value);
      return true;
    },
  };
}

/** A scope that sees another one, and builds in the same graph. */
export const innerScope = (parent: Scope): Scope => scope(parent.b, (name, loc) => parent.lookup(name, loc));

export interface RegionScope extends Scope {
  /** A parameter of the region with a free name like `name`. */
  param(name: string, type: Value["type"], loc: Loc): Value;
  /** Outer values with the parameters that stand for them, in the order of first use. */
  captures(): readonly { readonly outer: Value; readonly param: Value }[];
}

/** Constants up to this many elements are copied into regions that use them. */
const COPIED = 4096;

/** A scope that sees another one but builds a graph of its own: constants are copied, other values become parameters, noted in `captured`. */
export function regionScope(parent: Scope, evaluate: Evaluator, captured: Map<Value, Value>): RegionScope {
  const b = new GraphBuilder(parent.b.ops, parent.b.weights);
  const adopted = new Map<Value, Value>();
  const captures: { outer: Value; param: Value }[] = [];
  const names = new Set<string>();
  const param = (name: string, type: Value["type"], loc: Loc): Value => {
    if (!isStatic(type))
      throw importErrors.dynamicShape(
        `value ${JSON.stringify(name)} of type ${typeToString(type)} enters a subgraph, and its extents must be constant`,
        loc,
      );
    let free = name;
    for (let n = 1; names.has(free); n++) free = `${name}.${n}`;
    names.add(free);
    return b.param(free, type.dtype, type.shape as readonly number[]);
  };
  const adopt = (outer: Value, name: string, loc: Loc): Value => {
    if (outer.node.op === "const") return b.value("const", [], outer.node.attrs, outer.node.locs);
    const t = isStatic(outer.type) ? evaluate.tensorOf(outer) : undefined;
    if (t && t.data.length <= COPIED) return b.constant(t, { loc: outer.node.locs });
    const inner = param(name, outer.type, loc);
    captures.push({ outer, param: inner });
    captured.set(inner, outer);
    return inner;
  };
  const inner = scope(b, (name, loc) => {
    const outer = parent.lookup(name, loc);
    if (!outer) return undefined;
    const known = adopted.get(outer) ?? adopt(outer, name, loc);
    adopted.set(outer, known);
    return known;
  });
  return { ...inner, param, captures: () => captures };
}
