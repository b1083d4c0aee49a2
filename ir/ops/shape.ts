// Operators that move elements without computing: reshape, transpose, expand, slice, concat, tile; and the sequence `range`.

import { DTYPES } from "../dtype.ts";
import { defineOp } from "../op.ts";
import { add, cast, compare, div, i32, mul, rem, select, sub } from "../scalar/build.ts";
import type { Scalar } from "../scalar/scalar.ts";
import { type Dim, maxOf, sameShape, typeToString } from "../types.ts";
import { axisAttr, intAttr, intsAttr, NUMBER, operandOf, sharedDType, staticDim } from "./rules.ts";

const product = (dims: readonly Dim[]): number => dims.reduce<number>((n, d) => n * maxOf(d), 1);

/** Coordinates to a row-major position. */
export const ravel = (at: readonly Scalar[], shape: readonly Dim[]): Scalar =>
  at.reduce(
    (flat: Scalar, i, axis) => (maxOf(shape[axis]!) === 1 ? flat : add<Scalar>(mul<Scalar>(flat, i32(maxOf(shape[axis]!))), i)),
    i32(0),
  );

/** A row-major position to coordinates. */
export function unravel(flat: Scalar, shape: readonly Dim[]): readonly Scalar[] {
  const at: Scalar[] = [];
  let inner = product(shape);
  shape.forEach((d, axis) => {
    const outermost = axis === 0 || shape.slice(0, axis).every((e) => maxOf(e) === 1);
    inner = product(shape.slice(axis + 1));
    const i = div<Scalar>(flat, i32(Math.max(1, inner)));
    at.push(maxOf(d) === 1 ? i32(0) : outermost ? i : rem<Scalar>(i, i32(Math.max(1, maxOf(d)))));
  });
  return at;
}

const boundedAxis = (shape: readonly Dim[]): number => shape.findIndex((d) => typeof d !== "number");

export const reshape = defineOp({
  name: "reshape",
  doc:
    "The elements of x in row-major order as `shape`. An extent that hangs on data stays as it is, and is -1 in `shape`: " +
    "as many elements must come before and after it as in x.",
  operands: ["x"],
  infer(c) {
    const x = c.types[0]!;
    const shape = intsAttr(c, "shape", undefined, -1);
    const bounded = boundedAxis(x.shape);
    const kept = shape.indexOf(-1);
    if (bounded < 0) {
      if (kept >= 0 || product(shape) !== product(x.shape))
        c.fail(`${typeToString(x)} has ${product(x.shape)} elements, shape [${shape}] ${product(shape)}`);
      return { dtype: x.dtype, shape };
    }
    const fits =
      kept >= 0 &&
      shape.lastIndexOf(-1) === kept &&
      x.shape.filter((d) => typeof d !== "number").length === 1 &&
      product(shape.slice(0, kept)) === product(x.shape.slice(0, bounded)) &&
      product(shape.slice(kept + 1)) === product(x.shape.slice(bounded + 1));
    if (!fits) c.fail(`${typeToString(x)} as [${shape}]: the extent that hangs on data must stay whole`);
    return { dtype: x.dtype, shape: shape.map((d) => (d === -1 ? x.shape[bounded]! : d)) };
  },
  compute(c) {
    const [x, out] = [c.types[0]!.shape, c.results[0]!.shape];
    const kept = (c.attrs["shape"] as readonly number[]).indexOf(-1);
    if (kept < 0) return c.read(0, unravel(ravel(c.i, out), x));
    // With true extents both shapes are static: the axis is found by what comes before it.
    const before = product(out.slice(0, kept));
    const after = product(out.slice(kept + 1));
    const from = x.findIndex(
      (d, axis) => maxOf(d) === maxOf(out[kept]!) && product(x.slice(0, axis)) === before && product(x.slice(axis + 1)) === after,
    );
    const [left, right] = [ravel(c.i.slice(0, kept), out.slice(0, kept)), ravel(c.i.slice(kept + 1), out.slice(kept + 1))];
    return c.read(0, [...unravel(left, x.slice(0, from)), c.i[kept]!, ...unravel(right, x.slice(from + 1))]);
  },
});

export const transpose = defineOp({
  name: "transpose",
  doc: "Axis k of the result is axis perm[k] of x.",
  operands: ["x"],
  infer(c) {
    const x = c.types[0]!;
    const perm = intsAttr(c, "perm", x.shape.length, 0);
    if (new Set(perm).size !== perm.length || perm.some((p) => p >= perm.length))
      c.fail(`[${perm}] is no permutation of ${x.shape.length} axes`);
    return { dtype: x.dtype, shape: perm.map((p) => x.shape[p]!) };
  },
  compute(c) {
    const perm = c.attrs["perm"] as readonly number[];
    return c.read(
      0,
      perm.map((_, axis) => c.i[perm.indexOf(axis)]!),
    );
  },
});

export const expand = defineOp({
  name: "expand",
  doc: "x broadcast to `shape`, which it must fit; -1 stands for an extent of x that hangs on data.",
  operands: ["x"],
  infer(c) {
    const x = c.types[0]!;
    const shape = intsAttr(c, "shape", undefined, -1);
    const lead = shape.length - x.shape.length;
    const out = shape.map((d, axis): Dim => (d === -1 ? (x.shape[axis - lead] ?? c.fail("-1 stands for an extent of x")) : d));
    const fits = lead >= 0 && x.shape.every((d, axis) => d === 1 || sameShape([d], [out[axis + lead]!]));
    if (!fits) c.fail(`${typeToString(x)} does not broadcast to [${shape}]`);
    return { dtype: x.dtype, shape: out };
  },
  compute: (c) => c.operand(0),
});

export const slice = defineOp({
  name: "slice",
  doc: "Of each axis `shape` elements, from `starts` on, `steps` apart (negative ones go back). -1 in `shape` keeps an extent that hangs on data.",
  operands: ["x"],
  infer(c) {
    const x = c.types[0]!;
    const n = x.shape.length;
    const [starts, steps, shape] = [intsAttr(c, "starts", n, 0), intsAttr(c, "steps", n), intsAttr(c, "shape", n, -1)];
    x.shape.forEach((d, axis) => {
      const [start, step, extent] = [starts[axis]!, steps[axis]!, shape[axis]!];
      if (extent === -1) {
        if (typeof d === "number" || start !== 0 || step !== 1)
          c.fail(`only a whole axis whose extent hangs on data is kept by -1, axis ${axis} of ${typeToString(x)}`);
        return;
      }
      const last = start + (extent - 1) * step;
      if (step === 0 || (extent > 0 && (start >= staticDim(c, 0, axis) || last < 0 || last >= staticDim(c, 0, axis)))) {
        c.fail(`${extent} elements from ${start} in steps of ${step} leave axis ${axis} of ${typeToString(x)}`);
      }
    });
    return { dtype: x.dtype, shape: shape.map((d, axis) => (d === -1 ? x.shape[axis]! : d)) };
  },
  compute(c) {
    const [starts, steps] = [c.attrs["starts"] as readonly number[], c.attrs["steps"] as readonly number[]];
    return c.read(
      0,
      c.i.map((i, axis) => add<Scalar>(mul<Scalar>(i, i32(steps[axis]!)), i32(starts[axis]!))),
    );
  },
});

export const concat = defineOp({
  name: "concat",
  doc: "The operands one after another along `axis`.",
  operands: ["x", "...xs"],
  infer(c) {
    const first = c.types[0]!;
    const axis = axisAttr(c, first.shape.length);
    const dtype = sharedDType(c);
    let total = 0;
    c.types.forEach((t, k) => {
      const fits = t.shape.length === first.shape.length && sameShape(t.shape.toSpliced(axis, 1), first.shape.toSpliced(axis, 1));
      if (!fits) c.fail(`${typeToString(first)} and ${typeToString(t)} (operand ${k}) differ in more than axis ${axis}`);
      total += staticDim(c, k, axis);
    });
    return { dtype, shape: first.shape.with(axis, total) };
  },
  compute(c) {
    const axis = c.attrs["axis"] as number;
    const at = c.i[axis]!;
    const starts: number[] = [];
    let total = 0;
    for (const t of c.types) {
      starts.push(total);
      total += maxOf(t.shape[axis]!);
    }
    // Binary search over the pieces.
    const find = (from: number, to: number): Scalar => {
      if (to - from === 1) return c.read(from, c.i.with(axis, sub<Scalar>(at, i32(starts[from]!))));
      const middle = (from + to) >> 1;
      return select<Scalar>(compare<Scalar>("lt", at, i32(starts[middle]!)), find(from, middle), find(middle, to));
    };
    return find(0, c.types.length);
  },
});

export const tile = defineOp({
  name: "tile",
  doc: "x repeated `repeats` times along each axis.",
  operands: ["x"],
  infer(c) {
    const x = c.types[0]!;
    const repeats = intsAttr(c, "repeats", x.shape.length, 0);
    return { dtype: x.dtype, shape: x.shape.map((d, axis) => (repeats[axis] === 1 ? d : staticDim(c, 0, axis) * repeats[axis]!)) };
  },
  compute: (c) =>
    c.read(
      0,
      c.i.map((i, axis) => ((c.attrs["repeats"] as readonly number[])[axis] === 1 ? i : rem<Scalar>(i, c.extent(0, axis)))),
    ),
});

export const range = defineOp({
  name: "range",
  doc: "`count` elements start, start + step, start + 2 step, ...",
  operands: ["start", "step"],
  infer(c) {
    operandOf(c, 0, NUMBER);
    const dtype = sharedDType(c);
    if (c.types.some((t) => t.shape.length > 0))
      c.fail(`start and step must be scalars, got ${c.types.map((t) => typeToString(t)).join(" and ")}`);
    return { dtype, shape: [intAttr(c, "count", 0)] };
  },
  compute: (c) => add<Scalar>(c.read(0, []), mul<Scalar>(cast<Scalar>(DTYPES[c.results[0]!.dtype].compute, c.i[0]!), c.read(1, []))),
});

export const shapeOps = [reshape, transpose, expand, slice, concat, tile, range] as const;
