// Our operators as ONNX's, one entry each. What is not here is written as what it is composed of.

import { DTYPES, type DType } from "../../../ir/dtype.ts";
import type { Node } from "../../../ir/graph.ts";
import { maxShape } from "../../../ir/types.ts";
import { elemTypeOf } from "../proto/elem-types.ts";
import type { AttributeInit } from "../proto/encode.ts";
import { integers, number, numbers, type WriteContext, type Writer } from "./node.ts";

/** The lowest version that is written: the first with scales of QuantizeLinear per axis. */
export const LEAST_OPSET = 13;
/** The first with 4-bit integers and scales of blocks. */
const BLOCKS = 21;

const always = (): number => LEAST_OPSET;

/** The same operands; `params` pairs ONNX's attribute with ours, a float. */
const direct = (op: string, params: readonly (readonly [theirs: string, ours: string])[] = [], since = LEAST_OPSET): Writer => ({
  since: () => since,
  write: (c) => void c.add(op, c.inputs, Object.fromEntries(params.map(([theirs, ours]) => [theirs, { float: number(c, ours) }]))),
});

/** The same operands, an axis. */
const alongAxis = (op: string): Writer => ({ since: always, write: (c) => void c.add(op, c.inputs, { axis: { int: number(c, "axis") } }) });

/** Logical on bools, bit by bit on integers. */
const logical = (op: string): Writer => {
  const isBool = (n: Node): boolean => n.inputs[0]!.type.dtype === "bool";
  return {
    since: (n) => (isBool(n) ? LEAST_OPSET : 18),
    write: (c) => void c.add(isBool(c.node) ? op : `Bitwise${op}`, c.inputs),
  };
};

const writer = (write: Writer["write"], since: Writer["since"] = always): Writer => ({ since, write });

const list = (values: readonly number[]): AttributeInit => ({ ints: values });
const staticShape = (c: WriteContext): readonly number[] => maxShape(c.node.results[0]!.type);
const operandShape = (c: WriteContext): readonly number[] => maxShape(c.node.inputs[0]!.type);

const window = (c: WriteContext): Readonly<Record<string, AttributeInit>> => ({
  strides: list(numbers(c, "strides")),
  dilations: list(numbers(c, "dilations")),
  pads: list(numbers(c, "pads")),
});

const convolution = (op: string): Writer =>
  writer((c) => {
    const extra = op === "ConvTranspose" ? { output_padding: list(numbers(c, "output_padding")) } : {};
    c.add(op, c.inputs, { ...window(c), ...extra, group: { int: number(c, "group") } });
  });

/** How many windows ONNX counts along each axis. */
function counted(c: WriteContext, ceil: boolean): readonly number[] {
  const [kernel, strides, dilations, pads] = ["kernel", "strides", "dilations", "pads"].map((a) => numbers(c, a)) as [
    readonly number[],
    readonly number[],
    readonly number[],
    readonly number[],
  ];
  return kernel.map((k, i) => {
    const free = operandShape(c)[i + 2]! + pads[i]! + pads[i + kernel.length]! - dilations[i]! * (k - 1) - 1;
    return (ceil ? Math.ceil(free / strides[i]!) : Math.floor(free / strides[i]!)) + 1;
  });
}

const isDilated = (n: Node): boolean => (n.attrs["dilations"] as readonly number[]).some((d) => d !== 1);

const pool = writer(
  (c) => {
    const [op, shape] = [c.node.attrs["op"] as string, String(numbers(c, "shape"))];
    const ceil = String(counted(c, false)) !== shape;
    if (ceil && String(counted(c, true)) !== shape) c.unsupported(`pooling to [${shape}]`);
    if (op === "lp") c.unsupported("pooling by a norm");
    c.add(op === "max" ? "MaxPool" : "AveragePool", c.inputs, {
      kernel_shape: list(numbers(c, "kernel")),
      strides: list(numbers(c, "strides")),
      pads: list(numbers(c, "pads")),
      ...(isDilated(c.node) ? { dilations: list(numbers(c, "dilations")) } : {}),
      ...(ceil ? { ceil_mode: { int: 1 } } : {}),
      ...(op === "avg" ? { count_include_pad: { int: c.node.attrs["count_include_pad"] === true ? 1 : 0 } } : {}),
    });
  },
  (n) => (n.attrs["op"] === "avg" && isDilated(n) ? 19 : LEAST_OPSET),
);

const REDUCTIONS: ReadonlyMap<unknown, string> = new Map([
  ["sum", "ReduceSum"],
  ["prod", "ReduceProd"],
  ["min", "ReduceMin"],
  ["max", "ReduceMax"],
]);

const reduce = writer((c) => {
  const op = REDUCTIONS.get(c.node.attrs["op"]) ?? c.unsupported(`a reduction by ${String(c.node.attrs["op"])}`);
  const keepdims = { int: c.node.attrs["keepdims"] === true ? 1 : 0 };
  const axes = numbers(c, "axes");
  // Axes became an operand one operator after the other.
  if (op === "ReduceSum" || c.opset >= 18) c.add(op, [...c.inputs, integers(c, axes)], { keepdims });
  else c.add(op, c.inputs, { keepdims, axes: list(axes) });
});

const argReduce = writer((c) => {
  const [op, last] = String(c.node.attrs["op"]).split("_") as [string, string | undefined];
  c.add(op === "argmax" ? "ArgMax" : "ArgMin", c.inputs, {
    axis: { int: number(c, "axis") },
    keepdims: { int: c.node.attrs["keepdims"] === true ? 1 : 0 },
    select_last_index: { int: last ? 1 : 0 },
  });
});

const slice = writer((c) => {
  const [starts, steps, shape] = [numbers(c, "starts"), numbers(c, "steps"), staticShape(c)];
  const ends = shape.map((n, axis) => {
    const end = starts[axis]! + n * steps[axis]!;
    // Below the first element: -1 would count from the end.
    return end < 0 ? -operandShape(c)[axis]! - 1 : end;
  });
  const axes = shape.map((_, axis) => axis);
  c.add("Slice", [c.inputs[0]!, integers(c, starts), integers(c, ends), integers(c, axes), integers(c, steps)]);
});

const pad = writer(
  (c) => {
    const pads = integers(c, [...numbers(c, "begins"), ...numbers(c, "ends")]);
    c.add("Pad", [c.inputs[0]!, pads, ...c.inputs.slice(1)], { mode: String(c.node.attrs["mode"]) });
  },
  (n) => (n.attrs["mode"] === "wrap" ? 19 : LEAST_OPSET),
);

const quantized = (op: string): Writer => ({
  since: (n) => {
    const isQuantize = op === "QuantizeLinear";
    const { dtype } = (isQuantize ? n.results[0]! : n.inputs[0]!).type;
    // Without a zero point only an attribute tells of the type.
    const named = isQuantize && n.inputs.length < 3;
    return n.attrs["block"] !== 0 || DTYPES[dtype].bits === 4 || named ? BLOCKS : LEAST_OPSET;
  },
  write(c) {
    const single = c.node.inputs[1]!.type.shape.length === 0;
    const block = number(c, "block");
    const to = c.node.attrs["to"] as DType;
    c.add(op, c.inputs, {
      ...(single ? {} : { axis: { int: number(c, "axis") } }),
      ...(block === 0 ? {} : { block_size: { int: block } }),
      ...(op === "QuantizeLinear" && c.inputs.length < 3 ? { output_dtype: { int: elemTypeOf(to).number } } : {}),
    });
  },
});

/** Scales that broadcast otherwise than ONNX's are for the composition to say. */
const fitsLayerNorm = (n: Node): boolean => {
  const axes = maxShape(n.inputs[0]!.type).slice(n.attrs["axis"] as number);
  return n.inputs.slice(1).every((v) => String(maxShape(v.type)) === String(axes));
};
const layerNorm = writer(
  (c) => void c.add("LayerNormalization", c.inputs, { axis: { int: number(c, "axis") }, epsilon: { float: number(c, "epsilon") } }),
  () => 17,
);

const sigmoidGate = (slope: (c: WriteContext) => number): Writer =>
  writer((c) => {
    const [x] = c.inputs as [string];
    const alpha = slope(c);
    const scaled = alpha === 1 ? x : c.add("Mul", [x, c.constant({ dtype: "f32", shape: [], data: Float32Array.of(alpha) })]);
    c.add("Mul", [x, c.add("Sigmoid", [scaled])]);
  });

const ELEMENTWISE: readonly (readonly [ours: string, theirs: string])[] = [
  ["abs", "Abs"],
  ["neg", "Neg"],
  ["sqrt", "Sqrt"],
  ["floor", "Floor"],
  ["ceil", "Ceil"],
  ["round", "Round"],
  ["exp", "Exp"],
  ["log", "Log"],
  ["sin", "Sin"],
  ["cos", "Cos"],
  ["tan", "Tan"],
  ["asin", "Asin"],
  ["acos", "Acos"],
  ["atan", "Atan"],
  ["sinh", "Sinh"],
  ["cosh", "Cosh"],
  ["tanh", "Tanh"],
  ["asinh", "Asinh"],
  ["acosh", "Acosh"],
  ["atanh", "Atanh"],
  ["erf", "Erf"],
  ["sign", "Sign"],
  ["reciprocal", "Reciprocal"],
  ["is_nan", "IsNaN"],
  ["add", "Add"],
  ["sub", "Sub"],
  ["mul", "Mul"],
  ["div", "Div"],
  ["pow", "Pow"],
  ["min", "Min"],
  ["max", "Max"],
  ["eq", "Equal"],
  ["lt", "Less"],
  ["le", "LessOrEqual"],
  ["gt", "Greater"],
  ["ge", "GreaterOrEqual"],
  ["where", "Where"],
  ["clip", "Clip"],
  ["matmul", "MatMul"],
  ["relu", "Relu"],
  ["sigmoid", "Sigmoid"],
  ["softplus", "Softplus"],
  ["softsign", "Softsign"],
];

export const writers: ReadonlyMap<string, Writer> = new Map<string, Writer>([
  ...ELEMENTWISE.map(([ours, theirs]) => [ours, direct(theirs)] as const),
  ["not", logical("Not")],
  ["and", logical("And")],
  ["or", logical("Or")],
  ["xor", logical("Xor")],
  ["ne", writer((c) => void c.add("Not", [c.add("Equal", c.inputs)]))],
  ["mod", direct("Mod")],
  ["rem", writer((c) => void c.add("Mod", c.inputs, { fmod: { int: 1 } }))],
  ["leaky_relu", direct("LeakyRelu", [["alpha", "alpha"]])],
  ["elu", direct("Elu", [["alpha", "alpha"]])],
  ["celu", direct("Celu", [["alpha", "alpha"]])],
  [
    "selu",
    direct("Selu", [
      ["alpha", "alpha"],
      ["gamma", "gamma"],
    ]),
  ],
  [
    "hard_sigmoid",
    direct("HardSigmoid", [
      ["alpha", "alpha"],
      ["beta", "beta"],
    ]),
  ],
  ["thresholded_relu", direct("ThresholdedRelu", [["alpha", "alpha"]])],
  ["hard_swish", direct("HardSwish", [], 14)],
  ["mish", direct("Mish", [], 18)],
  [
    "gelu",
    writer(
      (c) => void c.add("Gelu", c.inputs, { approximate: String(c.node.attrs["approximate"]) }),
      () => 20,
    ),
  ],
  ["silu", sigmoidGate(() => 1)],
  ["swish", sigmoidGate((c) => number(c, "alpha"))],
  ["softmax", alongAxis("Softmax")],
  ["log_softmax", alongAxis("LogSoftmax")],
  ["concat", alongAxis("Concat")],
  ["gather", alongAxis("Gather")],
  ["gather_elements", alongAxis("GatherElements")],
  ["layer_norm", layerNorm],
  ["conv", convolution("Conv")],
  ["conv_transpose", convolution("ConvTranspose")],
  ["pool", pool],
  ["reduce", reduce],
  ["arg_reduce", argReduce],
  ["cast", writer((c) => void c.add("Cast", c.inputs, { to: { int: elemTypeOf(c.node.results[0]!.type.dtype).number } }))],
  ["reshape", writer((c) => void c.add("Reshape", [...c.inputs, integers(c, staticShape(c))]))],
  ["expand", writer((c) => void c.add("Expand", [...c.inputs, integers(c, staticShape(c))]))],
  ["transpose", writer((c) => void c.add("Transpose", c.inputs, { perm: list(numbers(c, "perm")) }))],
  ["slice", slice],
  ["pad", pad],
  ["quantize", quantized("QuantizeLinear")],
  ["dequantize", quantized("DequantizeLinear")],
]);

/** How a node is written, where it is not by what it is composed of. */
export const writerOf = (n: Node): Writer | undefined => (n.op === "layer_norm" && !fitsLayerNorm(n) ? undefined : writers.get(n.op));
