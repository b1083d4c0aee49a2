// Exact rewrites of products and windows into the forms that kernels are written for: two spatial axes, matrices, padding of their own.

import { isFloat } from "../../ir/dtype.ts";
import type { GraphBuilder, Value } from "../../ir/graph.ts";
import type { Attrs } from "../../ir/op.ts";
import { any, op, type Rule, rule } from "../../ir/rewrite.ts";
import { isStatic, rank } from "../../ir/types.ts";
import { numberAt, reshaped, splatOf } from "./constants.ts";

const ints = (v: Value, name: string): readonly number[] => v.node.attrs[name] as readonly number[];
const shapeOf = (v: Value): readonly number[] => v.type.shape as readonly number[];
const product = (dims: readonly number[]): number => dims.reduce((a, d) => a * d, 1);
const fixed = (v: Value): boolean => isStatic(v.type);

/** Window attributes with an outer axis of extent 1 put in front. */
const withOuterAxis = (attrs: Attrs): Attrs => {
  const next: Record<string, Attrs[string]> = { ...attrs };
  const put = (name: string, value: number) => {
    if (Array.isArray(attrs[name])) next[name] = [value, ...(attrs[name] as readonly number[])];
  };
  for (const name of ["strides", "dilations", "kernel", "shape"]) put(name, 1);
  put("output_padding", 0);
  const [begin, end] = attrs.pads as readonly [number, number];
  return { ...next, pads: [0, begin, 0, end] };
};

const withOuter = (b: GraphBuilder, v: Value): Value => reshaped(b, v, [...shapeOf(v).slice(0, 2), 1, ...shapeOf(v).slice(2)]);

const oneDimensional: readonly Rule[] = [
  rule("1-D convolution, pooling -> 2-D", op(["conv", "conv_transpose", "pool"]), (_, b, root) => {
    const { inputs, attrs, locs } = root.node;
    if (rank(root.type) !== 3 || !inputs.every(fixed)) return undefined;
    const operands = inputs.map((v) => (rank(v.type) === 3 ? withOuter(b, v) : v));
    return reshaped(b, b.value(root.node.op, operands, withOuterAxis(attrs), locs), shapeOf(root));
  }),
];

const matrices: readonly Rule[] = [
  rule("matmul(a, b) with one matrix b -> matmul of two matrices", op("matmul", any("x", fixed), any("y", fixed)), ({ x, y }, b, root) => {
    const [left, right] = [shapeOf(x), shapeOf(y)];
    if (product(right.slice(0, -2)) !== 1 || (left.length === 2 && right.length === 2)) return undefined;
    const k = left.at(-1)!;
    const rows = product(left.slice(0, -1));
    const columns = right.length === 1 ? 1 : right.at(-1)!;
    const flat = b.value("matmul", [reshaped(b, x, [rows, k]), reshaped(b, y, [k, columns])], {}, root.node.locs);
    return reshaped(b, flat, shapeOf(root));
  }),
];

/** Whether every element of a constant is finite: then 0 times it is 0. */
const finite = (b: GraphBuilder, v: Value): boolean => {
  if (v.node.op === "dequantize") return v.node.inputs.every((x) => finite(b, x));
  const t = b.constantOf(v);
  if (!t) return false;
  for (let i = 0; i < t.data.length; i++) if (!Number.isFinite(numberAt(t, i))) return false;
  return true;
};

/** The padding of spatial axes that a constant `pad` adds, begins then ends, when it adds `value` there and nothing elsewhere. */
function spatialPadding(b: GraphBuilder, pad: Value, value: number): readonly number[] | undefined {
  if (pad.node.op !== "pad" || pad.node.attrs.mode !== "constant" || !fixed(pad)) return undefined;
  const fill = pad.node.inputs[1] ? splatOf(b, pad.node.inputs[1]) : 0;
  const [begins, ends] = [ints(pad, "begins"), ints(pad, "ends")];
  const outer = [...begins.slice(0, 2), ...ends.slice(0, 2)].some((n) => n !== 0);
  const pads = [...begins.slice(2), ...ends.slice(2)];
  return fill !== value || outer || pads.some((n) => n < 0) ? undefined : pads;
}

const sum = (a: readonly number[], c: readonly number[]): readonly number[] => a.map((n, i) => n + c[i]!);

/** Whether all windows of a pooling lie within its padded input, so that more padding in place of elements counts the same. */
function windowsInside(root: Value): boolean {
  const x = shapeOf(root.node.inputs[0]!).slice(2);
  const [kernel, strides, dilations, pads] = ["kernel", "strides", "dilations", "pads"].map((a) => ints(root, a)) as [
    number[],
    number[],
    number[],
    number[],
  ];
  return ints(root, "shape").every(
    (n, axis) => (n - 1) * strides[axis]! + (kernel[axis]! - 1) * dilations[axis]! < x[axis]! + pads[axis]! + pads[axis + x.length]!,
  );
}

const padding: readonly Rule[] = [
  rule("conv(pad(x, 0)) -> conv(x) with more padding", op("conv"), (_, b, root) => {
    const [x, w, ...bias] = root.node.inputs;
    const pads = spatialPadding(b, x!, (root.node.attrs.fill as number | undefined) ?? 0);
    if (!pads || !finite(b, w!)) return undefined;
    return b.value("conv", [x!.node.inputs[0]!, w!, ...bias], { ...root.node.attrs, pads: sum(ints(root, "pads"), pads) }, root.node.locs);
  }),
  rule("max pool(pad(x, -inf)) -> max pool with more padding", op("pool"), (_, b, root) => {
    const x = root.node.inputs[0]!;
    const pads = root.node.attrs.op === "max" && isFloat(root.type.dtype) ? spatialPadding(b, x, Number.NEGATIVE_INFINITY) : undefined;
    return pads && b.value("pool", [x.node.inputs[0]!], { ...root.node.attrs, pads: sum(ints(root, "pads"), pads) }, root.node.locs);
  }),
  rule("average pool(pad(x, 0)) -> average pool that counts padding", op("pool"), (_, b, root) => {
    const x = root.node.inputs[0]!;
    const pads = root.node.attrs.op === "avg" ? spatialPadding(b, x, 0) : undefined;
    if (!pads || !windowsInside(root)) return undefined;
    // Padding of its own that the average does not count cannot be told from padding that it does.
    if (root.node.attrs.count_include_pad !== true && ints(root, "pads").some((n) => n !== 0)) return undefined;
    const attrs = { ...root.node.attrs, pads: sum(ints(root, "pads"), pads), count_include_pad: true };
    return b.value("pool", [x.node.inputs[0]!], attrs, root.node.locs);
  }),
];

/** Windows of more elements are cheaper as one of their columns after one of their rows, despite the pass over memory. */
const MOST_TAPS = 16;

const separable: readonly Rule[] = [
  rule("max over a large window -> max along rows, then along columns", op("pool"), (_, b, root) => {
    const { attrs, inputs, locs } = root.node;
    const kernel = ints(root, "kernel");
    if (attrs.op !== "max" || kernel.length !== 2 || kernel.includes(1) || product(kernel) <= MOST_TAPS || !fixed(inputs[0]!))
      return undefined;
    /** The attributes along one axis; along the other, windows of one element. */
    const along = (axis: 0 | 1, other: number): Attrs => {
      const keep = (name: string, none: number): number[] => ints(root, name).map((n, i) => (i % 2 === axis ? n : none));
      const shape = ints(root, "shape").map((n, i) => (i === axis ? n : other));
      return {
        ...attrs,
        kernel: keep("kernel", 1),
        strides: keep("strides", 1),
        dilations: keep("dilations", 1),
        pads: keep("pads", 0),
        shape,
      };
    };
    const rows = b.value("pool", [inputs[0]!], along(1, shapeOf(inputs[0]!)[2]!), locs);
    return b.value("pool", [rows], along(0, ints(root, "shape")[1]!), locs);
  }),
];

/** Rewrites towards the forms that kernels are written for. */
export const productRules: readonly Rule[] = [...padding, ...oneDimensional, ...separable, ...matrices];
