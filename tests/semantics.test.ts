// Every pass keeps what graphs mean: random graphs, interpreted before and after, compared as strictly as the pass promises.

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { definePass, type Pass, passContext, runPass } from "../compiler/pass.ts";
import { expand } from "../compiler/passes/expand.ts";
import { defaultPipeline, runPipeline } from "../compiler/pipeline.ts";
import { type Graph, GraphBuilder } from "../ir/graph.ts";
import { interpret } from "../ir/interpret.ts";
import { standardOps } from "../ir/ops/index.ts";
import { parse } from "../ir/parse.ts";
import { print } from "../ir/print.ts";
import { rebuild } from "../ir/rewrite.ts";
import { tensorOf } from "../ir/tensor.ts";
import { difference, precisionOf } from "./support/equal.ts";
import { multiplier, placeFor } from "./support/placement.ts";
import { type RandomGraph, randomGraphs } from "./support/random-graph.ts";

/** Set SPARSEC_RUNS for a longer search; a failure prints its seed and its smallest graph. */
const RUNS = Number(process.env["SPARSEC_RUNS"] ?? 300);
const parameters: fc.Parameters<[RandomGraph]> = { numRuns: RUNS, seed: Number(process.env["SPARSEC_SEED"] ?? 20261121) };

/** Without steps, at which rounding makes all the difference. */
const smooth = randomGraphs({ without: ["step", "compare", "cast", "quantized", "argReduce"] });

function holds({ graph, inputs }: RandomGraph, run: (g: Graph) => Graph, mode: "exact" | "bounded"): void {
  const expected = interpret(graph, inputs);
  const after = run(graph);
  const actual = interpret(after, inputs);
  const wrong = difference(actual, expected, mode, precisionOf(graph));
  if (wrong !== undefined) throw new Error(`${wrong}\n--- before\n${print(graph)}--- after\n${print(after)}`);
}

const afterwards = (first: Pass, pass: Pass): Pass => ({ ...pass, run: (g, ctx) => pass.run(first.run(g, ctx), ctx) });

describe("a pass keeps the meaning of a graph", () => {
  // Placement asks what nodes cost, which those have that have kernels.
  for (const pass of [...defaultPipeline, afterwards(expand, placeFor(multiplier))]) {
    const mode = pass.exactness === "exact" ? "exact" : "bounded";
    test(`${pass.name} (${mode})`, () => {
      const graphs = mode === "exact" ? randomGraphs({ special: true }) : smooth;
      fc.assert(
        fc.property(graphs, (g) => holds(g, (x) => runPass(pass, x, passContext()), mode)),
        parameters,
      );
    });

    test(`${pass.name} settles`, () => {
      fc.assert(
        fc.property(randomGraphs(), ({ graph }) => {
          const once = print(runPass(pass, graph, passContext()));
          expect(print(runPass(pass, parse(once, standardOps, { weights: graph.weights }), passContext()))).toBe(once);
        }),
        { ...parameters, numRuns: Math.ceil(RUNS / 3) },
      );
    });
  }

  test("the whole pipeline (bounded)", () => {
    fc.assert(
      fc.property(smooth, (g) => holds(g, (x) => runPipeline(x, defaultPipeline).graph, "bounded")),
      parameters,
    );
  });
});

test("printing and parsing keep a graph", () => {
  fc.assert(
    fc.property(randomGraphs({ special: true }), ({ graph }) => {
      const text = print(graph);
      expect(print(parse(text, standardOps, { weights: graph.weights }))).toBe(text);
    }),
    parameters,
  );
});

test("a wrong pass is found and shrunk", () => {
  const wrong = definePass({
    name: "wrong",
    doc: "Takes every relu for an identity.",
    exactness: "exact",
    invariant: "none",
    run: (g) => rebuild(g, new GraphBuilder(g.ops, g.weights), (n, inputs) => (n.op === "relu" ? inputs : undefined)),
  });
  const result = fc.check(
    fc.property(randomGraphs(), (g) => holds(g, (x) => runPass(wrong, x, passContext()), "exact")),
    { ...parameters, numRuns: 1000 },
  );
  expect(result.failed).toBe(true);
  const { graph } = result.counterexample![0];
  expect(print(graph).match(/=/g)!.length).toBeLessThanOrEqual(12);
  expect(print(graph)).toContain("relu");
});

test("the comparison tells -0 from 0 and NaN from numbers", () => {
  const t = (x: number) => [tensorOf("f32", [1], [x])];
  expect(difference(t(-0), t(0), "exact")).toBeDefined();
  expect(difference(t(Number.NaN), t(0), "bounded")).toBeDefined();
  expect(difference(t(1.001), t(1), "bounded")).toBeDefined();
  expect(difference(t(Number.NaN), t(Number.NaN), "exact")).toBeUndefined();
});
