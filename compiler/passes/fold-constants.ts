// Computes what is known: nodes whose operands are all constants become constants, by running the reference.

import { SparsecError } from "../../ir/diagnostics.ts";
import { DTYPES } from "../../ir/dtype.ts";
import { type Graph, GraphBuilder, isGraph, type Node, topological, type Value } from "../../ir/graph.ts";
import { interpret } from "../../ir/interpret.ts";
import { elementOf, isCompose, isCompute, type OpSet } from "../../ir/op.ts";
import { inlineGraph } from "../../ir/ops/core.ts";
import { rebuild } from "../../ir/rewrite.ts";
import { children, type Scalar } from "../../ir/scalar/scalar.ts";
import { type Tensor, transposed } from "../../ir/tensor.ts";
import { isStatic, sizeOf, type TensorType } from "../../ir/types.ts";
import { weightStore } from "../../ir/weights.ts";
import { definePass } from "../pass.ts";

const bytesOf = (t: TensorType): number => sizeOf(t) * DTYPES[t.dtype].bytes;
const sum = (xs: readonly number[]): number => xs.reduce((a, b) => a + b, 0);

/** Results up to this many bytes are always worth storing. */
const SMALL = 4096;

/** A folded result may not blow up the artifact: small, at most twice its operands, or no more elements than they have. */
function affordable(n: Node): boolean {
  const inputs = n.inputs.map((v) => v.type);
  const bytes = sum(n.results.map((r) => bytesOf(r.type)));
  return bytes <= Math.max(SMALL, 2 * sum(inputs.map(bytesOf))) || sum(n.results.map((r) => sizeOf(r.type))) <= sum(inputs.map(sizeOf));
}

/** Scalar operations that the reference may spend on one node: a second or two. */
const MOST_WORK = 2 ** 25;

function scalarWork(s: Scalar): number {
  const inner = 1 + sum(children(s).map(scalarWork));
  if (s.kind !== "reduce") return inner;
  return s.over.reduce((n, { extent }) => n * (extent.kind === "const" ? Number(extent.value) : 1), inner);
}

/** About how many scalar operations the reference needs for a node. */
function work(ops: OpSet, n: Node): number {
  const op = ops.get(n.op)!;
  const types = n.inputs.map((v) => v.type);
  const results = n.results.map((r) => r.type);
  if (isCompute(op)) return sum(results.map((t, k) => sizeOf(t) * scalarWork(elementOf(op, types, results, n.attrs, k))));
  if (isCompose(op)) {
    const b = new GraphBuilder(ops, weightStore());
    const params = types.map((t, i) => b.param(`x${i}`, t.dtype, t.shape as readonly number[]));
    return sum(topological(op.compose(b, params, n.attrs, undefined)).map((m) => work(ops, m)));
  }
  // Kernels say nothing about their cost: sorting is the dearest of them.
  return 64 * sum([...types, ...results].map(sizeOf));
}

function fold(g: Graph, n: Node): readonly Tensor[] | undefined {
  // What only moves elements is worth it at any size: large weights come transposed.
  const operand = () => g.weights.get(n.inputs[0]!.node.attrs.ref as string);
  if (n.op === "reshape") return [{ ...operand(), shape: n.results[0]!.type.shape as readonly number[] }];
  if (n.op === "transpose") return [transposed(operand(), n.attrs.perm as readonly number[])];
  if (work(g.ops, n) > MOST_WORK) return undefined;
  try {
    return interpret({ ...g, params: [], outputs: n.results }, []);
  } catch (e) {
    // A fault belongs to the run of the model, if the node is ever reached.
    if (e instanceof SparsecError && e.code === "fault") return undefined;
    throw e;
  }
}

/** The operands of an `if` or a `loop` that are captured: neither its condition nor state that changes. */
const captured = (n: Node): number => (n.op === "if" ? 1 : 2 + (n.attrs.state as number));

/** A region with constants inside for some of its parameters. */
function withConstants(region: Graph, constants: ReadonlyMap<number, Value>): Graph {
  const b = new GraphBuilder(region.ops, region.weights);
  const kept: Value[] = [];
  const inputs = region.params.map((p, i) => {
    const known = constants.get(i);
    if (known) return b.value("const", [], known.node.attrs, known.node.locs);
    const copy = b.value("param", [], p.node.attrs, p.node.locs);
    kept.push(copy);
    return copy;
  });
  return { ...region, params: kept, outputs: inlineGraph(b, region, inputs) };
}

/** Constants that regions capture move inside, so that weights are weights there too; a known condition leaves one branch. */
function foldRegions(n: Node, inputs: readonly Value[], b: GraphBuilder): readonly Value[] | undefined {
  if (n.op !== "if" && n.op !== "loop") return undefined;
  const cond = n.op === "if" ? b.constantOf(inputs[0]!) : undefined;
  if (cond) return inlineGraph(b, (cond.data[0] ? n.attrs.then : n.attrs.else) as Graph, inputs.slice(1));
  const first = captured(n);
  const isKnown = (v: Value, i: number) => i >= first && v.node.op === "const";
  if (!inputs.some(isKnown)) return undefined;
  // The parameters of a loop's body are the operands, with the iteration in place of the trip count; an `if` lacks its condition.
  const offset = n.op === "if" ? 1 : 0;
  const constants = new Map(inputs.flatMap((v, i) => (isKnown(v, i) ? [[i - offset, v] as const] : [])));
  const attrs = Object.fromEntries(Object.entries(n.attrs).map(([key, a]) => [key, isGraph(a) ? withConstants(a, constants) : a]));
  return b.add(
    n.op,
    inputs.filter((v, i) => !isKnown(v, i)),
    attrs,
    n.locs,
  ).results;
}

/** Core operators hold regions or bounds; what integers stand for waits until nobody wants the integers. */
const foldable = (g: Graph, n: Node, inputs: readonly Value[]): boolean => {
  const op = g.ops.get(n.op)!;
  return (
    inputs.length > 0 &&
    !("core" in op) &&
    n.op !== "dequantize" &&
    !op.effect &&
    inputs.every((v) => v.node.op === "const") &&
    n.results.every((r) => isStatic(r.type))
  );
};

function sweep(g: Graph): { readonly after: Graph; readonly inlined: boolean } {
  let folded = 0;
  let inlined = false;
  const out = rebuild(g, new GraphBuilder(g.ops, g.weights), (n, inputs, b) => {
    const taken = foldRegions(n, inputs, b);
    if (taken) {
      folded++;
      inlined = true;
      return taken;
    }
    if (!foldable(g, n, inputs)) return undefined;
    const made = b.add(n.op, inputs, n.attrs, n.locs);
    if (!affordable(made)) return made.results;
    const tensors = fold(g, made);
    if (!tensors) return made.results;
    folded++;
    return tensors.map((t) => b.constant(t, { loc: n.locs }));
  });
  return { after: folded === 0 ? g : out, inlined };
}

export const foldConstants = definePass({
  name: "fold-constants",
  doc: "Computes nodes whose operands are all constants, where the result is not much larger than they are.",
  exactness: "exact",
  invariant: "no node has constant operands only, save dequantize, and where its result would be too large or too dear to compute",
  run(g) {
    // A branch that takes the place of its `if` may hold more to fold.
    for (let before = g; ; ) {
      const { after, inlined } = sweep(before);
      if (!inlined) return after;
      before = after;
    }
  },
});
