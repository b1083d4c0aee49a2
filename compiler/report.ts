// What `explain` shows: for every kernel, what it computes, on which shapes, how sparse its weights are, and why it was chosen.

import type { Graph } from "../ir/graph.ts";
import { typeToString } from "../ir/types.ts";
import type { Step } from "./lower/step.ts";
import { countZeros } from "./sparsity/count-zeros.ts";
import type { SparsityFinding } from "./sparsity/finding.ts";
import { patternToString } from "./sparsity/finding.ts";

export interface NodeReport {
  /** ONNX nodes that the kernel computes. */
  readonly nodes: readonly string[];
  /** The tensor operators, in order. */
  readonly op: string;
  readonly shape: string;
  /** The largest constant operand: elements and exact zeros; absent without one. */
  readonly elements?: number;
  readonly zeros?: number;
  readonly pattern?: string;
  readonly format?: string;
  readonly kernel: string;
  /** Bytes written. */
  readonly bytes: number;
  readonly why: string;
}

/** One row per kernel step, in order. */
export function explainSteps(graph: Graph, steps: readonly Step[], findings: readonly SparsityFinding[]): NodeReport[] {
  return steps.flatMap((s): NodeReport[] => {
    if (s.kind !== "kernel") return [];
    const names = s.node.locs.map((l) => l.name);
    const body = s.node.op === "fused" ? (s.node.attrs.body as Graph) : undefined;
    const weights = s.node.inputs
      .filter((v) => v.node.op === "const")
      .map((v) => graph.weights.get(v.node.attrs.ref as string))
      .sort((a, b) => b.data.length - a.data.length)[0];
    const finding = findings.find((f) => names.includes(f.node));
    return [
      {
        nodes: names,
        op: body ? (s.lowered.functions.at(-1)?.doc ?? "fused") : s.node.op,
        shape: s.node.results.map((r) => typeToString(r.type)).join(", "),
        ...(weights && weights.data.length > 1 ? { elements: weights.data.length, zeros: countZeros(weights) } : {}),
        ...(finding ? { pattern: patternToString(finding.pattern) } : {}),
        format: s.lowered.format ?? "dense",
        kernel: s.lowered.kernel,
        bytes: s.results.reduce((sum, p) => sum + p.storage.bytes, 0),
        why: [s.lowered.why, ...(finding ? [finding.why] : [])].join("; "),
      },
    ];
  });
}
