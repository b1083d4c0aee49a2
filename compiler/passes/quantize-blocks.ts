// Rounds weights and activations to small integers, as a recipe says that was made from this graph and samples of its inputs.

import type { Graph } from "../../ir/graph.ts";
import { isGraph, topological } from "../../ir/graph.ts";
import { print } from "../../ir/print.ts";
import { definePass, type Pass } from "../pass.ts";
import { errors } from "../quantize/diagnostics.ts";
import type { Quantization } from "../quantize/quantize.ts";
import { applyRecipe } from "../quantize/recipe.ts";

const regionsOf = (g: Graph): readonly Graph[] =>
  topological(g.outputs).flatMap((n) => Object.values(n.attrs).flatMap((a) => (isGraph(a) ? [a, ...regionsOf(a)] : [])));

/** Regions of `if` and `loop` stay as they are: samples tell of the whole graph's values. */
export const quantizeBlocks = ({ recipe, report, notes }: Quantization): Pass =>
  definePass({
    name: "quantize-blocks",
    doc: "Rounds the weights of products and tables to 8 or 4 bits, and the activations between products to 8, as samples of the inputs suggest.",
    exactness: "lossy",
    invariant: "weights and activations of the recipe are dequantized integers; zeros among weights are still zeros",
    run(g, ctx) {
      const text = print(g);
      if (text !== print(recipe.graph)) {
        if (regionsOf(recipe.graph).some((region) => print(region) === text)) return g;
        throw errors.otherGraph();
      }
      ctx.quantized(report);
      for (const { message, about } of notes) ctx.note(message, about);
      return applyRecipe(recipe).graph;
    },
  });
