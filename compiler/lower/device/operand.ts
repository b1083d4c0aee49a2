// The two sides of a product as threads of a device read them: four elements at a time, zeros beyond the ends.

import { add, and, i32, load, lt, mul, pointer, replace, variable } from "../../../ir/kernel/build.ts";
import type { Expr, Param } from "../../../ir/kernel/types.ts";
import type { Tensor } from "../../../ir/tensor.ts";
import type { Emitter } from "../generic/emitter.ts";
import type { Storage } from "../storage.ts";
import type { Binding } from "../template.ts";
import { type Arithmetic, floats } from "./arithmetic.ts";
import { bytesAt, extentOf, isAligned, type Span, vectorsOf } from "./span.ts";

/**
 * One side of a product: lines (the rows of the left, the columns of the right side) of `depth` elements each. Four elements that are read at
 * once are neighbours along the depth where it is `deep`, else along the lines; these are counted in fours.
 */
export interface Side {
  readonly deep: boolean;
  readonly params: readonly Param[];
  readonly bindings: readonly Binding[];
  /** Readies reading from line (or four lines) `line` of matrix `batch`; what it gives reads at a depth (or four depths). */
  open(em: Emitter, batch: Expr, line: Expr): (depth: Expr) => Expr;
}

/** Where a batch of matrices lies. */
export interface Matrices {
  readonly offset: number;
  readonly bytes: number;
  readonly batch: Span;
  readonly line: Span;
  readonly depth: Span;
}

/** The extents that lines and depths are read up to: whole tiles. */
export interface Reach {
  readonly lines: number;
  readonly depth: number;
}

/** `read` where all of `when` hold, else four of `outside`. */
export function guarded(em: Emitter, when: readonly Expr[], read: () => Expr, outside = floats.zero): Expr {
  if (when.length === 0) return em.named("v", read());
  const value = em.mutable("v", outside);
  em.branch(when.reduce(and), () => value.assign(read()));
  return value.read;
}

/** An element, where all of `when` hold. */
export interface Reading {
  readonly when: readonly Expr[];
  readonly read: () => Expr;
}

/** Four elements read one by one; what is not there is `outside`. */
export function gathered(em: Emitter, lane: (lane: number) => Reading, outside = floats.zero): Expr {
  const value = em.mutable("v", outside);
  for (let k = 0; k < 4; k++) {
    const { when, read } = lane(k);
    const put = (): void => value.assign(replace(value.read, k, read()));
    if (when.length === 0) put();
    else em.branch(when.reduce(and), put);
  }
  return value.read;
}

/** Whether vectors can be read along the lines, or the depth. */
export const vectorAxis = (m: Matrices): "line" | "depth" | undefined => {
  if (m.offset % 16 !== 0 || !isAligned(m.batch)) return undefined;
  if (vectorsOf(m.line) && isAligned(m.depth)) return "line";
  return vectorsOf(m.depth) && isAligned(m.line) ? "depth" : undefined;
};

/** Whether fours are best read along the depth. */
export const isDeep = (m: Matrices): boolean => {
  const axis = vectorAxis(m);
  return axis === "depth" || (axis === undefined && m.depth.strides.at(-1) === 4);
};

/** Matrices anywhere in memory. `always`: fours along the depth, whatever is faster. */
export function strided(
  name: string,
  binding: Binding,
  m: Matrices,
  reach: Reach,
  always?: "deep",
  { element: one, vector, zero }: Arithmetic = floats,
): Side {
  const axis = vectorAxis(m);
  const deep = always !== undefined || isDeep(m);
  const [lines, depths] = [extentOf(m.line), extentOf(m.depth)];
  const ptr = variable(name, "ptr");
  const vectors = axis === (deep ? "depth" : "line");
  const element = (em: Emitter, bytes: Expr): Expr => {
    const { ptr: at, offset } = em.address(ptr, bytes);
    return load(vectors ? vector : one, at, offset);
  };
  const [line, depth] = [vectors && !deep ? vectorsOf(m.line)! : m.line, vectors && deep ? vectorsOf(m.depth)! : m.depth];
  const lineBound = lines % reach.lines === 0 ? undefined : i32(extentOf(line));
  const depthBound = depths % reach.depth === 0 ? undefined : i32(extentOf(depth));
  const within = (x: Expr, bound: Expr | undefined): readonly Expr[] => (bound ? [lt(x, bound)] : []);
  return {
    deep,
    params: [pointer(name, "read", m.bytes)],
    bindings: [binding],
    open(em, batch, first) {
      const base = add(i32(m.offset), bytesAt(m.batch, batch));
      const at = (l: Expr, d: Expr): Expr => add(add(base, bytesAt(line, l)), bytesAt(depth, d));
      const read = (l: Expr, d: Expr): Reading => ({
        when: [...within(l, lineBound), ...within(d, depthBound)],
        read: () => element(em, at(l, d)),
      });
      if (vectors)
        return (d) => {
          const { when, read: get } = read(first, d);
          return guarded(em, when, get, zero);
        };
      const fours = (x: Expr, lane: number): Expr => add(mul(x, i32(4)), i32(lane));
      return (d) => gathered(em, (lane) => (deep ? read(first, fours(d, lane)) : read(fours(first, lane), d)), zero);
    },
  };
}

/** A constant's matrices with rows of whole vectors, in memory of their own. */
export function padded(t: Tensor): { readonly storage: Storage; readonly bytes: Uint8Array } {
  const columns = t.shape.at(-1)!;
  const pitch = Math.ceil(columns / 4) * 4;
  const rows = t.data.length / columns;
  const values = new Float32Array(rows * pitch);
  for (let r = 0; r < rows; r++) values.set((t.data as Float32Array).subarray(r * columns, (r + 1) * columns), r * pitch);
  const shape = [...t.shape.slice(0, -1), pitch];
  const strides = shape.map((_, axis) => shape.slice(axis + 1).reduce((a, b) => a * b, 4));
  const bytes = new Uint8Array(values.buffer);
  return { storage: { name: "padded", dtype: "f32", shape, strides, offset: 0, bytes: bytes.length, zeroed: false }, bytes };
}
