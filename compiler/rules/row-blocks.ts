// Activations rounded to signed integers, each row or run of a row by its own largest value: found anew in every run, and known to be bounded.

import { DTYPES } from "../../ir/dtype.ts";
import type { GraphBuilder, Node, Value } from "../../ir/graph.ts";
import { elementCount } from "../../ir/tensor.ts";
import { sameShape } from "../../ir/types.ts";
import { splatOf } from "./constants.ts";

/** Neighbours in a row that share a scale. */
export const ROW_BLOCK = 32;

/** Largest magnitudes of activations that meet weights of 8 bits and of 4: so that two of their products fit in 16 bits together. */
export const ROW_LIMITS = { 8: 63, 4: 127 } as const;

/** How rows are rounded: so many neighbours share a scale, up to which magnitude. */
export interface RowRounding {
  readonly block: number;
  /** Up to 127, bytes; more, words of 32 bits. */
  readonly limit: number;
}

/** Least scale: a block of zeros is divided by something. */
const LEAST = 2 ** -100;

/**
 * x f32 [..., K], K a multiple of the block, as it is once rounded to integers from -limit to limit: `dequantize(quantize(x))`, whose scales
 * are largest magnitudes over `limit`.
 */
export function roundedRows(b: GraphBuilder, x: Value, { block, limit }: RowRounding): Value {
  const { locs } = x.node;
  const op = (name: string, inputs: readonly Value[], attrs = {}): Value => b.value(name, inputs, attrs, locs);
  const lit = (value: number): Value => b.constant({ dtype: "f32", shape: [], data: Float32Array.of(value) });
  const shape = x.type.shape as readonly number[];
  const blocks = op("reshape", [x], { shape: [elementCount(shape) / block, block] });
  const largest = op("reduce", [op("abs", [blocks])], { op: "max", axes: [1], keepdims: false });
  const scale = op("max", [op("div", [largest, lit(limit)]), lit(LEAST)]);
  const steps = op("quantize", [blocks, scale], { axis: 0, block: 0, to: limit > 127 ? "i32" : "i8" });
  return op("reshape", [op("dequantize", [steps, scale], { axis: 0, block: 0, to: "f32" })], { shape });
}

/** Integers i8 or i32 [R, block] and their scales [R]. */
export interface RowBlocks extends RowRounding {
  readonly integers: Value;
  readonly scales: Value;
}

/** The value as rows rounded in blocks, or undefined where it is none. */
export function rowBlocksOf(b: GraphBuilder, v: Value): RowBlocks | undefined {
  const { op, inputs, attrs } = v.node.op === "reshape" ? v.node.inputs[0]!.node : v.node;
  if (op !== "dequantize" || inputs.length > 2 || attrs.axis !== 0 || attrs.block !== 0) return undefined;
  const [integers, scales] = inputs as [Value, Value];
  const { dtype, shape } = integers.type;
  if ((dtype !== "i8" && dtype !== "i32") || shape.length !== 2 || scales.type.shape.length !== 1) return undefined;
  return { integers, scales, block: shape[1] as number, limit: limitOf(b, integers.node, scales) };
}

/** The elements in the shape that they had at first. */
const unshaped = (v: Value): Value => (v.node.op === "reshape" ? unshaped(v.node.inputs[0]!) : v);

/** By what scales are made of; all that the integers' type holds, where that says nothing. */
function limitOf(b: GraphBuilder, steps: Node, scales: Value): number {
  const [quotient, least] = scales.node.op === "max" ? scales.node.inputs : [];
  const [largest, by] = quotient?.node.op === "div" ? quotient.node.inputs : [];
  const reduce = largest?.node;
  const limit = by && splatOf(b, by);
  const over = reduce?.op === "reduce" && reduce.attrs.op === "max" && String(reduce.attrs.axes) === "1" ? reduce.inputs[0]! : undefined;
  const magnitudes = over && sameShape(over.type.shape, steps.results[0]!.type.shape) ? unshaped(over).node : undefined;
  const of = magnitudes?.op === "abs" ? unshaped(magnitudes.inputs[0]!) : undefined;
  const most = Number(DTYPES[steps.results[0]!.type.dtype].max);
  const bounded = steps.op === "quantize" && steps.inputs[1] === scales && of !== undefined && of === unshaped(steps.inputs[0]!);
  return bounded && least && limit !== undefined && limit >= 1 && limit <= most && (splatOf(b, least) ?? 0) > 0
    ? Math.ceil(limit)
    : most + 1;
}
