// What an operator is: documentation, type rule and meaning, in one value. How to compute it fast lives in compiler/lower.

import type { Loc } from "./diagnostics.ts";
import { DTYPES, type DType } from "./dtype.ts";
import type { Graph, GraphBuilder, Value } from "./graph.ts";
import type { Func } from "./kernel/types.ts";
import { constant, i32, wrap } from "./scalar/build.ts";
import type { ReduceOp, Scalar } from "./scalar/scalar.ts";
import type { NarrowType, ScalarType } from "./scalar/types.ts";
import { type Dim, maxOf, type TensorType } from "./types.ts";

export type Attr = number | bigint | string | boolean | Graph | readonly Attr[];
export type Attrs = Readonly<Record<string, Attr>>;

export interface InferContext {
  readonly types: readonly TensorType[];
  /** The operands themselves: only for extents that hang on a value. */
  readonly inputs: readonly Value[];
  readonly attrs: Attrs;
  /** Raises `bad-operands` with a sentence that says what was found and what was expected. */
  fail(why: string): never;
}

/** What `compute` sees: the operands' and results' types and the coordinates of the element asked for. */
export interface Compute {
  readonly types: readonly TensorType[];
  readonly results: readonly TensorType[];
  readonly attrs: Attrs;
  /** One i32 coordinate per axis of the result. */
  readonly i: readonly Scalar[];
  /** Operand `k` at `at`, in the compute type of its elements. */
  read(k: number, at: readonly Scalar[]): Scalar;
  /** Operand `k` at the result's coordinates, broadcast as NumPy does. */
  operand(k: number): Scalar;
  /** The true extent of an axis: a constant, or a value at run time where it is bounded. */
  extent(k: number, axis: number): Scalar;
  /** A reduction over fresh coordinates, row-major, with the given extents. */
  reduce(op: ReduceOp, extents: readonly (number | Scalar)[], body: (r: readonly Scalar[]) => Scalar): Scalar;
}

/** What a kernel builder sees. Static shapes only. */
export interface KernelContext {
  readonly types: readonly TensorType[];
  readonly results: readonly TensorType[];
  readonly attrs: Attrs;
}

/**
 * A kernel: parameters are pointers to the operands, then to the results, then to `scratch` bytes when not 0, all row-major.
 * Its program's faults are sentences.
 */
export interface KernelMeaning {
  readonly functions: readonly Func[];
  readonly entry: string;
  readonly scratch: number;
  readonly faults: readonly string[];
}

interface OpHead {
  readonly name: string;
  /** A sentence or formula: what the results are. */
  readonly doc: string;
  /** Operand names; a last one that starts with `...` takes any number. A trailing `?` marks one that may be absent (at the end only). */
  readonly operands: readonly string[];
  /** Types of the results. Runs whenever a node is built. */
  infer(c: InferContext): TensorType | readonly TensorType[];
  /** Never interned: two calls differ. */
  readonly effect?: boolean;
}

/**
 * One element as an expression. `elementwise`: every operand is read once, at the (broadcast) coordinates of the result; with "first",
 * the first operand is, and the others are small: they hold a value for each index of an axis, say.
 */
export interface ComputeOp extends OpHead {
  readonly elementwise?: boolean | "first";
  compute(c: Compute, result: number): Scalar;
}
/** The same values as a graph of simpler operators. */
export interface ComposeOp extends OpHead {
  compose(b: GraphBuilder, inputs: readonly Value[], attrs: Attrs, loc: Loc | undefined): readonly Value[];
}
/** For what is neither: sorting, scans, data-dependent sizes. */
export interface KernelOp extends OpHead {
  kernel(c: KernelContext): KernelMeaning;
}
/** `param`, `const`, `if`, `loop`, `scan`: what the interpreter and the lowering know by name. */
export interface CoreOp extends OpHead {
  readonly core: true;
}

export type OpDef = ComputeOp | ComposeOp | KernelOp | CoreOp;

export const isCompute = (op: OpDef): op is ComputeOp => "compute" in op;
export const isCompose = (op: OpDef): op is ComposeOp => "compose" in op;
export const isElementwise = (op: OpDef): boolean => isCompute(op) && op.elementwise !== undefined && op.elementwise !== false;
export const isKernel = (op: OpDef): op is KernelOp => "kernel" in op;

/** Identity at run time; checks at compile time. Never registers anything. */
export const defineOp = <T extends OpDef>(op: T): T => Object.freeze(op);

/** A value to pass around, so that two compilers in a process never collide. */
export type OpSet = ReadonlyMap<string, OpDef>;

export function opSet(...groups: readonly (readonly OpDef[])[]): OpSet {
  const ops = new Map<string, OpDef>();
  for (const op of groups.flat()) {
    if (ops.has(op.name)) throw new TypeError(`operator '${op.name}' is defined twice`);
    ops.set(op.name, op);
  }
  return ops;
}

const index = (name: string): Scalar => ({ kind: "index", type: "i32", name });
const NARROW: ReadonlySet<string> = new Set<NarrowType>(["i4", "u4", "i8", "u8", "i16", "u16", "f16"]);

/** Whether an integer is a float clamped between constants that the element type holds: storing changes nothing then. */
function isClamped(dtype: DType, s: Scalar): boolean {
  if (s.kind !== "cast" || s.a.kind !== "binary" || s.a.op !== "min" || s.a.a.kind !== "binary" || s.a.a.op !== "max") return false;
  const [low, high] = [s.a.a.b, s.a.b];
  const range = DTYPES[dtype];
  if (low.kind !== "const" || high.kind !== "const" || range.min === undefined) return false;
  return Number(low.value) >= Number(range.min) && Number(high.value) <= Number(range.max);
}

/** Whether every value of type `from` is one of type `to`. */
function holds(to: DType, from: DType): boolean {
  const [a, b] = [DTYPES[to], DTYPES[from]];
  return to === from || (a.min !== undefined && b.min !== undefined && a.min <= b.min && a.max! >= b.max!);
}

/** Brings a computed value to what storing it as `dtype` and loading it again gives; `typeOf` are the operands' types. */
export const narrowTo = (dtype: DType, s: Scalar, typeOf: (operand: number) => DType): Scalar =>
  NARROW.has(dtype) && !(s.kind === "read" && holds(dtype, typeOf(s.operand))) && !isClamped(dtype, s)
    ? wrap<Scalar>(dtype as NarrowType, s)
    : s;

/** The names of a result's coordinates: `i0`, `i1`, ... */
export const coordinate = (axis: number): string => `i${axis}`;

/** One element of a result of a `compute` operator, as an expression of `i0`, `i1`, ... and reads; wrapped to its element type. */
export function elementOf(op: ComputeOp, types: readonly TensorType[], results: readonly TensorType[], attrs: Attrs, result = 0): Scalar {
  let fresh = 0;
  const out = results[result]!;
  const i = out.shape.map((_, axis) => index(coordinate(axis)));
  const extentOf = (k: number, axis: number): Scalar => {
    const d: Dim = types[k]!.shape[axis]!;
    return typeof d === "number" ? i32(d) : { kind: "extent", type: "i32", operand: k, axis };
  };
  const read = (k: number, at: readonly Scalar[]): Scalar => {
    const t = types[k]!;
    if (at.length !== t.shape.length)
      throw new TypeError(`${op.name}: operand ${k} has rank ${t.shape.length}, read at ${at.length} coordinates`);
    return { kind: "read", type: DTYPES[t.dtype].compute, operand: k, at };
  };
  const c: Compute = {
    types,
    results,
    attrs,
    i,
    read,
    operand(k) {
      const shape = types[k]!.shape;
      return read(
        k,
        shape.map((d, axis) => (maxOf(d) === 1 && typeof d === "number" ? i32(0) : i[i.length - shape.length + axis]!)),
      );
    },
    extent: extentOf,
    reduce(reduceOp, extents, body) {
      const over = extents.map((e) => ({ name: `r${fresh++}`, extent: typeof e === "number" ? i32(e) : e }));
      const inner = body(over.map((axis) => index(axis.name)));
      const type: ScalarType = reduceOp.startsWith("arg") ? "i32" : inner.type;
      return { kind: "reduce", type, op: reduceOp, over, body: inner };
    },
  };
  const s = op.compute(c, result);
  const want = DTYPES[out.dtype].compute;
  if (s.type !== want) throw new TypeError(`${op.name}: computes ${s.type} for a result of ${out.dtype}`);
  return narrowTo(out.dtype, s, (k) => types[k]!.dtype);
}

export const zero = (type: ScalarType): Scalar => constant(type, 0);
