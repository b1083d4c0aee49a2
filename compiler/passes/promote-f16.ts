// Computes half-precision graphs in f32: f16 stays what inputs and outputs are made of, and is rounded to only there.

import type { DType } from "../../ir/dtype.ts";
import { type Graph, GraphBuilder, topological, type Value } from "../../ir/graph.ts";
import type { Attrs } from "../../ir/op.ts";
import { rebuild } from "../../ir/rewrite.ts";
import { fromF16 } from "../../ir/scalar/f16.ts";
import { type Tensor, tensorOf } from "../../ir/tensor.ts";
import { definePass } from "../pass.ts";

/** These see the bits, or the regions' own types: what enters and leaves them stays f16. */
const AS_IS: ReadonlySet<string> = new Set(["bitcast", "if", "loop", "fused", "tiles", "place", "param"]);

const widened = (t: Tensor): Tensor => tensorOf("f32", t.shape, Array.from(t.data as Uint16Array, fromF16));
const isHalf = (v: Value): boolean => v.type.dtype === "f16";

/** An operator that names its result's type names f32 instead. */
const promotedAttrs = (attrs: Attrs): Attrs => (attrs.to === ("f16" satisfies DType) ? { ...attrs, to: "f32" } : attrs);

export const promoteF16 = definePass({
  name: "promote-f16",
  doc: "Computes f16 values in f32, unless the target has f16 arithmetic: fewer roundings, and kernels that vectors serve.",
  exactness: "bounded",
  invariant: "f16 is the type of parameters, outputs and what regions take and give, and of nothing else",
  run(g: Graph) {
    if (!topological(g.outputs).some((n) => n.results.some(isHalf))) return g;
    const b = new GraphBuilder(g.ops, g.weights);
    /** The f32 values behind the narrowings that this pass made; those of the model round, and stay. */
    const behind = new Map<Value, Value>();
    /** The f32 twin of a value that the rebuilt graph holds as f16. */
    const wide = (v: Value): Value => {
      if (!isHalf(v)) return v;
      const t = b.constantOf(v);
      if (t) return b.constant(widened(t), { loc: v.node.locs });
      return behind.get(v) ?? b.value("cast", [v], { to: "f32" }, v.node.locs);
    };
    return rebuild(g, b, (n, inputs) => {
      if (AS_IS.has(n.op) || n.op === "const" || n.op === "cast" || !(n.results.some(isHalf) || n.inputs.some(isHalf))) return undefined;
      const made = b.add(n.op, inputs.map(wide), promotedAttrs(n.attrs), n.locs).results;
      return made.map((r, k) => {
        if (!isHalf(n.results[k]!) || r.type.dtype !== "f32") return r;
        const narrow = b.value("cast", [r], { to: "f16" }, n.locs);
        behind.set(narrow, r);
        return narrow;
      });
    });
  },
});
