// Values that stand for integers less a zero point, with or without a scale: what products of small integers are made of.

import { DTYPES, type DType } from "../../ir/dtype.ts";
import type { GraphBuilder, Value } from "../../ir/graph.ts";
import { elementCount, type Tensor } from "../../ir/tensor.ts";
import { isStatic } from "../../ir/types.ts";
import { floats } from "./constants.ts";

/** (integers - zero) * scale; without a scale, i32. `zero` is a scalar of the integers' type, or undefined for 0. */
export interface Steps {
  readonly integers: Value;
  readonly zero: Value | undefined;
  readonly scale: Value | undefined;
  /** Where several scales or zero points lie. */
  readonly axis: number;
}

export const isNarrow = (d: DType): boolean => d === "i8" || d === "u8";
const isScalar = (v: Value): boolean => elementCount(v.type.shape as readonly number[]) === 1;

/** The value as 8-bit integers less their zero point, or undefined where it is not made like that. */
export function stepsOf(v: Value): Steps | undefined {
  const { op, inputs, attrs } = v.node;
  if (!isStatic(v.type)) return undefined;
  if (op === "dequantize") {
    const [integers, scale, zero] = inputs as [Value, Value, Value?];
    if (!isNarrow(integers.type.dtype) || scale.type.dtype !== "f32" || attrs.block !== 0) return undefined;
    return { integers, zero, scale, axis: attrs.axis as number };
  }
  if (op === "cast" && v.type.dtype === "i32" && isNarrow(inputs[0]!.type.dtype))
    return { integers: inputs[0]!, zero: undefined, scale: undefined, axis: 0 };
  if (op !== "sub" || v.type.dtype !== "i32") return undefined;
  const x = inputs[0]!.node.op === "cast" ? inputs[0]!.node.inputs[0]! : undefined;
  const z = inputs[1]!;
  if (!x || !isNarrow(x.type.dtype) || !isScalar(z)) return undefined;
  return { integers: x, zero: z, scale: undefined, axis: 0 };
}

/** A constant's elements as numbers; undefined for other values, and for 64-bit integers. */
export function numbers(b: GraphBuilder, v: Value): Float64Array | undefined {
  const t = b.constantOf(v);
  if (!t) return undefined;
  if (DTYPES[t.dtype].kind === "float") return floats(b, v);
  return typeof t.data[0] === "bigint" ? undefined : Float64Array.from(t.data as ArrayLike<number>);
}

/** One number for each of `n`: a constant of one element or of n. */
function spread(b: GraphBuilder, v: Value | undefined, n: number): Float64Array | undefined {
  if (!v) return new Float64Array(n);
  const xs = numbers(b, v);
  return xs?.length === 1 ? new Float64Array(n).fill(xs[0]!) : xs?.length === n ? xs : undefined;
}

/** Constant weights less their zero points, with what belongs to each index of their output axis. */
export interface IntegerWeights {
  /** i8 where they fit, else i16. */
  readonly tensor: Tensor;
  /** Sum of the weights, and of their magnitudes, for each output. */
  readonly sums: Float64Array;
  readonly magnitudes: Float64Array;
  /** One for each output, where they have scales. */
  readonly scales: Float64Array | undefined;
}

/** The weights of a product as small integers; `axis` is the one of outputs. Undefined where they are no constant of that kind. */
export function integerWeights(b: GraphBuilder, v: Value, axis: number): IntegerWeights | undefined {
  const own = constantSteps(b, v);
  if (!own) return undefined;
  const { steps, tensor } = own;
  const shape = tensor.shape as readonly number[];
  const outputs = shape[axis]!;
  const perAxis = [steps.scale, steps.zero].some((s) => s && !isScalar(s));
  if (perAxis && steps.axis !== axis) return undefined;
  const zeros = spread(b, steps.zero, outputs);
  const scales = steps.scale && spread(b, steps.scale, outputs);
  if (!zeros || (steps.scale && !scales)) return undefined;
  const inner = elementCount(shape.slice(axis + 1));
  const values = new Int16Array(tensor.data.length);
  const [sums, magnitudes] = [new Float64Array(outputs), new Float64Array(outputs)];
  let fits = true;
  for (let i = 0; i < values.length; i++) {
    const output = Math.floor(i / inner) % outputs;
    const w = Number(tensor.data[i]) - zeros[output]!;
    values[i] = w;
    sums[output]! += w;
    magnitudes[output]! += Math.abs(w);
    fits &&= w >= -128 && w <= 127;
  }
  const narrow: Tensor = fits ? { dtype: "i8", shape, data: Int8Array.from(values) } : { dtype: "i16", shape, data: values };
  return { tensor: narrow, sums, magnitudes, scales };
}

/** A constant of 8-bit integers, as it is or less a zero point; plain i32 constants of such a range count too. */
function constantSteps(b: GraphBuilder, v: Value): { readonly steps: Steps; readonly tensor: Tensor } | undefined {
  const steps = stepsOf(v);
  if (steps) {
    const tensor = b.constantOf(steps.integers);
    return tensor && { steps, tensor };
  }
  const tensor = b.constantOf(v);
  if (tensor?.dtype !== "i32" || !(tensor.data as Int32Array).every((x) => x >= -255 && x <= 255)) return undefined;
  return { steps: { integers: v, zero: undefined, scale: undefined, axis: 0 }, tensor };
}

const SIGN = 128;

/** Signed bytes and the unsigned ones that are 128 larger: either as the other. */
export const shifted = (b: GraphBuilder, v: Value): Value => {
  const flipped = (u: Value): Value =>
    b.value("xor", [u, b.constant({ dtype: "u8", shape: [], data: Uint8Array.of(SIGN) })], {}, v.node.locs);
  return v.type.dtype === "u8"
    ? b.value("bitcast", [flipped(v)], { to: "i8" }, v.node.locs)
    : flipped(b.value("bitcast", [v], { to: "u8" }, v.node.locs));
};

/** A zero point of signed bytes, for unsigned ones; undefined where it is not known. */
export function shiftedZero(b: GraphBuilder, zero: Value | undefined): Value | undefined {
  const t = zero && b.constantOf(zero);
  if (zero && !t) return undefined;
  const from = t ? Array.from(t.data as ArrayLike<number>) : [0];
  return b.constant({ dtype: "u8", shape: t?.shape ?? [], data: Uint8Array.from(from, (z) => z + SIGN) });
}

/** The same steps counted by unsigned integers, which products of 8 bits are fastest with; undefined where the zero point is not known. */
export function unsigned(b: GraphBuilder, s: Steps): Steps | undefined {
  if (s.integers.type.dtype === "u8") return s;
  const zero = shiftedZero(b, s.zero);
  return zero && { ...s, integers: shifted(b, s.integers), zero };
}
