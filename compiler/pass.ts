// What a pass is: a named step from a valid graph to a valid graph, with what it promises.

import { errors as irErrors } from "../ir/diagnostics.ts";
import { type Graph, GraphBuilder, isGraph, topological, type Value } from "../ir/graph.ts";
import type { Attr, Attrs } from "../ir/op.ts";
import { applyRules, type Rule, rebuild, type Trace } from "../ir/rewrite.ts";
import { sameType, typeToString } from "../ir/types.ts";
import type { Device } from "./backend.ts";
import { type Costs, costsFor } from "./cost/costs.ts";
import { errors } from "./diagnostics.ts";
import type { Region } from "./placement.ts";
import type { QuantizationReport } from "./quantize/report.ts";
import type { SparsityFinding } from "./sparsity/finding.ts";

/** `exact`: bit-equal results in the reference. `bounded`: equal but for rounding. `lossy`: chosen accuracy loss. */
export type Exactness = "exact" | "bounded" | "lossy";

/** Where the model is to run, as far as passes decide by it. */
export interface Targets {
  /** How fast kernels are on hosts; undefined where it is to run on devices alone. */
  readonly costs: Costs | undefined;
  readonly devices: readonly Device[];
}

/** A host of which nothing is known. */
export const someHost = (): Targets => ({ costs: costsFor("wasm:baseline", undefined), devices: [] });

export interface PassContext {
  /** Told of each application of a rule. */
  readonly trace?: Trace | undefined;
  /** `off` leaves every constant dense. */
  readonly sparsity: "auto" | "off";
  readonly targets: Targets;
  /** A sentence for the user: what was decided, or what could not be. */
  note(message: string, about?: Value): void;
  /** What is known about the zeros of a constant operand. */
  found(finding: SparsityFinding): void;
  /** Why a region runs where it does. */
  placed(body: Graph, region: Region): void;
  /** What became of weights and activations, and what that cost. */
  quantized(report: QuantizationReport): void;
}

export interface Pass {
  readonly name: string;
  /** One sentence: what it does. */
  readonly doc: string;
  readonly exactness: Exactness;
  /** What holds of every graph that leaves it. */
  readonly invariant: string;
  /** Keeps parameters and output types. Called for the whole graph, then for each region of an `if` or `loop` in it. */
  run(graph: Graph, ctx: PassContext): Graph;
}

export const definePass = (pass: Pass): Pass => Object.freeze(pass);

/** A context for running one pass by hand. */
export const passContext = (options: Partial<PassContext> = {}): PassContext => ({
  sparsity: "auto",
  targets: someHost(),
  note: () => {},
  found: () => {},
  placed: () => {},
  quantized: () => {},
  ...options,
});

const MAX_SWEEPS = 20;

/** Sweeps rules over a graph until none applies. Errors: `rewrite-loop` when they never settle. */
export function settle(name: string, graph: Graph, rules: readonly Rule[], trace?: Trace): Graph {
  let g = graph;
  for (let sweep = 0; sweep < MAX_SWEEPS; sweep++) {
    const next = applyRules(g, rules, trace);
    if (next === g) return g;
    g = next;
  }
  throw irErrors.rewriteLoop(name, MAX_SWEEPS);
}

/** The common case: local rules, swept over the graph until none applies. */
export const rewritePass = ({ rules, ...head }: Omit<Pass, "run"> & { readonly rules: readonly Rule[] }): Pass =>
  definePass({ ...head, run: (g, ctx) => settle(head.name, g, rules, ctx.trace) });

/** Applies `f` to the regions of `if` and `loop` nodes. A `fused` region is a kernel, not a program: left alone. */
function mapRegions(g: Graph, f: (region: Graph) => Graph): Graph {
  if (!topological(g.outputs).some((n) => n.op === "if" || n.op === "loop")) return g;
  let changed = false;
  const improved = (attrs: Attrs): Attrs => {
    const next: Record<string, Attr> = { ...attrs };
    for (const [key, region] of Object.entries(attrs)) {
      if (!isGraph(region)) continue;
      next[key] = f(region);
      changed ||= next[key] !== region;
    }
    return next;
  };
  const out = rebuild(g, new GraphBuilder(g.ops, g.weights), (n, inputs, b) =>
    n.op === "if" || n.op === "loop" ? b.add(n.op, inputs, improved(n.attrs), n.locs).results : undefined,
  );
  return changed ? out : g;
}

function checkInterface(pass: Pass, what: string, before: readonly Value[], after: readonly Value[]): void {
  if (before.length !== after.length)
    throw errors.passChangedInterface(pass.name, `the number of ${what}s`, String(before.length), String(after.length));
  before.forEach((v, i) => {
    const w = after[i]!;
    // The values that bounded extents hang on are other nodes after a rewrite: only their limits can be compared.
    const [was, is] = [typeToString(v.type), typeToString(w.type)];
    if (was === is || sameType(v.type, w.type)) return;
    throw errors.passChangedInterface(pass.name, `${what} ${i}`, was, is, v.node.locs[0]);
  });
}

/** Runs a pass on a graph, then on its regions. Errors: `pass-interface` when inputs or outputs change. */
export function runPass(pass: Pass, graph: Graph, ctx: PassContext): Graph {
  const run = (g: Graph): Graph => {
    const out = pass.run(g, ctx);
    checkInterface(pass, "input", g.params, out.params);
    checkInterface(pass, "output", g.outputs, out.outputs);
    return mapRegions(out, run);
  };
  return run(graph);
}
