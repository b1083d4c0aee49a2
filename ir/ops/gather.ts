// Reading at positions that are data: gather in its three forms, and one-hot rows.

import { DTYPES } from "../dtype.ts";
import { type Compute, defineOp, type InferContext } from "../op.ts";
import { add, cast, compare, constant, max, min, select } from "../scalar/build.ts";
import type { Scalar } from "../scalar/scalar.ts";
import { type Dim, maxOf, sameShape, type TensorType, typeToString } from "../types.ts";
import { axisAttr, intAttr, operandOf, staticDim } from "./rules.ts";

/** Operand 1: positions, i32 or i64. */
function indicesOf(c: InferContext): TensorType {
  const t = c.types[1]!;
  return t.dtype === "i32" || t.dtype === "i64" ? t : c.fail(`the indices must be i32 or i64, got ${typeToString(t)}`);
}

/** A position as it is written (negative ones count from the end) to an i32 coordinate; what lies outside stays outside. */
function coordinate(c: Compute, index: Scalar, axis: number): Scalar {
  const extent = c.extent(0, axis);
  const n = cast<Scalar>(index.type as "i64", extent);
  const counted = select<Scalar>(compare<Scalar>("lt", index, constant(index.type as "i64", 0)), add<Scalar>(index, n), index);
  // Wrapping to 32 bits must not bring a far position back inside.
  const near = index.type === "i64" ? max<Scalar>(constant("i64", -1), min<Scalar>(counted, n)) : counted;
  return cast<Scalar>("i32", near);
}

export const gather = defineOp({
  name: "gather",
  doc: "Slices of x along `axis`, at `indices` (i32 or i64, negative ones from the end): its axes take the place of `axis`. Outside: a fault.",
  operands: ["x", "indices"],
  infer(c) {
    const [x, indices] = [c.types[0]!, indicesOf(c)];
    const axis = axisAttr(c, x.shape.length);
    return { dtype: x.dtype, shape: [...x.shape.slice(0, axis), ...indices.shape, ...x.shape.slice(axis + 1)] };
  },
  compute(c) {
    const axis = c.attrs["axis"] as number;
    const n = c.types[1]!.shape.length;
    const index = c.read(1, c.i.slice(axis, axis + n));
    return c.read(0, [...c.i.slice(0, axis), coordinate(c, index, axis), ...c.i.slice(axis + n)]);
  },
});

export const gatherElements = defineOp({
  name: "gather_elements",
  doc: "Each element of `indices` (i32 or i64, negative ones from the end) replaced by x at its own coordinates, but for `axis`, where it says.",
  operands: ["x", "indices"],
  infer(c) {
    const [x, indices] = [c.types[0]!, indicesOf(c)];
    const axis = axisAttr(c, x.shape.length);
    const fits = indices.shape.length === x.shape.length && indices.shape.every((d, i) => i === axis || maxOf(d) <= maxOf(x.shape[i]!));
    if (!fits) c.fail(`${typeToString(indices)} does not fit into ${typeToString(x)} along axis ${axis}`);
    return { dtype: x.dtype, shape: indices.shape };
  },
  compute(c) {
    const axis = c.attrs["axis"] as number;
    return c.read(0, c.i.with(axis, coordinate(c, c.read(1, c.i), axis)));
  },
});

export const gatherNd = defineOp({
  name: "gather_nd",
  doc: "Slices of x at the coordinates that the last axis of `indices` (i32 or i64) holds, after `batch_dims` axes that both share.",
  operands: ["x", "indices"],
  infer(c) {
    const [x, indices] = [c.types[0]!, indicesOf(c)];
    const batch = intAttr(c, "batch_dims", 0);
    const last = indices.shape.length - 1;
    if (last < 0 || batch > last) c.fail(`${typeToString(indices)} has no coordinates after ${batch} batch axes`);
    const depth = staticDim(c, 1, last);
    if (batch + depth > x.shape.length || !sameShape(x.shape.slice(0, batch), indices.shape.slice(0, batch))) {
      c.fail(`${typeToString(indices)} does not index ${typeToString(x)} after ${batch} batch axes`);
    }
    return { dtype: x.dtype, shape: [...indices.shape.slice(0, last), ...x.shape.slice(batch + depth)] };
  },
  compute(c) {
    const batch = c.attrs["batch_dims"] as number;
    const last = c.types[1]!.shape.length - 1;
    const depth = maxOf(c.types[1]!.shape[last]!);
    const at = Array.from({ length: depth }, (_, k) => coordinate(c, c.read(1, [...c.i.slice(0, last), constant("i32", k)]), batch + k));
    return c.read(0, [...c.i.slice(0, batch), ...at, ...c.i.slice(last)]);
  },
});

export const oneHot = defineOp({
  name: "one_hot",
  doc:
    "A new axis `axis` of extent `depth`: values[1] where it equals the index (i32 or i64, negative ones from the end), else values[0]. " +
    "An index outside gives values[0] all along.",
  operands: ["values", "indices"],
  infer(c) {
    const [values, indices] = [operandOf(c, 0), indicesOf(c)];
    if (!sameShape(values.shape, [2])) c.fail(`the values must be [off, on], got ${typeToString(values)}`);
    const depth = intAttr(c, "depth", 0);
    const axis = axisAttr(c, indices.shape.length + 1);
    const shape: Dim[] = [...indices.shape];
    shape.splice(axis, 0, depth);
    return { dtype: values.dtype, shape };
  },
  compute(c) {
    const axis = c.attrs["axis"] as number;
    const index = c.read(1, c.i.toSpliced(axis, 1));
    const type = DTYPES[c.types[1]!.dtype].compute;
    const at = cast<Scalar>(type, c.i[axis]!);
    const negative = compare<Scalar>("lt", index, constant(type, 0));
    const wanted = select<Scalar>(negative, add<Scalar>(index, constant(type, c.attrs["depth"] as number)), index);
    return select<Scalar>(compare<Scalar>("eq", at, wanted), c.read(0, [constant("i32", 1)]), c.read(0, [constant("i32", 0)]));
  },
});

export const gatherOps = [gather, gatherElements, gatherNd, oneHot] as const;
