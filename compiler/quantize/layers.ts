// What has weights to quantize: products of an activation and a constant, and tables whose rows are looked up.

import { type Graph, type Node, topological, useCounts, type Value } from "../../ir/graph.ts";
import type { Tensor } from "../../ir/tensor.ts";
import { isStatic, rank } from "../../ir/types.ts";

/**
 * Weights as a matrix, a row for each output channel: column k = o * inner + i of row r is element (o * rows + r) * inner + i.
 * Columns are what a product sums over, or a table's row.
 */
export interface MatrixOf {
  readonly rows: number;
  readonly outer: number;
  readonly inner: number;
}

export interface Layer {
  readonly node: Node;
  /** As the model calls it. */
  readonly name: string;
  readonly kind: "product" | "table";
  /** Which operand is the weights, and which the activation. */
  readonly weights: number;
  readonly data: number;
  readonly matrix: MatrixOf;
  /** The axis of the weights that runs over rows of the matrix. */
  readonly axis: number;
  /** The result, with what is added to every channel of it. */
  readonly out: Value;
  /** The axis of `out` that runs over rows of the matrix. */
  readonly channel: number;
  /** What is added to every channel: an operand of a convolution, or of an addition after a matrix product. */
  readonly bias: { readonly node: Node; readonly operand: number } | undefined;
  /** Channels that see few weights each, and the first and last products: what 4 bits are too few for. */
  readonly delicate: boolean;
}

const product = (dims: readonly number[]): number => dims.reduce((a, d) => a * d, 1);

function matrixOf(shape: readonly number[], axis: number): MatrixOf {
  return { rows: shape[axis]!, outer: product(shape.slice(0, axis)), inner: product(shape.slice(axis + 1)) };
}

/** The elements of weights, row after row. */
export function rowsOf(t: Tensor, { rows, outer, inner }: MatrixOf): Float64Array {
  const out = new Float64Array(t.data.length);
  for (let r = 0, at = 0; r < rows; r++)
    for (let o = 0; o < outer; o++) for (let i = 0; i < inner; i++) out[at++] = Number(t.data[(o * rows + r) * inner + i]);
  return out;
}

/** Where the elements of rows lie in the weights: the inverse of `rowsOf`. */
export function scatterRows<T extends Int8Array | Uint8Array | Float32Array>(from: T, to: T, { rows, outer, inner }: MatrixOf): T {
  for (let r = 0, at = 0; r < rows; r++)
    for (let o = 0; o < outer; o++) for (let i = 0; i < inner; i++) to[(o * rows + r) * inner + i] = from[at++]!;
  return to;
}

interface Operands {
  readonly kind: Layer["kind"];
  readonly weights: number;
  readonly data: number;
  readonly axis: number;
  readonly channel: number;
}

/** How a node uses a constant of floats as weights, if it does. */
function operandsOf(n: Node): Operands | undefined {
  const weights = (k: number): readonly number[] | undefined => {
    const v = n.inputs[k];
    return v?.node.op === "const" && v.type.dtype === "f32" && rank(v.type) >= 2 ? (v.type.shape as readonly number[]) : undefined;
  };
  if (!n.results.every((r) => r.type.dtype === "f32" && isStatic(r.type))) return undefined;
  if (n.op === "conv") return weights(1) && { kind: "product", weights: 1, data: 0, axis: 0, channel: 1 };
  if (n.op === "conv_transpose" && n.attrs.group === 1) return weights(1) && { kind: "product", weights: 1, data: 0, axis: 1, channel: 1 };
  if (n.op === "gather" && n.attrs.axis === 0)
    return weights(0)?.length === 2 ? { kind: "table", weights: 0, data: 1, axis: 0, channel: -1 } : undefined;
  if (n.op !== "matmul") return undefined;
  const out = rank(n.results[0]!.type);
  if (weights(1)?.length === 2 && rank(n.inputs[0]!.type) >= 2 && n.inputs[0]!.node.op !== "const")
    return { kind: "product", weights: 1, data: 0, axis: 1, channel: out - 1 };
  if (weights(0)?.length === 2 && rank(n.inputs[1]!.type) >= 2 && n.inputs[1]!.node.op !== "const")
    return { kind: "product", weights: 0, data: 1, axis: 0, channel: out - 2 };
  return undefined;
}

/** Users of each value, one entry for each use. */
export function usersOf(graph: Graph): ReadonlyMap<Value, readonly (readonly [node: Node, operand: number])[]> {
  const users = new Map<Value, (readonly [Node, number])[]>();
  for (const n of topological(graph.outputs))
    n.inputs.forEach((v, k) => {
      const all = users.get(v);
      if (all) all.push([n, k]);
      else users.set(v, [[n, k]]);
    });
  return users;
}

/** The addition of a constant for each channel that alone uses a product. */
function biasAfter(v: Value, channel: number, users: ReturnType<typeof usersOf>, uses: ReadonlyMap<Value, number>): Node | undefined {
  const [user] = users.get(v) ?? [];
  if (uses.get(v) !== 1 || user?.[0].op !== "add" || user[1] !== 0) return undefined;
  const added = user[0].inputs[1]!;
  if (added.node.op !== "const") return undefined;
  const shape = v.type.shape as readonly number[];
  const own = added.type.shape as readonly number[];
  const first = shape.length - own.length;
  const fits = own.length <= shape.length && own.every((d, k) => d === (k + first === channel ? shape[channel] : 1));
  return fits && product(own) === shape[channel] ? user[0] : undefined;
}

/** The layers of a graph, in order. Regions are left alone. */
export function layersOf(graph: Graph): readonly Layer[] {
  const users = usersOf(graph);
  const uses = useCounts(graph.outputs);
  const order = topological(graph.outputs);
  const found = order.flatMap((node): Layer[] => {
    const how = operandsOf(node);
    if (!how) return [];
    const shape = node.inputs[how.weights]!.type.shape as readonly number[];
    const result = node.results[0]!;
    const after = node.op === "matmul" ? biasAfter(result, how.channel, users, uses) : undefined;
    const operand = node.op !== "matmul" && how.kind === "product" && node.inputs.length > 2 ? 2 : undefined;
    // A bias that is computed is none of ours.
    if (operand !== undefined && node.inputs[operand]!.node.op !== "const") return [];
    const matrix = matrixOf(shape, how.axis);
    return [
      {
        node,
        name: node.locs[0]?.name ?? node.op,
        ...how,
        matrix,
        out: after ? after.results[0]! : result,
        bias: after ? { node: after, operand: 1 } : operand === undefined ? undefined : { node, operand },
        delicate: node.op === "conv_transpose" || (node.op === "conv" && node.attrs.group !== 1),
      },
    ];
  });
  return withEnds(order, found);
}

/** Marks the products that no weights come before, or none after. */
function withEnds(order: readonly Node[], layers: readonly Layer[]): readonly Layer[] {
  const own = new Set(layers.map((l) => l.node));
  const products = new Set(layers.filter((l) => l.kind === "product").map((l) => l.node));
  const after = new Set<Node>();
  for (const n of order) if (n.inputs.some((v) => own.has(v.node) || after.has(v.node))) after.add(n);
  const before = new Set<Node>();
  for (const n of [...order].reverse()) if (products.has(n) || before.has(n)) for (const v of n.inputs) before.add(v.node);
  return layers.map((l) => {
    const end = l.kind === "product" && (!after.has(l.node) || !before.has(l.node));
    return end ? { ...l, delicate: true } : l;
  });
}
