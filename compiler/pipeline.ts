// The list of passes that a model goes through, and how to run and change it. No priorities and no buckets: the order is the list.

import { type Graph, topological } from "../ir/graph.ts";
import { print } from "../ir/print.ts";
import { typeToString } from "../ir/types.ts";
import { errors } from "./diagnostics.ts";
import { type Pass, type PassContext, runPass, someHost } from "./pass.ts";
import { canonicalize } from "./passes/canonicalize.ts";
import { detectSparsity } from "./passes/detect-sparsity.ts";
import { expand } from "./passes/expand.ts";
import { foldBatchnorm } from "./passes/fold-batchnorm.ts";
import { foldConstants } from "./passes/fold-constants.ts";
import { fuse } from "./passes/fuse.ts";
import { fuseTiles } from "./passes/fuse-tiles.ts";
import { integerProducts } from "./passes/integer-products.ts";
import { promoteF16 } from "./passes/promote-f16.ts";
import { recognize } from "./passes/recognize.ts";
import type { Region } from "./placement.ts";
import type { QuantizationReport } from "./quantize/report.ts";
import type { SparsityFinding } from "./sparsity/finding.ts";

export type Pipeline = readonly Pass[];

/** What happens to a model between import and lowering, in this order. */
export const defaultPipeline: Pipeline = [
  promoteF16,
  foldConstants,
  canonicalize,
  foldBatchnorm,
  recognize,
  integerProducts,
  expand,
  detectSparsity,
  fuse,
  fuseTiles,
];

/** The pipeline as text: a line for each pass, with what holds after it. */
export const describePipeline = (pipeline: Pipeline): string =>
  pipeline.map((p, i) => `${i + 1}. ${p.name} (${p.exactness}): ${p.invariant}\n`).join("");

function position(pipeline: Pipeline, name: string): number {
  const at = pipeline.findIndex((p) => p.name === name);
  if (at < 0)
    throw errors.unknownPass(
      name,
      pipeline.map((p) => p.name),
    );
  return at;
}

/** Puts `passes` in place of `count` passes from `at`. A name may stand once only: users insert by it. */
function splice(pipeline: Pipeline, at: number, count: number, passes: readonly Pass[]): Pipeline {
  const out = pipeline.toSpliced(at, count, ...passes);
  const twice = out.find((p, i) => out.findIndex((q) => q.name === p.name) !== i);
  if (twice) throw errors.duplicatePass(twice.name);
  return out;
}

/** Errors of all four: `unknown-pass`, `duplicate-pass`. */
export const insertBefore = (pipeline: Pipeline, name: string, pass: Pass): Pipeline =>
  splice(pipeline, position(pipeline, name), 0, [pass]);
export const insertAfter = (pipeline: Pipeline, name: string, pass: Pass): Pipeline =>
  splice(pipeline, position(pipeline, name) + 1, 0, [pass]);
export const replace = (pipeline: Pipeline, name: string, pass: Pass): Pipeline => splice(pipeline, position(pipeline, name), 1, [pass]);
export const without = (pipeline: Pipeline, name: string): Pipeline => splice(pipeline, position(pipeline, name), 1, []);

/** A sentence that a pass left for the user. */
export interface Note {
  readonly pass: string;
  /** The node that it is about, as the model calls it. */
  readonly node?: string;
  readonly message: string;
}

export interface PipelineOptions {
  readonly sparsity?: PassContext["sparsity"] | undefined;
  /** A host with the costs that ship for wasm, where left out. */
  readonly targets?: PassContext["targets"] | undefined;
  /** Ends after this many passes. */
  readonly stopAfter?: number | undefined;
  onPass?(name: string, before: Graph, after: Graph, ms: number): void;
  /** 1: names, times and node counts; 2: the graph after each pass that changed it; 3: each rule application as well. */
  readonly debug?: number | undefined;
  /** Where debug lines go. */
  log?(line: string): void;
}

export interface PipelineResult {
  readonly graph: Graph;
  readonly notes: readonly Note[];
  /** One for each constant operand that was looked at, in order. */
  readonly sparsity: readonly SparsityFinding[];
  /** What was decided about regions that were placed, by their bodies. */
  readonly regions: ReadonlyMap<Graph, Region>;
  /** What became of weights and activations, where a pass quantized them. */
  readonly quantization: QuantizationReport | undefined;
}

const countNodes = (g: Graph): number => topological(g.outputs).filter((n) => n.op !== "param" && n.op !== "const").length;

/** Runs a graph through the passes in order. Errors: whatever a pass raises. */
export function runPipeline(graph: Graph, pipeline: Pipeline, options: PipelineOptions = {}): PipelineResult {
  const { debug = 0, log = () => {} } = options;
  const notes: Note[] = [];
  const sparsity: SparsityFinding[] = [];
  const regions = new Map<Graph, Region>();
  let quantization: QuantizationReport | undefined;
  let g = graph;
  for (const pass of pipeline.slice(0, options.stopAfter ?? pipeline.length)) {
    const ctx: PassContext = {
      sparsity: options.sparsity ?? "auto",
      targets: options.targets ?? someHost(),
      trace:
        debug >= 3
          ? (rule, root) => log(`  ${pass.name}: ${rule} at ${root.node.locs[0]?.name ?? root.node.op} : ${typeToString(root.type)}`)
          : undefined,
      note(message, about) {
        const node = about?.node.locs[0]?.name;
        notes.push({ pass: pass.name, message, ...(node === undefined ? {} : { node }) });
      },
      found: (finding) => sparsity.push(finding),
      placed: (body, region) => void regions.set(body, region),
      quantized(report) {
        quantization = report;
      },
    };
    const start = performance.now();
    const next = runPass(pass, g, ctx);
    const ms = performance.now() - start;
    options.onPass?.(pass.name, g, next, ms);
    if (debug >= 1)
      log(
        `${pass.name.padEnd(18)} ${ms.toFixed(1).padStart(8)} ms  ${countNodes(g)} -> ${countNodes(next)} nodes${next === g ? " (unchanged)" : ""}`,
      );
    if (debug >= 2 && next !== g) log(print(next));
    g = next;
  }
  return { graph: g, notes, sparsity, regions, quantization };
}
