// ONNX's control flow: If and Loop, folded where their conditions are known, regions that run where they are not.

import { type Graph, GraphBuilder, type Value } from "../../../ir/graph.ts";
import { tensorOf, zeros } from "../../../ir/tensor.ts";
import { isStatic, maxShape, sameType, type TensorType, tensor, typeToString } from "../../../ir/types.ts";
import { defineOnnxOp, type ImportContext, type OnnxOp, type Region } from "../op.ts";
import type { OnnxGraph } from "../proto/model.ts";
import { toScalar } from "../widen.ts";

/** Most iterations that are unrolled, and most nodes that come of it. */
const UNROLLED = 64;
const UNROLLED_NODES = 4096;
const FOREVER = 2n ** 63n - 1n;

/** The same regions with one list of captures for both. */
function withCaptures(c: ImportContext, region: Region, all: readonly Value[]): Graph {
  const b = new GraphBuilder(c.b.ops, c.b.weights);
  const params = all.map((outer, k) => {
    const own = region.captures.indexOf(outer);
    // A name that no parameter of an ONNX model's region has.
    return own >= 0 ? region.graph.params[own]! : b.param(`unused ${k}`, outer.type.dtype, maxShape(outer.type));
  });
  return { ...region.graph, params };
}

const if_ = defineOnnxOp({
  name: "If",
  import(c) {
    const cond = toScalar(c, c.input(0));
    const known = c.constantOf(cond);
    if (known) return c.inline(known.data[0] ? "then_branch" : "else_branch", []);
    const [yes, no] = [c.region("then_branch", []), c.region("else_branch", [])];
    const [a, b] = [yes.graph.outputs, no.graph.outputs];
    if (a.length !== b.length) c.bad(`its branches have ${a.length} and ${b.length} outputs`);
    const differing = a.findIndex((o, k) => !isStatic(o.type) || !sameType(o.type, b[k]!.type));
    if (differing >= 0) {
      const what = `output ${differing} is ${typeToString(a[differing]!.type)} in one branch and ${typeToString(b[differing]!.type)} in the other`;
      c.needs(cond, `${what}, and the condition hangs on data`);
      return c.inline("then_branch", []);
    }
    const captures = [...new Set([...yes.captures, ...no.captures])];
    return c.b.add("if", [cond, ...captures], { then: withCaptures(c, yes, captures), else: withCaptures(c, no, captures) }, c.loc).results;
  },
});

interface LoopParts {
  readonly trips: Value;
  readonly cond: Value;
  readonly states: readonly Value[];
  /** How many values each iteration appends. */
  readonly scans: number;
  readonly body: OnnxGraph;
}

/** One value of each iteration, stacked along a new first axis. */
function stack(c: ImportContext, values: readonly Value[], element: () => TensorType): Value {
  if (values.length === 0) {
    const t = element();
    return c.constant(zeros(t.dtype, [0, ...maxShape(t)]));
  }
  const rows = values.map((v) => c.add("reshape", [v], { shape: [1, ...maxShape(v.type)] }));
  if (values.some((v) => !sameType(v.type, values[0]!.type)))
    return c.bad("its scanned values differ in type from one iteration to the next");
  return rows.length === 1 ? rows[0]! : c.add("concat", rows, { axis: 0 });
}

const nodesIn = (g: OnnxGraph): number =>
  g.nodes.reduce(
    (n, node) => n + 1 + [...node.attributes.values()].reduce((m, a) => m + (a.kind === "graph" ? nodesIn(a.value) : 0), 0),
    0,
  );

/** The iterations one after another, or undefined where there are too many, or one's condition is not known. */
function unrolled(c: ImportContext, { trips, cond, states, scans, body }: LoopParts): readonly Value[] | undefined {
  const most = Math.min(UNROLLED, UNROLLED_NODES / nodesIn(body));
  const count = c.constantOf(trips)?.data[0];
  const first = c.constantOf(cond);
  if (count === undefined || !first) return undefined;
  let carried = states;
  let again = first.data[0];
  const rows: Value[][] = Array.from({ length: scans }, () => []);
  const run = (i: number): readonly Value[] => c.inline("body", [c.scalar("i64", i), c.scalar("bool", 1), ...carried]);
  const elements = (): readonly TensorType[] =>
    run(0)
      .slice(1 + states.length)
      .map((v) => v.type);
  for (let i = 0; again && BigInt(i) < BigInt(count); i++) {
    if (i >= most) return undefined;
    const [next, ...rest] = run(i);
    const known = c.constantOf(next && toScalar(c, next));
    if (!known) return undefined;
    again = known.data[0];
    carried = rest.slice(0, states.length);
    rest.slice(states.length).forEach((v, k) => {
      rows[k]!.push(v);
    });
  }
  return [...carried, ...rows.map((values, k) => stack(c, values, () => elements()[k]!))];
}

/** A loop that runs. */
function running(c: ImportContext, { trips, cond, states, scans }: LoopParts): readonly Value[] {
  const { graph, captures } = c.region("body", [tensor("i64", []), tensor("bool", []), ...states.map((s) => s.type)]);
  const [again, ...rest] = graph.outputs;
  const moved = states.findIndex((s, k) => !sameType(s.type, rest[k]!.type));
  if (moved >= 0)
    c.unsupported(`carried value ${moved} enters as ${typeToString(states[moved]!.type)} and leaves as ${typeToString(rest[moved]!.type)}`);
  const most = c.constantOf(trips)?.data[0];
  if (scans > 0 && (most === undefined || most === FOREVER)) {
    c.needs(trips, "the number of iterations decides a shape, and nothing bounds it");
    return [...states, ...rest.slice(states.length).map((v) => c.add("reshape", [v], { shape: [1, ...maxShape(v.type)] }))];
  }
  if (scans > 0 && Number(most) > 2 ** 31 - 1) c.unsupported(`${most} iterations`);
  const max = scans > 0 ? Math.max(0, Number(most)) : 0;
  const { results } = c.b.add("loop", [trips, cond, ...states, ...captures], { body: graph, state: states.length, max }, c.loc);
  const [count, ...values] = results;
  // Every iteration runs where the condition is true throughout.
  const whole = c.constantOf(cond)?.data[0] === 1 && (again === graph.params[1] || c.constantOf(again)?.data[0] === 1);
  return values.map((v, k) => (k < states.length || whole ? v : c.add("bound", [v, count!], { axis: 0 })));
}

const loop = defineOnnxOp({
  name: "Loop",
  import(c) {
    const [, , ...carried] = c.inputs;
    const states = carried.map((_, k) => c.input(k + 2));
    const trips = c.inputs[0] ? toScalar(c, c.inputs[0]) : c.constant(tensorOf("i64", [], [FOREVER]));
    const cond = c.inputs[1] ? toScalar(c, c.inputs[1]) : c.scalar("bool", 1);
    const body = c.attribute("body");
    if (body?.kind !== "graph") return c.bad("attribute 'body' must be a graph");
    const scans = body.value.outputs.length - 1 - states.length;
    if (scans < 0 || body.value.inputs.length !== states.length + 2)
      c.bad(`its body has ${body.value.inputs.length} inputs and ${body.value.outputs.length} outputs for ${states.length} carried values`);
    const parts = { trips, cond, states, scans, body: body.value };
    return unrolled(c, parts) ?? running(c, parts);
  },
});

export const controlTable: readonly OnnxOp[] = [if_, loop];
