// Whether four neighbours of a result can be computed at once, and counted along how many of its axes.

import type { Value } from "../../../ir/graph.ts";
import { elementOf, isCompute, isElementwise } from "../../../ir/op.ts";
import { children, type Scalar } from "../../../ir/scalar/scalar.ts";
import { isStatic } from "../../../ir/types.ts";
import { outer } from "../anchor.ts";
import { type GenericContext, isImmediate } from "../generic/kernel.ts";
import { flat, ROOM, type Storage, sameStorage } from "../storage.ts";
import type { Unit } from "../unit.ts";

const LANES = 4;
/** Bytes of an element, and of a vector of them. */
const ELEMENT = 4;
const VECTOR = 16;

const product = (xs: readonly number[]): number => xs.reduce((a, b) => a * b, 1);
const sizes = (v: Value): readonly number[] => v.type.shape as readonly number[];

/** Whether a storage is a buffer of its own, row-major: behind its last element is room. */
export const isWhole = (s: Storage): boolean => {
  const whole = flat({ dtype: s.dtype, shape: s.shape });
  return sameStorage(s, whole) && s.bytes === whole.bytes;
};

/** Whether an element hangs on where it stands, not only on what operands hold there. */
const counts = (s: Scalar): boolean => s.kind === "index" || (s.kind !== "read" && children(s).some(counts));

/** The extents of the result's last axes that a value has, from axis `from` on; missing ones are 1. */
const tail = (v: Value, rank: number, from: number): readonly number[] =>
  Array.from({ length: rank - from }, (_, k) => sizes(v)[from + k - (rank - sizes(v).length)] ?? 1);

/** Whether the elements of axes `from` and after lie side by side, and start at whole vectors. */
function isContiguous(s: Storage, from: number): boolean {
  let next = ELEMENT;
  for (let axis = s.shape.length - 1; axis >= 0; axis--) {
    if (s.shape[axis] === 1) continue;
    if (axis >= from ? s.strides[axis] !== next : s.strides[axis]! % VECTOR !== 0) return false;
    next *= s.shape[axis]!;
  }
  return s.offset % VECTOR === 0;
}

/**
 * The first axis of those along which vectors of an elementwise unit's result run as if they were one, or undefined where there is none.
 * Each value varies along all of them, or along none. The last vector may reach into the room behind the last element.
 */
export function fours(u: Unit, result: number, c: GenericContext): number | undefined {
  const root = u.roots[result]!;
  const out = c.storageOf(u.node.results[result]!);
  const ops = u.nodes.map((n) => c.ops.get(n.op)!);
  const values = [...new Set(u.nodes.flatMap((n) => [...n.inputs, ...n.results]))];
  const shape = sizes(root);
  const rank = shape.length;
  if ((out.dtype !== "f32" && out.dtype !== "i32") || !ops.every(isElementwise)) return undefined;
  if (![...values, u.node.results[result]!].every((v) => isStatic(v.type)) || product(shape) < LANES) return undefined;
  const placed = u.nodes.some((n, k) => {
    const op = ops[k]!;
    const types = [n.inputs.map((v) => v.type), n.results.map((v) => v.type)] as const;
    return op && isCompute(op) && (op.elementwise === "first" || counts(elementOf(op, ...types, n.attrs, 0)));
  });
  const inside = new Set(u.nodes);
  const stored = values
    .filter((v) => !inside.has(v.node) && !isImmediate(c.constantOf(outer(u, v))))
    .map((v) => [v, c.storageOf(outer(u, v))] as const);
  const fits = (from: number): boolean => {
    const run = shape.slice(from);
    const varies = (v: Value): boolean => tail(v, rank, from).some((d) => d !== 1);
    if (!values.every((v) => !varies(v) || tail(v, rank, from).join() === run.join())) return false;
    if (placed && run.filter((d) => d > 1).length > 1) return false;
    const storages = [out, ...stored.flatMap(([v, s]) => (varies(v) ? [s] : []))];
    const axis = (s: Storage): number => from - (rank - s.shape.length);
    if (!storages.every((s) => isContiguous(s, axis(s)))) return false;
    if (product(run) % LANES === 0) return true;
    return product(run) === product(shape) && isWhole(out) && storages.every((s) => s.offset + ELEMENT * product(run) + ROOM <= s.bytes);
  };
  const from = Array.from({ length: rank }, (_, k) => k).find(fits);
  return from !== undefined && product(shape.slice(from)) >= LANES ? from : undefined;
}
