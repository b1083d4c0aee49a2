// A tensor graph as an ONNX model: with the shapes that it was imported with, in the lowest version of the operators that can say it.

import { SparsecError } from "../../../ir/diagnostics.ts";
import { type Graph, GraphBuilder, type Node, topological, type Value } from "../../../ir/graph.ts";
import { isCompose } from "../../../ir/op.ts";
import { rebuild } from "../../../ir/rewrite.ts";
import { isStatic, maxShape } from "../../../ir/types.ts";
import { encodeModel, type NamedTensorInit, type NodeInit, type ValueInit } from "../proto/encode.ts";
import { LEAST_OPSET, writerOf } from "./operators.ts";

/** Versions of the file format that the versions of the operators came with. */
const irVersionOf = (opset: number): number => (opset >= 21 ? 10 : opset >= 19 ? 9 : opset >= 15 ? 8 : 7);

const unsupported = (n: Node, why: string): SparsecError =>
  new SparsecError("unsupported", `${why} has no form in ONNX that is written`, n.locs[0], "compile the model instead");

/** Operators that ONNX lacks, as what they are composed of, until it has all. */
function spelledOut(g: Graph): Graph {
  for (;;) {
    let changed = false;
    const next = rebuild(g, new GraphBuilder(g.ops, g.weights), (n, inputs, b) => {
      const op = g.ops.get(n.op);
      if (writerOf(n) || !op || !isCompose(op)) return undefined;
      changed = true;
      return op.compose(b, inputs, n.attrs, n.locs[0]);
    });
    if (!changed) return g;
    g = next;
  }
}

const labelOf = (n: Node): string => n.locs[0]?.name || n.op;
const nameOf = (v: Value): string => String(v.node.attrs["name"]);

/** Names that nothing else has. */
function naming(taken: Iterable<string>): (wish: string) => string {
  const used = new Set(taken);
  return (wish) => {
    let name = wish;
    for (let k = 1; used.has(name); k++) name = `${wish}_${k}`;
    used.add(name);
    return name;
  };
}

/** Bytes of an ONNX file. `outputs` are the names of the graph's results. Errors: `unsupported`. */
export function writeOnnx(graph: Graph, outputs: readonly string[]): Uint8Array {
  const g = spelledOut(graph);
  const nodes = topological(g.outputs).filter((n) => n.op !== "param" && n.op !== "const");
  let opset = LEAST_OPSET;
  for (const n of nodes) {
    const writer = writerOf(n);
    if (!writer || !n.results.every((r) => isStatic(r.type))) throw unsupported(n, n.op);
    opset = Math.max(opset, writer.since(n));
  }
  const fresh = naming([...g.params.map(nameOf), ...outputs]);
  const names = new Map<Value, string>(g.params.map((p) => [p, nameOf(p)]));
  const written: NodeInit[] = [];
  const initializers: NamedTensorInit[] = [];
  const constants = new Map<string, string>();
  const constant = (t: Omit<NamedTensorInit, "name">, wish: string, key: string): string => {
    const known = constants.get(key);
    if (known !== undefined) return known;
    const name = fresh(wish);
    constants.set(key, name);
    initializers.push({ ...t, name });
    return name;
  };
  const nameFor = (v: Value): string => {
    const known = names.get(v);
    if (known !== undefined) return known;
    const ref = v.node.attrs["ref"] as string;
    return constant(g.weights.get(ref), v.node.locs[0]?.name || "constant", ref);
  };
  const produced = new Map<Value, string>();
  g.outputs.forEach((v, k) => {
    if (v.node.op !== "param" && v.node.op !== "const" && !produced.has(v)) produced.set(v, outputs[k]!);
  });
  // What a node of the model was made of comes before what gives its value, which keeps the name.
  const heirs = new Map(nodes.filter((n) => n.op !== "quantize" && n.op !== "dequantize").map((n) => [labelOf(n), n]));
  for (const n of nodes) {
    const own: NodeInit[] = [];
    const label = labelOf(n);
    writerOf(n)!.write({
      node: n,
      inputs: n.inputs.map(nameFor),
      opset,
      add(op, inputs, attributes = {}) {
        const result = fresh(`${label}_${op}`);
        own.push({ op, name: result, inputs, outputs: [result], attributes });
        return result;
      },
      constant: (t) => constant(t, `${label}_constant`, g.weights.put(t)),
      unsupported: (why) => {
        throw unsupported(n, why);
      },
    });
    const [result] = n.results;
    const last = own.pop()!;
    const title = heirs.get(label) === n ? fresh(label) : last.outputs[0]!;
    const name = produced.get(result!) ?? title;
    names.set(result!, name);
    written.push(...own, { ...last, name: title, outputs: [name] });
  }
  // Outputs that are inputs or constants, or that come twice.
  g.outputs.forEach((v, k) => {
    if (produced.get(v) !== outputs[k]) written.push({ op: "Identity", inputs: [nameFor(v)], outputs: [outputs[k]!] });
  });
  const port = (name: string, v: Value): ValueInit => ({ name, dtype: v.type.dtype, shape: maxShape(v.type) });
  return encodeModel({
    name: g.name,
    opset,
    irVersion: irVersionOf(opset),
    inputs: g.params.map((p) => port(nameOf(p), p)),
    outputs: g.outputs.map((v, k) => port(outputs[k]!, v)),
    nodes: written,
    initializers,
  });
}
