// Runs every tests/**/*.ir: graphs divided by `// -----`, the passes of the file's RUN line, and the CHECK lines of each graph.

import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { type Pass, passContext, runPass } from "../compiler/pass.ts";
import { defaultPipeline } from "../compiler/pipeline.ts";
import { SparsecError } from "../ir/diagnostics.ts";
import type { Graph } from "../ir/graph.ts";
import { interpret } from "../ir/interpret.ts";
import { standardOps } from "../ir/ops/index.ts";
import { parse } from "../ir/parse.ts";
import { print } from "../ir/print.ts";
import type { Tensor } from "../ir/tensor.ts";
import { maxShape } from "../ir/types.ts";
import { difference, precisionOf } from "./support/equal.ts";
import { filecheck, runLine } from "./support/filecheck.ts";
import { multiplier, placeFor } from "./support/placement.ts";
import { choices, randomTensor } from "./support/random-graph.ts";

const passes: ReadonlyMap<string, Pass> = new Map([...defaultPipeline, placeFor(multiplier)].map((p) => [p.name, p]));

const files = readdirSync("tests", { recursive: true, encoding: "utf8" })
  .filter((name) => name.endsWith(".ir"))
  .map((name) => `tests/${name}`)
  .sort();

/** The graphs of a file, each with its first line's number, so that errors point into the file. */
const sections = (text: string): string[] => {
  const parts = text.split(/^\/\/ -----.*$/m);
  return parts
    .map((part, i) => "\n".repeat(parts.slice(0, i).join("").split("\n").length - 1) + part)
    .filter((part) => /^graph /m.test(part));
};

/** The outputs on some inputs; nothing where an index is outside, which the graph after a pass must find too. */
function results(g: Graph, inputs: readonly Tensor[]): readonly Tensor[] {
  try {
    return interpret(g, inputs);
  } catch (e) {
    if (e instanceof SparsecError && e.code === "fault") return [];
    throw e;
  }
}

describe.each(files)("%s", (file) => {
  const text = readFileSync(file, "utf8");
  const run = runLine(text).map((name) => passes.get(name) ?? expect.fail(`${file}: no pass named '${name}'`));
  test.each(sections(text).map((s) => [/graph @(\w+)/.exec(s)![1]!, s] as const))("@%s", (_, section) => {
    const graph = parse(section, standardOps, { file });
    const again = (g: typeof graph) => print(parse(print(g), standardOps, { file: "printed", weights: g.weights }));
    expect(again(graph)).toBe(print(graph));
    const out = run.reduce((g, pass) => runPass(pass, g, passContext()), graph);
    expect(again(out)).toBe(print(out));
    filecheck(section, print(out));
    const c = choices(1);
    const inputs = graph.params.map((p) => randomTensor(c, p.type.dtype, maxShape(p.type)));
    const exact = run.every((p) => p.exactness === "exact");
    expect(difference(results(out, inputs), results(graph, inputs), exact ? "exact" : "bounded", precisionOf(graph))).toBeUndefined();
  });
});

test("every pass has its files", () => {
  for (const name of passes.keys())
    expect(
      files.filter((f) => f.startsWith(`tests/passes/${name}`)),
      name,
    ).not.toHaveLength(0);
});
