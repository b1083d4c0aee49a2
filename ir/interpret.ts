// What a graph means: runs it on tensors, slowly and obviously. Constant folding and every test of a pass or a backend rest on it.

import { errors } from "./diagnostics.ts";
import { arrayOf, bytesOf } from "./dtype.ts";
import { type Graph, GraphBuilder, type Node, topological, type Value } from "./graph.ts";
import { interpret as interpretKernel } from "./kernel/interpret.ts";
import { type ComputeOp, elementOf, isCompose, isCompute, isKernel, type KernelOp } from "./op.ts";
import { compileElement } from "./scalar/interpret.ts";
import { elementCount, type Tensor, tensorOf, toNumbers, zeros } from "./tensor.ts";
import { type Dim, maxShape, type TensorType, tensor } from "./types.ts";

type Env = ReadonlyMap<Value, Tensor>;

const get = (env: Env, v: Value): Tensor => env.get(v)!;
const typeOf = (t: Tensor): TensorType => tensor(t.dtype, t.shape);

/** The true shape of a type: bounded extents read from the values that they hang on. */
function trueShape(t: TensorType, env: Env): number[] {
  return t.shape.map((d: Dim) => {
    if (typeof d === "number") return d;
    const n = Number(get(env, d.value).data[0]);
    if (n < 0 || n > d.max) throw errors.fault(`an extent is ${n}, outside 0..${d.max}`);
    return n;
  });
}

function runCompute(op: ComputeOp, n: Node, inputs: readonly Tensor[], env: Env): Tensor[] {
  // Types with true extents: the reference sees data-dependent shapes as what they turned out to be.
  const types = inputs.map(typeOf);
  const results = n.results.map((r) => tensor(r.type.dtype, trueShape(r.type, env)));
  return results.map((type, k) => {
    const out = zeros(type.dtype, maxShape(type));
    compileElement(elementOf(op, types, results, n.attrs, k), inputs, out)();
    return out;
  });
}

function runKernel(op: KernelOp, n: Node, inputs: readonly Tensor[], env: Env): Tensor[] {
  const results = n.results.map((r) => tensor(r.type.dtype, trueShape(r.type, env)));
  const meaning = op.kernel({ types: inputs.map(typeOf), results, attrs: n.attrs });
  const outputs = results.map((t) => zeros(t.dtype, maxShape(t)));
  const buffers = [...inputs, ...outputs].map((t) => ({ bytes: bytesOf(t.data) }));
  if (meaning.scratch > 0) buffers.push({ bytes: new Uint8Array(meaning.scratch) });
  const { fault } = interpretKernel(meaning, meaning.entry, buffers);
  if (fault >= 0) throw errors.fault(`${n.op}: ${meaning.faults[fault] ?? "fault"}`, n.locs[0]);
  return outputs;
}

function runLoop(n: Node, inputs: readonly Tensor[]): Tensor[] {
  const body = n.attrs.body as Graph;
  const states = n.attrs.state as number;
  const trips = Number(inputs[0]!.data[0]);
  let cond = inputs[1]!;
  let carried = inputs.slice(2, 2 + states);
  const captured = inputs.slice(2 + states);
  const scans = n.results.slice(1 + states).map((r) => zeros(r.type.dtype, maxShape(r.type)));
  let count = 0;
  for (; count < trips && cond.data[0]; count++) {
    const [next, ...rest] = interpret(body, [tensorOf("i64", [], [count]), cond, ...carried, ...captured]);
    cond = next!;
    carried = rest.slice(0, states);
    rest.slice(states).forEach((t, k) => {
      const scan = scans[k]!;
      if (count >= scan.shape[0]!) throw errors.fault(`loop: more than ${scan.shape[0]} iterations`, n.locs[0]);
      bytesOf(scan.data).set(bytesOf(t.data), count * t.data.byteLength);
    });
  }
  return [tensorOf("i64", [], [count]), ...carried, ...scans];
}

/** The extent that a `bound` is given. */
function countOf(n: Node, [x, count]: readonly Tensor[]): number {
  const extent = x!.shape[n.attrs.axis as number]!;
  const [k] = toNumbers(count!);
  if (k! < 0 || k! > extent) throw errors.fault(`bound: an extent is ${k}, outside 0..${extent}`, n.locs[0]);
  return k!;
}

/** The first `n` elements along `axis`. */
function truncate(x: Tensor, axis: number, n: number): Tensor {
  const shape = x.shape.map((d, i) => (i === axis ? n : d));
  const outer = elementCount(x.shape.slice(0, axis));
  const inner = elementCount(x.shape.slice(axis + 1));
  const data = arrayOf(x.dtype, elementCount(shape));
  for (let o = 0; o < outer; o++) {
    data.set(x.data.subarray(o * x.shape[axis]! * inner, (o * x.shape[axis]! + n) * inner) as never, o * n * inner);
  }
  return { dtype: x.dtype, shape, data };
}

/** The results of one node, all of whose operands (and values that its extents hang on) are in `env`. Errors as `interpret`. */
export function runNode(n: Node, g: Pick<Graph, "ops" | "weights">, env: ReadonlyMap<Value, Tensor>): readonly Tensor[] {
  const inputs = n.inputs.map((v) => get(env, v));
  switch (n.op) {
    case "const":
      return [g.weights.get(n.attrs.ref as string)];
    case "if":
      return interpret((inputs[0]!.data[0] ? n.attrs.then : n.attrs.else) as Graph, inputs.slice(1));
    case "loop":
      return runLoop(n, inputs);
    case "bound":
      return [truncate(inputs[0]!, n.attrs.axis as number, countOf(n, inputs))];
  }
  const op = g.ops.get(n.op)!;
  if (isCompute(op)) return runCompute(op, n, inputs, env);
  if (isKernel(op)) return runKernel(op, n, inputs, env);
  if (isCompose(op)) {
    const b = new GraphBuilder(g.ops, g.weights);
    const params = inputs.map((t, i) => b.param(`x${i}`, t.dtype, t.shape));
    const outputs = op.compose(b, params, n.attrs, n.locs[0]);
    return interpret({ ops: g.ops, name: n.op, params, outputs, weights: g.weights }, inputs);
  }
  throw errors.unknownOp(n.op, n.locs[0]);
}

/**
 * Runs a graph on one tensor per parameter, in order; gives one tensor per output, with true extents. `watch` sees every node's
 * results. Errors: `fault` where a kernel or an index faults.
 */
export function interpret(g: Graph, inputs: readonly Tensor[], watch?: (n: Node, results: readonly Tensor[]) => void): Tensor[] {
  const env = new Map<Value, Tensor>(g.params.map((p, i) => [p, inputs[i]!]));
  const order = topological(g.outputs);
  const last = new Map<Value, number>();
  order.forEach((n, at) => n.inputs.forEach((v) => last.set(v, at)));
  const kept = new Set<Value>([
    ...g.outputs,
    ...order.flatMap((n) => n.results.flatMap((r) => r.type.shape.flatMap((d) => (typeof d === "number" ? [] : [d.value])))),
  ]);
  order.forEach((n, at) => {
    if (n.op !== "param") {
      const results = runNode(n, g, env);
      n.results.forEach((r, i) => env.set(r, results[i]!));
      watch?.(n, results);
    }
    for (const v of n.inputs) if (last.get(v) === at && !kept.has(v)) env.delete(v);
  });
  return g.outputs.map((o) => get(env, o));
}
