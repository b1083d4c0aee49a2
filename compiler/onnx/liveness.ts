// Which nodes of an ONNX graph its outputs need, and which inputs decide shapes.

import type { OnnxAttribute, OnnxFunction, OnnxGraph, OnnxNode } from "./proto/model.ts";

const subgraphs = (n: OnnxNode): readonly OnnxGraph[] =>
  [...n.attributes.values()].flatMap((a: OnnxAttribute) => (a.kind === "graph" ? [a.value] : a.kind === "graphs" ? a.value : []));

/** Names that a node or its subgraphs read; names defined within subgraphs are among them, and do no harm. */
function reads(n: OnnxNode, visit: (name: string) => void): void {
  n.inputs.forEach(visit);
  for (const g of subgraphs(n)) {
    for (const inner of g.nodes) reads(inner, visit);
    for (const o of g.outputs) visit(o.name);
  }
}

/** The nodes that `outputs` need, in order. Nodes are sorted, operands first; where they are not, the import says so. */
export function liveNodes(nodes: readonly OnnxNode[], outputs: readonly string[]): readonly OnnxNode[] {
  const needed = new Set(outputs);
  const live: OnnxNode[] = [];
  for (let i = nodes.length - 1; i >= 0; i--) {
    const n = nodes[i]!;
    if (!n.outputs.some((o) => o !== "" && needed.has(o))) continue;
    live.push(n);
    reads(n, (name) => needed.add(name));
  }
  return live.reverse();
}

/** Every node of the model that the outputs need, subgraphs and functions included. */
export function allNodes(graph: OnnxGraph, functionOf: (n: OnnxNode) => OnnxFunction | undefined): readonly OnnxNode[] {
  const found: OnnxNode[] = [];
  const seen = new Set<OnnxFunction>();
  const visit = (nodes: readonly OnnxNode[]): void => {
    for (const n of nodes) {
      found.push(n);
      for (const g of subgraphs(n))
        visit(
          liveNodes(
            g.nodes,
            g.outputs.map((o) => o.name),
          ),
        );
      const f = functionOf(n);
      if (!f || seen.has(f)) continue;
      seen.add(f);
      visit(liveNodes(f.nodes, f.outputs));
    }
  };
  visit(
    liveNodes(
      graph.nodes,
      graph.outputs.map((o) => o.name),
    ),
  );
  return found;
}

/** What `decidingInputs` must know about operators. */
export interface ShapeOperands {
  functionOf(n: OnnxNode): OnnxFunction | undefined;
  /** Operands whose values must be known when compiling. */
  shapeOperands(n: OnnxNode): readonly number[];
}

type Names = ReadonlySet<string>;
const NONE: Names = new Set();
const MAX_DEPTH = 32;

const union = (sets: readonly Names[]): Names => {
  const some = sets.filter((s) => s.size > 0);
  return some.length === 0 ? NONE : some.length === 1 ? some[0]! : new Set(some.flatMap((s) => [...s]));
};

/**
 * The inputs among `inputs` whose values reach an operand that decides a shape, in their order. Values do not flow through Shape and Size:
 * extents are known.
 */
export function decidingInputs(graph: OnnxGraph, inputs: readonly string[], ops: ShapeOperands): readonly string[] {
  const deciding = new Set<string>();

  const visitNodes = (nodes: readonly OnnxNode[], env: Map<string, Names>, depth: number): void => {
    const of = (name: string): Names => env.get(name) ?? NONE;
    for (const n of nodes) {
      for (const k of ops.shapeOperands(n)) for (const name of of(n.inputs[k] ?? "")) deciding.add(name);
      const results = resultsOf(n, env, depth, of);
      n.outputs.forEach((o, k) => {
        if (o !== "") env.set(o, results[k] ?? results[0] ?? NONE);
      });
    }
  };

  const visitGraph = (g: OnnxGraph, args: readonly Names[], env: ReadonlyMap<string, Names>, depth: number): readonly Names[] => {
    const inner = new Map(env);
    g.inputs.forEach((v, k) => inner.set(v.name, args[k] ?? NONE));
    for (const name of g.initializers.keys()) if (!g.inputs.some((v) => v.name === name)) inner.set(name, NONE);
    visitNodes(
      liveNodes(
        g.nodes,
        g.outputs.map((o) => o.name),
      ),
      inner,
      depth + 1,
    );
    return g.outputs.map((o) => inner.get(o.name) ?? NONE);
  };

  const resultsOf = (n: OnnxNode, env: ReadonlyMap<string, Names>, depth: number, of: (name: string) => Names): readonly Names[] => {
    if (n.domain === "" && (n.opType === "Shape" || n.opType === "Size")) return [NONE];
    const args = n.inputs.map(of);
    const everything = union(args);
    if (depth >= MAX_DEPTH) return [everything];
    const f = ops.functionOf(n);
    if (f) {
      const inner = new Map<string, Names>(f.inputs.map((name, k) => [name, args[k] ?? NONE]));
      visitNodes(liveNodes(f.nodes, f.outputs), inner, depth + 1);
      return f.outputs.map((o) => inner.get(o) ?? NONE);
    }
    const graphs = subgraphs(n);
    if (graphs.length === 0) return [everything];
    // What a body carries from one iteration to the next may reach any of its inputs: all get everything.
    const results = graphs.map((g) =>
      visitGraph(
        g,
        g.inputs.map(() => everything),
        env,
        depth,
      ),
    );
    return [union([everything, ...results.flat()])];
  };

  const env = new Map<string, Names>(inputs.map((name) => [name, new Set([name])]));
  visitNodes(
    liveNodes(
      graph.nodes,
      graph.outputs.map((o) => o.name),
    ),
    env,
    0,
  );
  return inputs.filter((name) => deciding.has(name));
}
