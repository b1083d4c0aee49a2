// The quantized weights that a model came with: what type they have, and what shares a scale. What they were rounded from is not known.

import { DTYPES } from "../../ir/dtype.ts";
import { type Graph, isGraph, type Node, topological, type Value } from "../../ir/graph.ts";
import { elementCount } from "../../ir/tensor.ts";
import { isStatic } from "../../ir/types.ts";
import { usersOf } from "./layers.ts";
import type { LayerReport, QuantizationReport } from "./report.ts";

type Users = ReturnType<typeof usersOf>;

/** What neither computes nor tells where a value is used. */
const VIEWS: ReadonlySet<string> = new Set(["reshape", "transpose", "cast"]);

const isSingle = (v: Value): boolean => isStatic(v.type) && elementCount(v.type.shape as readonly number[]) === 1;
const isWeights = (v: Value): boolean =>
  v.node.op === "const" && DTYPES[v.type.dtype].kind !== "float" && DTYPES[v.type.dtype].bits <= 8 && v.type.shape.length > 1;

const behindViews = (v: Value): Value => (VIEWS.has(v.node.op) ? behindViews(v.node.inputs[0]!) : v);

/** The first node that computes with a value. */
function userOf(v: Value, users: Users): Node | undefined {
  const [user] = users.get(v) ?? [];
  return user && VIEWS.has(user[0].op) ? userOf(user[0].results[0]!, users) : user?.[0];
}

/** What sums of integers are multiplied by, where that comes after them. */
function scaleAfter(n: Node, users: Users): Value | undefined {
  const user = userOf(n.results[0]!, users);
  if (user?.op === "add") return scaleAfter(user, users);
  return user?.op === "mul" ? user.inputs.find((v) => v.type.dtype === "f32" && v.node.op !== "cast") : undefined;
}

/** Whether zero is the middle of the levels. */
function isSymmetric(graph: Graph, integers: Value, zero: Value | undefined): boolean {
  const { kind, bits } = DTYPES[integers.type.dtype];
  const middle = kind === "uint" ? 2 ** (bits - 1) : 0;
  if (!zero) return middle === 0;
  return zero.node.op === "const" && graph.weights.get(zero.node.attrs["ref"] as string).data.every((z) => Number(z) === middle);
}

/** Weights as a dequantization, or integers less their zero point, shows them. */
function weightsOf(graph: Graph, n: Node, users: Users): (LayerReport & { readonly bytes: number }) | undefined {
  const dequantized = n.op === "dequantize" && isWeights(n.inputs[0]!);
  const centred = n.op === "cast" && n.results[0]!.type.dtype === "i32" && isWeights(n.inputs[0]!);
  if (!dequantized && !centred) return undefined;
  const integers = n.inputs[0]!;
  const difference = centred ? users.get(n.results[0]!)?.find(([u, k]) => u.op === "sub" && k === 0)?.[0] : undefined;
  const user = userOf((difference ?? n).results[0]!, users);
  if (!user) return undefined;
  const given = dequantized ? n.inputs[2] : difference?.inputs[1];
  const zero = given && behindViews(given);
  const scale = dequantized ? n.inputs[1]! : scaleAfter(user, users);
  const shape = integers.type.shape as readonly number[];
  const block = dequantized ? (n.attrs["block"] as number) : 0;
  const parts = [scale, zero].flatMap((v) => (v && isStatic(v.type) ? [v.type] : []));
  return {
    node: user.locs[0]?.name ?? user.op,
    op: user.op,
    shape,
    dtype: integers.type.dtype,
    block: block > 0 ? String(block) : [scale, zero].every((v) => !v || isSingle(v)) ? "tensor" : "channel",
    symmetric: isSymmetric(graph, integers, zero),
    bytes: [integers.type, ...parts].reduce((sum, t) => sum + (elementCount(t.shape as readonly number[]) * DTYPES[t.dtype].bits) / 8, 0),
  };
}

/** Quantized weights of a graph and its regions, and how many activations are rounded; undefined where there are neither. */
export function foundQuantization(graph: Graph): QuantizationReport | undefined {
  const layers: LayerReport[] = [];
  let [bytes, elements, activations] = [0, 0, 0];
  const visit = (g: Graph): void => {
    const users = usersOf(g);
    for (const n of topological(g.outputs)) {
      for (const a of Object.values(n.attrs)) if (isGraph(a)) visit(a);
      if (n.op === "quantize" && n.inputs[0]!.node.op !== "const") activations++;
      const found = weightsOf(g, n, users);
      if (!found) continue;
      const { bytes: own, ...layer } = found;
      layers.push(layer);
      bytes += own;
      elements += elementCount(layer.shape);
    }
  };
  visit(graph);
  if (layers.length === 0 && activations === 0) return undefined;
  return { layers, activations, size: elements === 0 ? 1 : bytes / (4 * elements) };
}
