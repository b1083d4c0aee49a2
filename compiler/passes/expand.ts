// Replaces composite operators by what they are made of, so that every node left has an expression or a kernel of its own.

import { type Graph, GraphBuilder, topological } from "../../ir/graph.ts";
import { isCompose } from "../../ir/op.ts";
import { rebuild } from "../../ir/rewrite.ts";
import { definePass } from "../pass.ts";
import { canonicalize } from "./canonicalize.ts";
import { foldConstants } from "./fold-constants.ts";

/** Compositions by form only: what lowering computes as one. */
const REGIONS: ReadonlySet<string> = new Set(["fused", "tiles", "place"]);

const isComposite = (g: Graph, op: string): boolean => !REGIONS.has(op) && isCompose(g.ops.get(op)!);

function expandOnce(g: Graph): Graph {
  if (!topological(g.outputs).some((n) => isComposite(g, n.op))) return g;
  return rebuild(g, new GraphBuilder(g.ops, g.weights), (n, inputs, b) => {
    const op = g.ops.get(n.op)!;
    return op && isComposite(g, n.op) && isCompose(op) ? op.compose(b, inputs, n.attrs, n.locs[0]) : undefined;
  });
}

export const expand = definePass({
  name: "expand",
  doc: "Writes composite operators (softmax, normalisations, recurrent networks, ...) out as simpler ones.",
  exactness: "exact",
  invariant: "no node's meaning is a composition; what the compositions brought in is folded and canonical",
  run(graph, ctx) {
    // Compositions nest only as deep as operators are defined by one another.
    for (let g = graph; ; ) {
      const next = expandOnce(g);
      // Regions too: a composition may have brought this one in.
      if (next === g) return canonicalize.run(foldConstants.run(g, ctx), ctx);
      g = next;
    }
  },
});
