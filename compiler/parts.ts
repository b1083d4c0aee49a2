// A graph of `place` regions as the parts of a model: what each takes and gives, by name.

import { type Graph, GraphBuilder, type Node, topological, type Value } from "../ir/graph.ts";
import { inlineGraph } from "../ir/ops/core.ts";
import { rebuild } from "../ir/rewrite.ts";
import { errors } from "./diagnostics.ts";

/** A region, with a name for each parameter and output of its body. */
export interface PartGraph {
  readonly backend: string;
  /** The region as it was placed. */
  readonly region: Graph;
  /** The same with an output for each name. */
  readonly body: Graph;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
}

const isPlaced = (n: Node): boolean => n.op === "place";

/** The graph with its regions put back in the midst of it. */
export function whole(g: Graph): Graph {
  if (!topological(g.outputs).some(isPlaced)) return g;
  return rebuild(g, new GraphBuilder(g.ops, g.weights), (n, inputs, b) =>
    isPlaced(n) ? inlineGraph(b, n.attrs.body as Graph, inputs) : undefined,
  );
}

/** The parts, each after those whose values it takes; none where nothing is placed. `names` are those of the graph's outputs. */
export function partsOf(g: Graph, names: readonly string[]): readonly PartGraph[] {
  const nodes = topological(g.outputs).filter((n) => n.op !== "param" && n.op !== "const");
  if (!nodes.some(isPlaced)) return [];
  const loose = nodes.find((n) => !isPlaced(n));
  if (loose) throw errors.notPlaced(loose.op, loose.locs[0]);
  const passed = new Map(g.params.map((p) => [p, String(p.node.attrs.name)]));
  const given = new Set(passed.values());
  const taken = new Set([...given, ...names]);
  const wanted = new Set(nodes.flatMap((n) => n.inputs));
  /** All names that others know a result by. A part finds the model's inputs first: an output that is called like one is known to no part. */
  const namesOf = (v: Value): readonly string[] => {
    const own = names.filter((_, k) => g.outputs[k] === v);
    if (!wanted.has(v)) return own;
    const known = own.find((name) => !given.has(name));
    passed.set(v, known ?? fresh(taken));
    return known === undefined ? [...own, passed.get(v)!] : own;
  };
  return nodes.map((n: Node): PartGraph => {
    const region = n.attrs.body as Graph;
    const outputs = n.results.flatMap((r, k) => namesOf(r).map((name) => [name, region.outputs[k]!] as const));
    return {
      backend: n.attrs.on as string,
      region,
      body: { ...region, outputs: outputs.map(([, v]) => v) },
      inputs: n.inputs.map((v) => passed.get(v)!),
      outputs: outputs.map(([name]) => name),
    };
  });
}

function fresh(taken: Set<string>): string {
  for (let k = 0; ; k++) {
    const name = `value${k}`;
    if (!taken.has(name)) {
      taken.add(name);
      return name;
    }
  }
}
