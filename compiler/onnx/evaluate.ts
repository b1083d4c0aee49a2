// Values that hang on constants only, computed while importing: each node at most once, within a budget.

import { dependencies, type Graph, type Node, type Value } from "../../ir/graph.ts";
import { runNode } from "../../ir/interpret.ts";
import type { Tensor } from "../../ir/tensor.ts";
import { sizeOf } from "../../ir/types.ts";

/** Largest tensor that is computed with, and the steps that the whole import may take, about 100 ns each. */
const MAX_ELEMENTS = 2 ** 18;
const MAX_STEPS = 2 ** 23;
/** Operators whose cost their sizes do not bound. */
const UNBOUNDED: ReadonlySet<string> = new Set(["loop"]);

export interface Evaluator {
  /** Whether a value hangs on constants only. */
  isConstant(v: Value): boolean;
  /** Its tensor, or undefined where it hangs on a parameter or is too large to compute here. */
  tensorOf(v: Value): Tensor | undefined;
}

const elementsOf = (values: readonly Value[]): number => values.reduce((n, v) => n + sizeOf(v.type), 0);

/** A bound on the steps that a node takes: contractions read each operand once for each result's row. */
function stepsOf(n: Node): number {
  const [reads, writes] = [elementsOf(n.inputs), elementsOf(n.results)];
  if (n.op !== "matmul" && n.op !== "conv" && n.op !== "conv_transpose") return reads + writes;
  return writes * Math.max(1, sizeOf(n.inputs[1]!.type));
}

export function evaluator(g: Pick<Graph, "ops" | "weights">): Evaluator {
  const constant = new Map<Node, boolean>();
  const tensors = new Map<Value, Tensor>();
  const refused = new Set<Node>();
  let steps = 0;

  /** Calls `visit` on every node that is not `done`, operands first. */
  const walk = (root: Node, done: (n: Node) => boolean, visit: (n: Node) => void): void => {
    const stack = [root];
    while (stack.length > 0) {
      const n = stack[stack.length - 1]!;
      const next = done(n) ? undefined : dependencies(n).find((v) => v.node !== n && !done(v.node));
      if (next) {
        stack.push(next.node);
        continue;
      }
      stack.pop();
      if (!done(n)) visit(n);
    }
  };

  const isConstant = (v: Value): boolean => {
    walk(
      v.node,
      (n) => constant.has(n),
      (n) =>
        constant.set(
          n,
          n.op !== "param" && !g.ops.get(n.op)?.effect && dependencies(n).every((d) => d.node === n || constant.get(d.node) === true),
        ),
    );
    return constant.get(v.node)!;
  };

  const run = (n: Node): void => {
    const wide = n.op === "const" ? 0 : Math.max(...n.results.map((r) => sizeOf(r.type)), ...n.inputs.map((i) => sizeOf(i.type)));
    const cost = n.op === "const" ? 0 : stepsOf(n);
    if (UNBOUNDED.has(n.op) || wide > MAX_ELEMENTS || steps + cost > MAX_STEPS || dependencies(n).some((d) => refused.has(d.node))) {
      refused.add(n);
      return;
    }
    steps += cost;
    const results = runNode(n, g, tensors);
    n.results.forEach((r, i) => tensors.set(r, results[i]!));
  };

  return {
    isConstant,
    tensorOf(v) {
      if (!isConstant(v)) return undefined;
      walk(v.node, (n) => refused.has(n) || tensors.has(n.results[0]!), run);
      return tensors.get(v);
    },
  };
}
