// Products of bytes by constant small integers: what they want of the layout, and the templates that take them.

import type { DType } from "../../ir/dtype.ts";
import type { Node, Value } from "../../ir/graph.ts";
import { blockOf } from "../../ir/layouts/index.ts";
import type { OpSet } from "../../ir/op.ts";
import type { Tensor } from "../../ir/tensor.ts";
import type { TensorType } from "../../ir/types.ts";
import type { Capabilities } from "../backend.ts";
import { anchorOf, bound, constantOperand, hostLayout, outer } from "./anchor.ts";
import { epilogueOf } from "./epilogue.ts";
import { type GenericContext, kernelName } from "./generic/kernel.ts";
import type { Margin } from "./storage.ts";
import type { Lowered } from "./template.ts";
import { type BytesSpec, bytesDense } from "./templates/bytes-dense.ts";
import { bytesDepthwise } from "./templates/bytes-depthwise.ts";
import { bytesSparse } from "./templates/bytes-sparse.ts";
import { LANES } from "./templates/bytes-tiling.ts";
import { groupOf, listedProduct } from "./templates/listed-product.ts";
import { type Unit, unitOf } from "./unit.ts";

/** Rows with fewer of which kernels that take four at a time are idle for the most part. */
export const isFew = (rows: number): boolean => rows < LANES;

const TYPES: ReadonlySet<DType> = new Set(["u8", "i8", "i16", "i32", "f32"]);
const fitting = (t: TensorType): boolean => TYPES.has(t.dtype);
const shapeOf = (v: Value): readonly number[] => v.type.shape as readonly number[];

/** A convolution of images or a product of matrices, of bytes by constant i8 (or i16), that the unit ends in elementwise operators. */
export function byteProduct(u: Unit, ops: OpSet): Node | undefined {
  const node = anchorOf(u, "conv", ops, fitting) ?? anchorOf(u, "matmul", ops, fitting);
  if (!node || node.results[0]!.type.dtype !== "i32") return undefined;
  const [x, w] = node.inputs as [Value, Value];
  const constant = node.inputs.slice(1).every((v) => outer(u, v).node.op === "const");
  const rank = node.op === "conv" ? 4 : 2;
  const narrow = x.type.dtype === "u8" && (w.type.dtype === "i8" || w.type.dtype === "i16");
  return constant && narrow && shapeOf(x).length === rank ? node : undefined;
}

/** Byte by which a convolution's input is surrounded. */
export const fillOf = (conv: Node): number => (conv.attrs["fill"] as number | undefined) ?? 0;

/** Elements of the input that windows reach beyond its edges, the larger of both sides. */
export function marginOfWindows(conv: Node): Margin {
  const [x, w, y] = [conv.inputs[0]!, conv.inputs[1]!, conv.results[0]!].map((v) => shapeOf(v).slice(2)) as [number[], number[], number[]];
  const [strides, dilations, pads] = ["strides", "dilations", "pads"].map((name) => conv.attrs[name] as readonly number[]) as [
    readonly number[],
    readonly number[],
    readonly number[],
  ];
  const reach = (axis: number): number =>
    Math.max(0, pads[axis]!, (y[axis]! - 1) * strides[axis]! + (w[axis]! - 1) * dilations[axis]! + 1 - pads[axis]! - x[axis]!);
  return { rows: reach(0), columns: reach(1) };
}

/** The activation that a node's product of bytes reads, as an operand of the node. */
export function bytesWanted(node: Node, ops: OpSet): { readonly product: Node; readonly input: Value } | undefined {
  if (node.op !== "conv" && node.op !== "matmul" && node.op !== "fused") return undefined;
  const u = unitOf(node);
  const product = byteProduct(u, ops);
  return product && { product, input: outer(u, product.inputs[0]!) };
}

/** [K, M] as [M, K]. */
export function transposed(t: Tensor): Int16Array {
  const [k, m] = t.shape as [number, number];
  return Int16Array.from({ length: m * k }, (_, i) => Number(t.data[(i % k) * m + Math.floor(i / k)]));
}

/** The largest magnitude that sums of bytes by these weights, [M, ..], can have. */
export function largestSum(weights: Int16Array, outputs: number, bias: Int32Array | undefined): number {
  const depth = weights.length / outputs;
  let most = 0;
  for (let m = 0; m < outputs; m++) {
    let sum = 0;
    for (let k = m * depth; k < (m + 1) * depth; k++) sum += Math.abs(weights[k]!);
    most = Math.max(most, 255 * sum + Math.abs(bias?.[m] ?? 0));
  }
  return most;
}

/** The sums of a product, its first summands, and where there is nothing else, what is added to a product of matrices. */
function sumsOf(u: Unit, node: Node, c: GenericContext): { readonly sums: Value; readonly bias: Int32Array | undefined } {
  const sums = node.results[0]!;
  const own = constantOperand(u, node.inputs[2], c);
  const readers = u.nodes.filter((n) => n.inputs.includes(sums));
  const [reader] = readers;
  const added = reader?.op === "add" && reader.inputs[0] === sums ? constantOperand(u, reader.inputs[1], c) : undefined;
  const each = added?.shape.length === 1 && added.shape[0] === shapeOf(sums).at(-1);
  if (node.op === "conv" || readers.length !== 1 || !added || !each) return { sums, bias: own?.data as Int32Array | undefined };
  return { sums: reader!.results[0]!, bias: added.data as Int32Array };
}

/** The most rows that lists of all words are faster for, since other kernels take four at a time, and the fewest weights: those widen them. */
const BY_ALL = { rows: 2, weights: 2 ** 17 };

/** A product of few rows, by lists of words. */
function bytesListed({ name, input, output, weights, block, bias, epilogue, target }: BytesSpec): Lowered | undefined {
  if (
    input.shape.length !== 2 ||
    input.dtype !== "u8" ||
    !(block ? isFew(input.shape[0]!) : input.shape[0]! <= BY_ALL.rows && weights.length >= BY_ALL.weights) ||
    weights.some((w) => w < -128 || w > 127)
  )
    return undefined;
  return listedProduct({
    name,
    x: input,
    output,
    weights: Int8Array.from(weights),
    ...(bias ? { bias } : {}),
    limit: 255,
    ...(block ? { group: groupOf(block) } : {}),
    epilogue,
    target,
  });
}

export function lowerBytes(u: Unit, c: GenericContext, can: Capabilities): Lowered | undefined {
  // Without vectors, a loop nest of plain integers is as good.
  const node = c.vectors ? byteProduct(u, c.ops) : undefined;
  if (!node) return undefined;
  const [x, w] = node.inputs;
  const weights = constantOperand(u, w, c)!;
  const { sums, bias: start } = sumsOf(u, node, c);
  const input = outer(u, x!);
  const conv = node.op === "conv";
  const pair = (name: string): readonly [number, number] => (conv ? (node.attrs[name] as [number, number]) : [1, 1]);
  const rows = conv ? Int16Array.from(weights.data as ArrayLike<number>) : transposed(weights);
  const outputs = conv ? weights.shape[0]! : weights.shape[1]!;
  const layout = hostLayout(outer(u, w!));
  const spec: BytesSpec = {
    name: kernelName(u),
    input: c.storageOf(input),
    output: c.storageOf(u.node.results[0]!),
    weights: rows,
    kernel: conv ? (weights.shape.slice(2) as unknown as readonly [number, number]) : [1, 1],
    strides: pair("strides"),
    dilations: pair("dilations"),
    pads: conv ? ((node.attrs["pads"] as readonly number[]).slice(0, 2) as unknown as readonly [number, number]) : [0, 0],
    margin: conv ? marginOfWindows(node) : { rows: 0, columns: 0 },
    fill: conv ? fillOf(node) : 0,
    groups: conv ? (node.attrs["group"] as number) : 1,
    ...(layout ? { block: blockOf(layout, conv ? "first" : "last") } : {}),
    ...(start ? { bias: start } : {}),
    saturates: u.roots[0]!.node.op === "quantize",
    epilogue: epilogueOf(u, sums, c, largestSum(rows, outputs, start)),
    target: can,
  };
  const sparse = bytesListed(spec) ?? bytesSparse(spec);
  const format = layout ? { format: layout } : {};
  const lowered = (sparse && { ...sparse, ...format }) ?? bytesDepthwise(spec) ?? bytesDense(spec);
  return bound(u, lowered, [input], spec.epilogue);
}
