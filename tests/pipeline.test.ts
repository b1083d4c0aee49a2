// Pipelines: lists that users change by name, run with a log that says what each pass did.

import { describe, expect, test } from "vitest";
import { definePass, type Pass, passContext, rewritePass, runPass } from "../compiler/pass.ts";
import { defaultPipeline, describePipeline, insertAfter, insertBefore, replace, runPipeline, without } from "../compiler/pipeline.ts";
import { type Graph, GraphBuilder } from "../ir/graph.ts";
import { standardOps } from "../ir/ops/index.ts";
import { parse } from "../ir/parse.ts";
import { any, op, rule } from "../ir/rewrite.ts";

const graph = (body: string): Graph => parse(`graph @g(%x: f32[2]) {\n${body}\n}`, standardOps, { file: "g.ir" });
const twice = graph("  %a = neg(%x) : f32[2]\n  %b = neg(%a) : f32[2]\n  %c = exp(%b) : f32[2]\n  return %c");

const nothing: Pass = definePass({
  name: "nothing",
  doc: "Does nothing.",
  exactness: "exact",
  invariant: "what held holds",
  run: (g) => g,
});
const names = (pipeline: readonly Pass[]) => pipeline.map((p) => p.name);

describe("changing a pipeline", () => {
  test("insert, replace, remove", () => {
    const all = names(defaultPipeline);
    const at = all.indexOf("fuse");
    expect(names(insertBefore(defaultPipeline, "fuse", nothing))).toEqual(all.toSpliced(at, 0, "nothing"));
    expect(names(insertAfter(defaultPipeline, "fuse", nothing))).toEqual(all.toSpliced(at + 1, 0, "nothing"));
    expect(names(replace(defaultPipeline, "fuse", nothing))).toEqual(all.with(at, "nothing"));
    expect(names(without(defaultPipeline, "fuse"))).toEqual(all.toSpliced(at, 1));
    expect(names(defaultPipeline)).toEqual(all);
  });

  test("unknown and double names are errors", () => {
    expect(() => without(defaultPipeline, "fusion")).toThrow(
      /no pass named 'fusion' \[unknown-pass\]\n {2}hint: known passes: .*fold-constants, canonicalize/,
    );
    expect(() => insertAfter(defaultPipeline, "fuse", { ...nothing, name: "canonicalize" })).toThrow(
      /has a pass named 'canonicalize' already \[duplicate-pass\]/,
    );
  });

  test("every pass says what it does and what holds after it", () => {
    for (const p of defaultPipeline) {
      expect(p.doc).toMatch(/^[A-Z].*\.$/);
      expect(p.invariant.length).toBeGreaterThan(20);
    }
    expect(describePipeline(defaultPipeline).split("\n")).toHaveLength(defaultPipeline.length + 1);
    expect(describePipeline([nothing])).toBe("1. nothing (exact): what held holds\n");
  });
});

describe("running a pipeline", () => {
  const log = (debug: number): string[] => {
    const lines: string[] = [];
    runPipeline(twice, defaultPipeline, { debug, log: (l) => lines.push(l) });
    return lines;
  };

  test("0 is silent; 1 says names, times and node counts, and what changed nothing", () => {
    expect(log(0)).toEqual([]);
    const lines = log(1);
    expect(lines).toHaveLength(defaultPipeline.length);
    expect(lines.find((l) => l.startsWith("canonicalize"))).toMatch(/^canonicalize +\d+\.\d ms {2}3 -> 1 nodes$/);
    expect(lines.find((l) => l.startsWith("fuse"))).toMatch(/1 -> 1 nodes \(unchanged\)$/);
  });

  test("2 prints the graph after a pass that changed it", () => {
    const dumps = log(2).filter((l) => l.startsWith("graph @g"));
    expect(dumps).toEqual(["graph @g(%x: f32[2]) {\n  %0 = exp(%x) : f32[2]\n  return %0\n}\n"]);
  });

  test("3 names each rule that was applied, and where", () => {
    expect(log(3)).toContain("  canonicalize: neg(neg(x)) -> x at %b : f32[2]");
  });

  test("stopAfter bisects", () => {
    const seen: string[] = [];
    runPipeline(twice, defaultPipeline, { stopAfter: 2, onPass: (name) => seen.push(name) });
    expect(seen).toEqual(names(defaultPipeline).slice(0, 2));
  });

  test("notes carry the pass and the node", () => {
    const talks = definePass({
      ...nothing,
      name: "talks",
      run(g, ctx) {
        ctx.note("looked", g.outputs[0]);
        return g;
      },
    });
    expect(runPipeline(twice, [talks]).notes).toEqual([{ pass: "talks", node: "%c", message: "looked" }]);
  });
});

describe("what a pass may not do", () => {
  const outputs = (f: (b: GraphBuilder, g: Graph) => Graph) =>
    definePass({ ...nothing, name: "rude", run: (g) => f(new GraphBuilder(g.ops, g.weights), g) });

  test("change an output's type", () => {
    const rude = outputs((b, g) => ({ ...g, outputs: [b.value("cast", [g.outputs[0]!], { to: "f16" })] }));
    expect(() => runPass(rude, twice, passContext())).toThrow(
      /g\.ir:4 \(%c\): pass 'rude' changed output 0 from f32\[2\] to f16\[2\] \[pass-interface\]/,
    );
  });

  test("drop an input or an output", () => {
    expect(() =>
      runPass(
        outputs((_, g) => ({ ...g, params: [] })),
        twice,
        passContext(),
      ),
    ).toThrow(/the number of inputs from 1 to 0/);
    expect(() =>
      runPass(
        outputs((_, g) => ({ ...g, outputs: [] })),
        twice,
        passContext(),
      ),
    ).toThrow(/the number of outputs from 1 to 0/);
  });

  test("rewrite for ever", () => {
    const flip = rewritePass({
      ...nothing,
      name: "flip",
      rules: [rule("exp(x) -> exp(neg(x))", op("exp", any("x")), ({ x }, b) => b.value("exp", [b.value("neg", [x])]))],
    });
    expect(() => runPass(flip, twice, passContext())).toThrow(/\[rewrite-loop\]/);
  });
});

test("a pass sees the regions of if and loop, not those of fused nodes", () => {
  const regions = parse(
    `graph @g(%c: bool[], %x: f32[2]) {
  %y = if(%c, %x) {else: graph (%p: f32[2]) {
    return %p
  }, then: graph (%p: f32[2]) {
    %0 = fused(%p) {body: graph (%q: f32[2]) {
      %1 = neg(%q) : f32[2]
      return %1
    }} : f32[2]
    return %0
  }} : f32[2]
  return %y
}`,
    standardOps,
  );
  const seen: string[] = [];
  runPass(
    definePass({
      ...nothing,
      run(g) {
        seen.push(g.params.map((p) => p.node.attrs.name).join());
        return g;
      },
    }),
    regions,
    passContext(),
  );
  expect(seen).toEqual(["c,x", "p", "p"]);
});
