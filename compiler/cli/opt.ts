// `sparsec opt`: passes over a graph, printed. The inner loop of writing a pass.

import { readFile } from "node:fs/promises";
import { basename } from "node:path";
import { SparsecError } from "../../ir/diagnostics.ts";
import { type Graph, topological } from "../../ir/graph.ts";
import { opSet } from "../../ir/op.ts";
import { standardOps } from "../../ir/ops/index.ts";
import { parse } from "../../ir/parse.ts";
import { print } from "../../ir/print.ts";
import { errors } from "../diagnostics.ts";
import { type CompileOptions, defaultPipeline, importModel, type Pipeline, placePass, resolvePipeline, runPipeline } from "../index.ts";
import type { Run } from "./commands.ts";
import { integer } from "./flags.ts";
import { settings } from "./options.ts";
import { table } from "./table.ts";

interface Timing {
  readonly pass: string;
  readonly ms: number;
  readonly nodes: number;
  readonly changed: boolean;
  readonly ir?: string;
}

async function readGraph(path: string, options: CompileOptions): Promise<Graph> {
  if (!path.endsWith(".ir")) return (await importModel(path, options)).graph;
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (e) {
    throw new SparsecError("unreadable", `cannot read the graph: ${(e as Error).message}`, { file: path, name: "" });
  }
  return parse(text, opSet([...standardOps.values()], options.ops?.ops ?? []), { file: basename(path) });
}

/** The passes of those names, in that order, out of the pipeline that the config makes and the default one. */
function chosen(names: readonly string[], options: CompileOptions): Pipeline {
  const pipeline = [...resolvePipeline(options), ...(options.place ? [placePass(options)] : [])];
  if (names.length === 0) return pipeline;
  const known = new Map([...defaultPipeline, placePass(options), ...pipeline].map((p) => [p.name, p]));
  return names.map((name) => {
    const pass = known.get(name);
    if (!pass) throw errors.unknownPass(name, [...known.keys()]);
    return pass;
  });
}

export const run: Run = async (flags, terminal) => {
  const [path, ...more] = flags.positionals as [string, ...string[]];
  const { options } = await settings(flags, terminal);
  const pipeline = chosen([...flags.list("pass"), ...more], options);
  const dumps = new Set(flags.list("dump-after"));
  for (const name of dumps)
    if (name !== "all" && !pipeline.some((p) => p.name === name)) throw errors.unknownPass(name, ["all", ...pipeline.map((p) => p.name)]);
  const stop = flags.one("stop-after");
  const graph = await readGraph(path, options);
  const timings: Timing[] = [];
  const result = runPipeline(graph, pipeline, {
    sparsity: options.sparsity,
    debug: options.debug,
    ...(options.log ? { log: options.log } : {}),
    stopAfter: stop === undefined ? undefined : integer("stop-after", stop),
    onPass(pass, before, after, ms) {
      const dump = dumps.has("all") || dumps.has(pass);
      const nodes = topological(after.outputs).filter((n) => n.op !== "param" && n.op !== "const").length;
      timings.push({ pass, ms, nodes, changed: after !== before, ...(dump ? { ir: print(after) } : {}) });
      if (dump && !terminal.json) terminal.note(`// after ${pass}${after === before ? " (unchanged)" : ""}\n${print(after)}`);
    },
  });
  terminal.done();
  if (terminal.json) {
    terminal.document({ ir: print(result.graph), passes: timings, notes: result.notes, sparsity: result.sparsity });
    return 0;
  }
  if (flags.is("time-passes")) {
    const total = timings.reduce((sum, t) => sum + t.ms, 0);
    const rows = [...timings]
      .sort((a, b) => b.ms - a.ms)
      .map((t) => [t.pass, t.ms.toFixed(1), `${((100 * t.ms) / total).toFixed(0)} %`, String(t.nodes), t.changed ? "" : "(unchanged)"]);
    for (const line of table([["pass", "ms", "share", "nodes", ""], ...rows], new Set([1, 2, 3]))) terminal.note(line);
  }
  for (const note of result.notes) terminal.note(`note: ${note.node === undefined ? "" : `${note.node}: `}${note.message}`);
  terminal.out(print(result.graph).trimEnd());
  return 0;
};
