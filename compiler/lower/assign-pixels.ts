// Which images lie pixel by pixel, channels side by side: those that convolutions of bytes read and write, and what lies between them.

import { DTYPES } from "../../ir/dtype.ts";
import { type Graph, type Node, topological, type Value } from "../../ir/graph.ts";
import { isCompute, type OpSet } from "../../ir/op.ts";
import { isStatic, sameShape } from "../../ir/types.ts";
import { bytesWanted, fillOf, marginOfWindows } from "./match-bytes.ts";
import { holdsPixels, type Margin, pixels, type Storage, tokens } from "./storage.ts";

const isImage = (v: Value): boolean => v.type.shape.length === 4 && isStatic(v.type);

/** Operators that compute channels independently of each other, from the same place or a window around it, or put them side by side. */
const FOLLOWS: ReadonlySet<string> = new Set(["pool", "reduce", "concat"]);

function follows(g: Graph, n: Node): boolean {
  if (n.op === "fused" || FOLLOWS.has(n.op)) return true;
  const op = g.ops.get(n.op)!;
  return isCompute(op) && op.elementwise !== undefined && op.elementwise !== false;
}

const NONE: Margin = { rows: 0, columns: 0 };

/** Storages of the values that had better lie so; `bare`: without the padding that windows reach into. */
export function assignPixels(g: Graph, bare = false): ReadonlyMap<Value, Storage> {
  const margins = new Map<Value, { readonly margin: Margin; readonly fill: number }>();
  const storages = new Map<Value, Storage>();
  const order = topological(g.outputs);
  const inPixels = new Set<Value>();
  for (const node of order) {
    const want = bytesWanted(node, g.ops);
    if (!want) {
      const images = node.inputs.filter((v) => isImage(v) && v.node.op !== "const");
      const result = node.results[0]!;
      if (node.results.length === 1 && isImage(result) && images.some((v) => inPixels.has(v)) && follows(g, node)) inPixels.add(result);
      continue;
    }
    const { product, input } = want;
    if (product.op === "matmul") {
      if ((input.type.shape.at(-1) as number) % 4 !== 0) storages.set(input, tokens(input.type));
      continue;
    }
    const [margin, fill] = [bare ? NONE : marginOfWindows(product), fillOf(product)];
    const padded = margin.rows > 0 || margin.columns > 0;
    const own = margins.get(input);
    // Paddings of several values cannot be shared: the second reader takes a copy.
    if (!own || !padded || own.fill === fill || (own.margin.rows === 0 && own.margin.columns === 0)) {
      const rows = Math.max(own?.margin.rows ?? 0, margin.rows);
      const columns = Math.max(own?.margin.columns ?? 0, margin.columns);
      margins.set(input, { margin: { rows, columns }, fill: padded ? fill : (own?.fill ?? 0) });
    }
    inPixels.add(input);
    for (const r of node.results) if (isImage(r)) inPixels.add(r);
  }
  for (const v of inPixels) {
    const { margin, fill } = margins.get(v) ?? { margin: NONE, fill: 0 };
    storages.set(v, pixels(v.type, margin, fill));
  }
  return storages;
}

/** The storage to which a product of bytes has its operand moved, where the one that it lies in will not do. */
export function bytesReading(node: Node, v: Value, own: Storage, ops: OpSet, bare: boolean): Storage | undefined {
  const want = bytesWanted(node, ops);
  if (!want) return undefined;
  // What the epilogue reads of each channel, it reads of four neighbours at once.
  const beside = isImage(v) && v.node.op !== "const" && sameShape(v.type.shape, node.results[0]!.type.shape);
  if (want.input !== v) return beside && own.strides[1] !== DTYPES[own.dtype].bytes ? pixels(v.type, NONE) : undefined;
  const { product } = want;
  if (product.op === "matmul")
    return own.strides[1] === 1 && own.strides[0]! % 4 === 0 && own.offset % 4 === 0 ? undefined : tokens(v.type);
  const [margin, fill] = [bare ? NONE : marginOfWindows(product), fillOf(product)];
  return holdsPixels(own, margin, fill) ? undefined : pixels(v.type, margin, fill);
}
