// ONNX operators that rearrange elements, and those that give shapes.

import type { Value } from "../../../ir/graph.ts";
import { tensorOf } from "../../../ir/tensor.ts";
import { broadcast, type Dim, isStatic, maxOf, sizeOf, typeToString } from "../../../ir/types.ts";
import { axisOf, shapeOf } from "../axis.ts";
import { defineOnnxOp, type ImportContext, type OnnxOp } from "../op.ts";

/** x with other extents; one that hangs on data is kept. */
const reshaped = (c: ImportContext, x: Value, shape: readonly Dim[]): Value =>
  c.add("reshape", [x], { shape: shape.map((d) => (typeof d === "number" ? d : -1)) });

const product = (dims: readonly Dim[]): number => dims.reduce<number>((n, d) => n * (typeof d === "number" ? d : 1), 1);

const reshape = defineOnnxOp({
  name: "Reshape",
  shapeOperands: [1],
  import(c) {
    const x = c.input(0);
    const given = c.numbers(1);
    const copies = c.int("allowzero", 0) === 0;
    const wanted = given.map((d, axis): Dim => {
      if (d !== 0 || !copies) return d;
      return x.type.shape[axis] ?? c.bad(`shape [${given}] copies axis ${axis} of ${typeToString(x.type)}`);
    });
    if (wanted.some((d) => typeof d === "number" && (d < -1 || !Number.isSafeInteger(d))) || given.filter((d) => d === -1).length > 1)
      c.bad(`shape [${given}]`);
    const open = wanted.indexOf(-1);
    if (open < 0) return reshaped(c, x, wanted);
    const rest = product(wanted.filter((d) => d !== -1));
    const total = product(x.type.shape);
    const bounded = x.type.shape.find((d) => typeof d !== "number");
    // The open extent is the one that hangs on data, if what is known of both agrees.
    if (bounded !== undefined && !wanted.includes(bounded)) return reshaped(c, x, wanted.with(open, bounded));
    if (rest === 0 || total % rest !== 0) {
      // Anything times nothing is nothing.
      if (total === 0 && rest === 0) return reshaped(c, x, wanted.with(open, 0));
      c.bad(`${typeToString(x.type)} does not fit shape [${given}]`);
    }
    return reshaped(c, x, wanted.with(open, total / rest));
  },
});

const flatten = defineOnnxOp({
  name: "Flatten",
  import(c) {
    const x = c.input(0);
    const { shape } = x.type;
    const given = c.int("axis", 1);
    const axis = given < 0 ? given + shape.length : given;
    if (axis < 0 || axis > shape.length) c.bad(`axis ${given} of ${typeToString(x.type)}`);
    const part = (dims: readonly Dim[]): Dim => {
      const bounded = dims.find((d) => typeof d !== "number");
      return bounded !== undefined && product(dims) === 1 ? bounded : dims.reduce<number>((n, d) => n * maxOf(d), 1);
    };
    return reshaped(c, x, [part(shape.slice(0, axis)), part(shape.slice(axis))]);
  },
});

const transpose = defineOnnxOp({
  name: "Transpose",
  import(c) {
    const x = c.input(0);
    const perm = c.ints("perm", x.type.shape.map((_, axis) => axis).reverse());
    return c.add("transpose", [x], { perm: perm.map((p) => axisOf(c, p, x.type.shape.length)) });
  },
});

/** Axes as an attribute before version 13, as an operand since. */
const axesOf = (c: ImportContext, rank: number): readonly number[] =>
  (c.attribute("axes") ? c.ints("axes") : c.numbers(1, [])).map((a) => axisOf(c, a, rank));

const squeeze = defineOnnxOp({
  name: "Squeeze",
  shapeOperands: [1],
  import(c) {
    const x = c.input(0);
    const { shape } = x.type;
    const given = axesOf(c, shape.length);
    const axes = given.length > 0 || c.inputs[1] || c.attribute("axes") ? given : shape.flatMap((d, axis) => (d === 1 ? [axis] : []));
    for (const axis of axes) if (shape[axis] !== 1) c.bad(`axis ${axis} of ${typeToString(x.type)} is not of extent 1`);
    return reshaped(
      c,
      x,
      shape.filter((_, axis) => !axes.includes(axis)),
    );
  },
});

const unsqueeze = defineOnnxOp({
  name: "Unsqueeze",
  shapeOperands: [1],
  import(c) {
    const x = c.input(0);
    const count = c.attribute("axes") ? c.ints("axes").length : c.numbers(1).length;
    const axes = axesOf(c, x.type.shape.length + count);
    if (new Set(axes).size !== axes.length) c.bad(`axes [${axes}] repeat`);
    const shape: Dim[] = [...x.type.shape];
    for (const axis of [...axes].sort((a, b) => a - b)) shape.splice(axis, 0, 1);
    return reshaped(c, x, shape);
  },
});

const expand = defineOnnxOp({
  name: "Expand",
  shapeOperands: [1],
  import(c) {
    const x = c.input(0);
    const wanted = c.numbers(1);
    const shape = broadcast(x.type.shape, wanted) ?? c.bad(`${typeToString(x.type)} does not broadcast with [${wanted}]`);
    return c.add("expand", [x], { shape: shape.map((d) => (typeof d === "number" ? d : -1)) });
  },
});

const concat = defineOnnxOp({
  name: "Concat",
  import(c) {
    const xs = c.inputs.map((_, k) => c.input(k));
    if (xs.length === 0) c.bad("it has no operands");
    const axis = axisOf(c, c.int("axis"), xs[0]!.type.shape.length);
    return xs.length === 1 ? xs[0]! : c.add("concat", xs, { axis });
  },
});

const tile = defineOnnxOp({
  name: "Tile",
  shapeOperands: [1],
  import(c) {
    const x = c.input(0);
    const repeats = c.numbers(1);
    if (repeats.length !== x.type.shape.length || repeats.some((r) => r < 0)) c.bad(`repeats [${repeats}] for ${typeToString(x.type)}`);
    return c.add("tile", [x], { repeats });
  },
});

/** An extent as i64[1]. */
const extentValue = (c: ImportContext, d: Dim): Value =>
  typeof d === "number" ? c.constant(tensorOf("i64", [1], [BigInt(d)])) : c.add("reshape", [d.value], { shape: [1] });

const shape = defineOnnxOp({
  name: "Shape",
  import(c) {
    const dims = c.input(0).type.shape;
    const clamp = (k: number): number => Math.min(dims.length, Math.max(0, k < 0 ? k + dims.length : k));
    const part = dims.slice(clamp(c.int("start", 0)), clamp(c.int("end", dims.length)));
    if (part.every((d) => typeof d === "number")) return c.constant(tensorOf("i64", [part.length], part.map(BigInt)));
    const extents = part.map((d) => extentValue(c, d));
    return extents.length === 1 ? extents[0]! : c.add("concat", extents, { axis: 0 });
  },
});

const size = defineOnnxOp({
  name: "Size",
  import(c) {
    const { type } = c.input(0);
    if (isStatic(type)) return c.scalar("i64", sizeOf(type));
    const known = c.scalar("i64", product(type.shape));
    return type.shape.reduce((n, d) => (typeof d === "number" ? n : c.add("mul", [n, d.value])), known);
  },
});

const identity = defineOnnxOp({ name: "Identity", import: (c) => c.input(0) });

/** Channels to blocks of space, or back: [n, b, b, c, h, w] (DCR) or [n, c, b, b, h, w] (CRD) in between. */
const depthToSpace = defineOnnxOp({
  name: "DepthToSpace",
  import(c) {
    const x = c.input(0);
    const [n, channels, h, w] = rank4(c, x);
    const block = blockOf(c);
    const depth = channels / (block * block);
    if (!Number.isInteger(depth)) c.bad(`${channels} channels in blocks of ${block} by ${block}`);
    const columnsLast = c.string("mode", "DCR") === "DCR";
    const split = c.add("reshape", [x], { shape: columnsLast ? [n, block, block, depth, h, w] : [n, depth, block, block, h, w] });
    const moved = c.add("transpose", [split], { perm: columnsLast ? [0, 3, 4, 1, 5, 2] : [0, 1, 4, 2, 5, 3] });
    return c.add("reshape", [moved], { shape: [n, depth, h * block, w * block] });
  },
});

const spaceToDepth = defineOnnxOp({
  name: "SpaceToDepth",
  import(c) {
    const x = c.input(0);
    const [n, channels, h, w] = rank4(c, x);
    const block = blockOf(c);
    if (h % block !== 0 || w % block !== 0) c.bad(`[${h}, ${w}] in blocks of ${block} by ${block}`);
    const split = c.add("reshape", [x], { shape: [n, channels, h / block, block, w / block, block] });
    const moved = c.add("transpose", [split], { perm: [0, 3, 5, 1, 2, 4] });
    return c.add("reshape", [moved], { shape: [n, channels * block * block, h / block, w / block] });
  },
});

function rank4(c: ImportContext, x: Value): readonly [number, number, number, number] {
  const dims = shapeOf(c, x);
  return dims.length === 4
    ? (dims as unknown as readonly [number, number, number, number])
    : c.bad(`an operand with ${dims.length} axes, expected 4`);
}

function blockOf(c: ImportContext): number {
  const block = c.int("blocksize");
  return block >= 1 ? block : c.bad(`attribute 'blocksize' is ${block}`);
}

export const shapeTable: readonly OnnxOp[] = [
  reshape,
  flatten,
  transpose,
  squeeze,
  unsqueeze,
  expand,
  concat,
  tile,
  shape,
  size,
  identity,
  depthToSpace,
  spaceToDepth,
];
