// What `explain` shows: for every kernel, what it computes, on which shapes, how sparse its weights are, and why it was chosen.

import { type Graph, type Node, topological } from "../ir/graph.ts";
import { isCompute } from "../ir/op.ts";
import { typeToString } from "../ir/types.ts";
import type { Costs } from "./cost/costs.ts";
import { predict } from "./cost/predict.ts";
import { flopsOf } from "./flops.ts";
import type { LoweredGraph, Place, Step } from "./lower/step.ts";
import { elementBytes } from "./lower/storage.ts";
import { unitOf } from "./lower/unit.ts";
import type { Note } from "./pipeline.ts";
import type { Region } from "./placement.ts";
import type { QuantizationReport } from "./quantize/report.ts";
import { countZeros } from "./sparsity/count-zeros.ts";
import type { SparsityFinding } from "./sparsity/finding.ts";
import { patternToString } from "./sparsity/finding.ts";

export interface NodeReport {
  /** The step of the program that it is part of: several kernels of a loop are of one. */
  readonly step: number;
  /** ONNX nodes that the kernel computes. */
  readonly nodes: readonly string[];
  /** The one of them that gives the kernel its loops: the convolution of a convolution with bias and activation. */
  readonly name: string;
  /** That one's tensor operator, and all of them, in order. */
  readonly op: string;
  readonly ops: readonly string[];
  readonly shape: string;
  /** The largest constant operand: elements and exact zeros; absent without one. */
  readonly elements?: number;
  readonly zeros?: number;
  readonly pattern?: string;
  readonly format?: string;
  readonly kernel: string;
  readonly backend: string;
  /** Bytes written. */
  readonly bytes: number;
  /** Floating-point operations of products and convolutions, and those of them that are not with a zero weight. In a loop: of all its trips. */
  readonly flops: number;
  readonly nonzeroFlops: number;
  /** Microseconds, as the costs of its variant say; in a loop, of all its trips. */
  readonly predicted: number;
  readonly why: string;
}

/** One program of an artifact: what it takes, and its kernels in order. */
export interface VariantReport {
  readonly backend: string;
  readonly variant: string;
  /** Bytes of the arena, of the weight image, and of all values that kernels write and later ones read. */
  readonly arena: number;
  readonly weights: number;
  readonly intermediateBytes: number;
  readonly kernels: number;
  /** Kernels that only bring a value from one layout to another, and the bytes that they write. */
  readonly conversions: number;
  readonly convertedBytes: number;
  /** Steps of the program. */
  readonly steps: number;
  readonly nodes: readonly NodeReport[];
}

/** What was decided about a part of a model, and its programs. Where the whole model is the part, those are the model's. */
export interface PartReport extends Partial<Region> {
  readonly backend: string;
  readonly variants: readonly VariantReport[];
}

/** Microseconds that all kernels are predicted to take. */
export const forecast = (graph: Graph, steps: readonly Step[], costs: Costs): number =>
  kernelSteps(steps).reduce((sum, [s, times]) => sum + times * predict(graph, s, costs), 0);

/** What one inference takes. */
export type Quantities = Pick<VariantReport, "arena" | "intermediateBytes" | "kernels" | "conversions" | "convertedBytes">;

/** Counts of a lowered graph whose plan takes `arena` bytes. */
export function quantitiesOf(g: LoweredGraph, arena: number): Quantities {
  const kernels = kernelSteps(g.steps).map(([s]) => s);
  const outputs = new Set(g.outputs.map((o) => o.place.buffer));
  const bytes = (all: readonly Place[]): number => all.reduce((sum, p) => sum + elementBytes(p.storage), 0);
  const conversions = kernels.filter((s) => s.lowered.moves);
  return {
    arena,
    intermediateBytes: bytes(kernels.flatMap((s) => s.results).filter((p) => !outputs.has(p.buffer))),
    kernels: kernels.length,
    conversions: conversions.length,
    convertedBytes: bytes(conversions.flatMap((s) => s.results)),
  };
}

/** The members of a region, or the node itself. */
const members = (n: Node): readonly Node[] =>
  n.op === "fused" ? topological((n.attrs.body as Graph).outputs).filter((m) => m.op !== "param" && m.op !== "const") : [n];

/** The member whose loops are the kernel's: the one that reduces or moves data, else the first. */
function anchorOf(graph: Graph, inner: readonly Node[], fallback: Node): Node {
  const moves = inner.find((m) => {
    const op = graph.ops.get(m.op);
    return !op || !isCompute(op) || !op.elementwise;
  });
  return moves ?? inner[0] ?? fallback;
}

type KernelStep = Step & { readonly kind: "kernel" };

/** A kernel with how often it runs, and the step of the program that it is part of. */
type Placed = readonly [kernel: KernelStep, times: number, step: number];

/** Kernels in order; a number of trips that is known only at run time counts as one. */
function kernelSteps(steps: readonly Step[], times = 1, step?: number): readonly Placed[] {
  return steps.flatMap((s, k): readonly Placed[] => {
    const at = step ?? k;
    if (s.kind === "kernel") return [[s, times, at]];
    if (s.kind === "tiles") return kernelSteps(s.whole, times, at);
    if (s.kind === "if") return [...kernelSteps(s.then, times, at), ...kernelSteps(s.else, times, at)];
    return s.kind === "loop" ? kernelSteps(s.body, times * Number(s.trips.buffer.constant?.data[0] ?? 1), at) : [];
  });
}

/** What the kernel multiplies and adds; nothing where it only moves data for the node. */
function arithmetic(graph: Graph, { node, lowered }: KernelStep, times: number): Pick<NodeReport, "flops" | "nonzeroFlops"> {
  if (lowered.moves) return { flops: 0, nonzeroFlops: 0 };
  const unit = unitOf(node);
  const { all, nonzero } = flopsOf(unit.nodes, (n, k) => {
    const inner = n.inputs[k]!;
    const v = unit.outside.get(inner) ?? inner;
    return v.node.op === "const" ? graph.weights.get(v.node.attrs.ref as string) : undefined;
  });
  return { flops: all * times, nonzeroFlops: nonzero * times };
}

/** One row per kernel step, in order. */
export function explainSteps(
  graph: Graph,
  steps: readonly Step[],
  findings: readonly SparsityFinding[],
  backend: string,
  costs: Costs,
  onDevice: boolean,
): NodeReport[] {
  return kernelSteps(steps).map(([s, times, step]): NodeReport => {
    const names = s.node.locs.map((l) => l.name);
    const inner = members(s.node);
    const anchor = anchorOf(graph, inner, s.node);
    const weights = s.node.inputs
      .filter((v) => v.node.op === "const")
      .map((v) => graph.weights.get(v.node.attrs.ref as string))
      .sort((a, b) => b.data.length - a.data.length)[0];
    const finding = findings.find((f) => names.includes(f.node) && inner.some((m) => m.op === f.op));
    return {
      step,
      nodes: names,
      name: anchor.locs[0]?.name ?? names[0] ?? "",
      op: anchor.op,
      ops: inner.map((m) => m.op),
      shape: s.node.results.map((r) => typeToString(r.type)).join(", "),
      ...(weights && weights.data.length > 1 ? { elements: weights.data.length, zeros: countZeros(weights) } : {}),
      ...(finding ? { pattern: patternToString(finding.pattern) } : {}),
      format: s.lowered.format ?? "dense",
      kernel: s.lowered.kernel,
      backend,
      bytes: s.results.reduce((sum, p) => sum + elementBytes(p.storage), 0),
      ...arithmetic(graph, s, times),
      predicted: Math.round(1000 * times * predict(graph, s, costs)) / 1000,
      why: [s.lowered.why, (onDevice ? finding?.whyOnDevices : finding?.why) ?? []].flat().join("; "),
    };
  });
}

/** The report as an artifact carries it: the file that `explain` reads. */
export interface ReportFile {
  readonly version: 1;
  readonly notes: readonly Note[];
  readonly variants: readonly VariantReport[];
  /** The parts that the model was placed in. */
  readonly parts?: readonly PartReport[];
  readonly quantization?: QuantizationReport;
}

export const REPORT = "report.json";

/** A line for each kernel; the same bytes for the same report. */
export function reportToJson({ notes, variants, parts, quantization }: Omit<ReportFile, "version">): string {
  const lines = (xs: readonly unknown[]): string => `[${xs.map((x) => `\n${typeof x === "string" ? x : JSON.stringify(x)}`).join(",")}]`;
  const object = (head: unknown, key: string, xs: readonly unknown[]): string =>
    `${JSON.stringify(head).slice(0, -1)},"${key}":${lines(xs)}}`;
  const variant = ({ nodes, ...head }: VariantReport): string => object(head, "nodes", nodes);
  const part = ({ variants: own, ...head }: PartReport): string => object(head, "variants", own.map(variant));
  const rounded = quantization ? `,\n"quantization":${object({ ...quantization, layers: undefined }, "layers", quantization.layers)}` : "";
  const more = parts && parts.length > 0 ? `,\n"parts":${lines(parts.map(part))}` : "";
  return `{"version":1,"notes":${lines(notes)},\n"variants":${lines(variants.map(variant))}${more}${rounded}}\n`;
}
