// Activations rounded to 8 bits by the largest magnitude of each item, found anew in every run, and products of them: the scale moves
// behind the product, which is then one of integers.

import type { GraphBuilder, Value } from "../../ir/graph.ts";
import { op, type Rule, rule } from "../../ir/rewrite.ts";
import { isStatic, rank } from "../../ir/types.ts";
import { splatOf } from "./constants.ts";
import { integerWeights, isNarrow } from "./integers.ts";

const shapeOf = (v: Value): readonly number[] => v.type.shape as readonly number[];
const lit = (b: GraphBuilder, value: number): Value => b.constant({ dtype: "f32", shape: [], data: Float32Array.of(value) });

/** Least magnitude: an item of zeros is divided by something. */
const LEAST = 2 ** -100;

/** These only move elements. */
const MOVES: ReadonlySet<string> = new Set(["reshape", "transpose", "slice", "concat"]);
const NOT_NEGATIVE: ReadonlySet<string> = new Set(["relu", "sigmoid", "softmax", "exp", "abs"]);

/** Whether no element is below zero, as far as the operators before tell. */
function isNotNegative(b: GraphBuilder, v: Value): boolean {
  const { op: name, inputs, attrs } = v.node;
  if (NOT_NEGATIVE.has(name)) return true;
  if (name === "clip") return (splatOf(b, inputs[1]!) ?? -1) >= 0;
  if (name === "pool") return (attrs.op === "max" || attrs.op === "avg") && isNotNegative(b, inputs[0]!);
  return MOVES.has(name) && inputs.every((x) => isNotNegative(b, x));
}

/**
 * x f32 as it is once rounded to 8 bits: `dequantize(quantize(x / scale)) * scale`. What lies along `axes` shares a scale, and its largest
 * magnitude becomes the last step. Zero is exact, and a step that is known before: 0 where nothing is negative, else 128.
 */
export function roundedItems(b: GraphBuilder, x: Value, axes: readonly number[]): Value {
  const { locs } = x.node;
  const value = (name: string, inputs: readonly Value[], attrs = {}): Value => b.value(name, inputs, attrs, locs);
  const zero = isNotNegative(b, x) ? 0 : 128;
  const largest = value("max", [value("reduce", [value("abs", [x])], { op: "max", axes, keepdims: true }), lit(b, LEAST)]);
  const steps = value("div", [lit(b, 255 - zero), largest]);
  const operands = [lit(b, 1), b.constant({ dtype: "u8", shape: [], data: Uint8Array.of(zero) })];
  const attrs = { axis: 0, block: 0 };
  const integers = value("quantize", [value("mul", [x, steps]), ...operands], { ...attrs, to: "u8" });
  const whole = value("dequantize", [integers, ...operands], { ...attrs, to: "f32" });
  return value("mul", [whole, value("div", [lit(b, 1), steps])]);
}

interface Scaled {
  /** Dequantized integers, of a scale that is known. */
  readonly steps: Value;
  /** What they are multiplied by. */
  readonly scale: Value;
}

const isSteps = ({ node }: Value): boolean =>
  node.op === "dequantize" && node.attrs.block === 0 && node.inputs[0]!.node.op !== "const" && isNarrow(node.inputs[0]!.type.dtype);

/** The value as dequantized integers and a scale that only a run tells. */
function scaledSteps(b: GraphBuilder, v: Value): Scaled | undefined {
  const { op: name, inputs, attrs, locs } = v.node;
  if (name === "mul") {
    const [x, scale] = inputs as [Value, Value];
    return isSteps(x) ? { steps: x, scale } : isSteps(scale) ? { steps: scale, scale: x } : undefined;
  }
  if (!isSteps(v)) return undefined;
  const [integers, scale, ...zero] = inputs as [Value, Value, ...Value[]];
  const known = rank(scale.type) > 0 || scale.type.dtype !== "f32" || b.constantOf(scale);
  return known ? undefined : { steps: b.value(name, [integers, lit(b, 1), ...zero], attrs, locs), scale };
}

/** Whether all that an element of the product sums up shares a scale. `kept`: how many of the operand's axes are the product's, too. */
function followsItems(x: Value, scale: Value, kept: number): boolean {
  const [own, shape] = [shapeOf(x), shapeOf(scale)];
  const lead = own.length - shape.length;
  return lead >= 0 && shape.every((d, k) => d === 1 || (k + lead < kept && d === own[k + lead]));
}

export const dynamicScales: Rule = rule(
  "product of (integers times a scale of each item) -> product, then the scale",
  op(["conv", "matmul"]),
  (_, b, root) => {
    const [x, w, bias] = root.node.inputs as [Value, Value, Value?];
    const conv = root.node.op === "conv";
    if (!isStatic(root.type) || !isStatic(x.type) || root.type.dtype !== "f32" || rank(x.type) < 2) return undefined;
    const own = scaledSteps(b, x);
    if (!own || !isStatic(own.scale.type) || !followsItems(x, own.scale, conv ? 1 : rank(x.type) - 1)) return undefined;
    if ((!conv && rank(w.type) !== 2) || !integerWeights(b, w, conv ? 0 : 1)?.scales) return undefined;
    const { attrs, locs } = root.node;
    const y = b.value("mul", [b.value(root.node.op, [own.steps, w], attrs, locs), own.scale], {}, locs);
    if (!bias) return y;
    const aligned = b.value("reshape", [bias], { shape: shapeOf(root).map((d, k) => (k === 1 ? d : 1)) });
    return b.value("add", [y, aligned], {}, locs);
  },
);
