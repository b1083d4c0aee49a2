// Matrix products on a device: tiled, and for one row or column, by workgroups that share out the depth.

import type { Value } from "../../../ir/graph.ts";
import { i32, mul } from "../../../ir/kernel/build.ts";
import type { Expr } from "../../../ir/kernel/types.ts";
import type { Capabilities } from "../../backend.ts";
import { anchorOf, isFloat, isFloatOrByte, outer } from "../anchor.ts";
import { epilogueOf } from "../epilogue.ts";
import { type GenericContext, kernelName } from "../generic/kernel.ts";
import type { Storage } from "../storage.ts";
import type { Lowered } from "../template.ts";
import type { Unit } from "../unit.ts";
import { fits } from "./buffers.ts";
import { reachOf, vectorProduct, vectorTilingFor, whyVector } from "./matvec.ts";
import { isDeep, type Matrices, padded, type Reach, type Side, strided, vectorAxis } from "./operand.ts";
import { tiledProduct } from "./product.ts";
import { epilogueStorages, isLaneSafe, putOf, type Target } from "./put.ts";
import { axesOf, type Span, spanOf, unravel } from "./span.ts";
import { tilingFor, whyTiled } from "./tiling.ts";

const NONE: Span = { shape: [], strides: [] };

/** Leading axes as those of the result, which they are broadcast to. */
function leading(s: Storage, shape: readonly number[]): Span {
  const missing = shape.length - (s.shape.length - 2);
  const strides = shape.map((_, axis) => (axis < missing || s.shape[axis - missing] === 1 ? 0 : s.strides[axis - missing]!));
  return spanOf(shape, strides);
}

/** A product [..., M, K] x [..., K, N]; `merged` where the leading axes are more rows, since the right side has none. */
interface Frame {
  readonly batch: readonly number[];
  readonly rows: number;
  readonly columns: number;
  readonly depth: number;
  readonly merged: boolean;
}

function frameOf(a: Storage, b: Storage, out: Storage): Frame {
  const rank = out.shape.length;
  const [m, n] = out.shape.slice(-2) as [number, number];
  const batch = out.shape.slice(0, -2);
  const merged = b.shape.slice(0, -2).every((d) => d === 1) && a.shape.length === rank && batch.some((d) => d > 1);
  const rows = merged ? batch.reduce((x, y) => x * y, m) : m;
  return { batch: merged ? [] : batch, rows, columns: n, depth: a.shape.at(-1)!, merged };
}

/** The lines of an operand: its rows, or the columns of the right one. */
function matrices(s: Storage, side: "left" | "right", f: Frame): Matrices {
  const rank = s.shape.length;
  const [row, column] = [axesOf(s, rank - 2, rank - 1), axesOf(s, rank - 1, rank)];
  const { offset, bytes } = s;
  if (side === "right") return { offset, bytes, batch: leading(s, f.batch), line: column, depth: row };
  if (f.merged) return { offset, bytes, batch: NONE, line: axesOf(s, 0, rank - 1), depth: column };
  return { offset, bytes, batch: leading(s, f.batch), line: row, depth: column };
}

function targetOf(out: Storage, f: Frame, operands: readonly Storage[]): Target {
  const rank = out.shape.length;
  const rows = f.merged ? out.shape.slice(0, -1) : out.shape.slice(-2, -1);
  const safe = (axis: number): boolean => [out, ...operands].every((s) => isLaneSafe(s, rank, axis));
  const coords = (batch: Expr, row: Expr, column: Expr): Expr[] => [...unravel(batch, f.batch), ...unravel(row, rows), column];
  return {
    storage: out,
    batch: axesOf(out, 0, f.batch.length),
    row: axesOf(out, f.batch.length, rank - 1),
    column: axesOf(out, rank - 1, rank),
    coords,
    ...(safe(rank - 1) ? { wide: { axis: rank - 1, coords: (b, r, quad) => coords(b, r, mul(quad, i32(4))) } } : {}),
  };
}

/** The result as one row that is its only column. */
function turned(t: Target, out: Storage, f: Frame, operands: readonly Storage[]): Target {
  const rank = out.shape.length;
  const safe = !f.merged && [out, ...operands].every((s) => isLaneSafe(s, rank, rank - 2));
  return {
    storage: t.storage,
    batch: t.batch,
    row: t.column,
    column: t.row,
    coords: (batch, row, column) => t.coords(batch, column, row),
    ...(safe ? { wide: { axis: rank - 2, coords: (b, r, quad) => t.coords(b, mul(quad, i32(4)), r) } } : {}),
  };
}

/** An operand as one side of the product, in memory of its own where it is a constant that has no whole vectors. */
interface Given {
  readonly at: Matrices;
  side(reach: Reach, always?: "deep"): Side;
}

function given(u: Unit, v: Value, name: "a" | "b", f: Frame, c: GenericContext): Given {
  const side = name === "a" ? "left" : "right";
  const own = matrices(c.storageOf(v), side, f);
  const constant = c.constantOf(v);
  if (!constant || vectorAxis(own)) {
    const binding = { kind: "operand", operand: u.operands.indexOf(v) } as const;
    return { at: own, side: (reach, always) => strided(name, binding, own, reach, always) };
  }
  const { storage, bytes } = padded(constant);
  const at = matrices(storage, side, f);
  const binding = { kind: "packed", packed: { kind: "bytes", bytes } } as const;
  return { at, side: (reach, always) => strided(name, binding, at, reach, always) };
}

/** Products in f32 of operands anywhere in memory. `plan` is for tests. */
export function deviceMatmul(u: Unit, c: GenericContext, can: Capabilities, plan = tilingFor): Lowered | undefined {
  const matmul = anchorOf(u, "matmul", c.ops, isFloat, isFloatOrByte);
  if (!matmul) return undefined;
  const [left, right] = matmul.inputs.map((v) => outer(u, v)) as [Value, Value];
  const out = c.storageOf(u.node.results[0]!);
  if ([c.storageOf(left), c.storageOf(right)].some((s) => s.shape.length < 2)) return undefined;
  const f = frameOf(c.storageOf(left), c.storageOf(right), out);
  const epilogue = epilogueOf(u, matmul.results[0]!, c);
  const operands = epilogueStorages(u, epilogue, c);
  const target = targetOf(out, f, operands);
  const [a, b] = [given(u, left, "a", f, c), given(u, right, "b", f, c)];
  const batches = f.batch.reduce((x, y) => x * y, 1);
  const name = kernelName(u);
  const doc = `${batches > 1 ? `${batches} x ` : ""}${f.rows} x ${f.depth} by ${f.depth} x ${f.columns}`;
  const common = { name, doc, batches, depth: f.depth };
  if (f.rows === 1 || f.columns === 1) {
    const [matrix, vector, to] = f.rows === 1 ? [b, a, target] : [a, b, turned(target, out, f, operands)];
    const results = f.rows === 1 ? f.columns : f.rows;
    const tiling = vectorTilingFor(results, f.depth, isDeep(matrix.at));
    const reach = reachOf(tiling);
    const put = putOf(`${name}_put`, to, epilogue);
    const sides = { matrix: matrix.side(reach), vector: vector.side({ ...reach, lines: 1 }, "deep") };
    const functions = vectorProduct({ ...common, results, ...sides, tiling, put, swaps: can.device?.swaps ?? false });
    const bindings = [...sides.matrix.bindings, ...sides.vector.bindings, ...put.bindings];
    const why = whyVector(tiling);
    return fits(bindings, u, c, can) ? { kernel: "matvec_f32", functions, entry: name, bindings, faults: [], why } : undefined;
  }
  const tiling = plan(batches, f.rows, f.columns, f.depth);
  const put = putOf(`${name}_put`, target, epilogue);
  const [rows, columns] = [a.side({ lines: tiling.rows, depth: tiling.depth }), b.side({ lines: tiling.columns, depth: tiling.depth })];
  const functions = tiledProduct({ ...common, rows: f.rows, columns: f.columns, left: rows, right: columns, tiling, put });
  const bindings = [...rows.bindings, ...columns.bindings, ...put.bindings];
  return fits(bindings, u, c, can)
    ? { kernel: "matmul_f32_tiled", functions, entry: name, bindings, faults: [], why: whyTiled(tiling) }
    : undefined;
}
