// Tensor-level scalars: one element of a result as an expression of coordinates and operands' elements. The one place where maths is said.

import type { Binary, Bitcast, Cast, Compare, Const, ScalarType, Select, Unary, Wrap } from "./types.ts";

/**
 * `sum`, `prod`, `min`, `max`, `and`, `or` combine; the `arg` forms give the row-major position (i32) of the first (or last)
 * smallest or largest element. Sums of floats accumulate in f64 in the reference. Over nothing: 0, 1, +inf, -inf, true, false; position 0.
 */
export type ReduceOp = "sum" | "prod" | "min" | "max" | "and" | "or" | "argmin" | "argmax" | "argmin_last" | "argmax_last";

export interface ReduceAxis {
  readonly name: string;
  /** i32; may depend on outer coordinates. */
  readonly extent: Scalar;
}

export type Scalar =
  | Const
  | Unary<Scalar>
  | Binary<Scalar>
  | Compare<Scalar>
  /** Lazy: only the chosen side is read. */
  | Select<Scalar>
  | Cast<Scalar>
  | Bitcast<Scalar>
  | Wrap<Scalar>
  /** A coordinate, i32: of the result (`i0`, `i1`, ...) or of an enclosing reduction. */
  | { readonly kind: "index"; readonly type: "i32"; readonly name: string }
  /** Operand `operand` at the coordinates `at` (i32, one per axis), in the compute type of its elements. Outside its shape: a fault. */
  | { readonly kind: "read"; readonly type: ScalarType; readonly operand: number; readonly at: readonly Scalar[] }
  /** The true extent, i32, of a bounded axis. */
  | { readonly kind: "extent"; readonly type: "i32"; readonly operand: number; readonly axis: number }
  | {
      readonly kind: "reduce";
      readonly type: ScalarType;
      readonly op: ReduceOp;
      readonly over: readonly ReduceAxis[];
      readonly body: Scalar;
    };

/** The direct sub-expressions. */
export function children(s: Scalar): readonly Scalar[] {
  switch (s.kind) {
    case "const":
    case "index":
    case "extent":
      return [];
    case "unary":
    case "cast":
    case "bitcast":
    case "wrap":
      return [s.a];
    case "binary":
    case "compare":
      return [s.a, s.b];
    case "select":
      return [s.cond, s.a, s.b];
    case "read":
      return s.at;
    case "reduce":
      return [...s.over.map((axis) => axis.extent), s.body];
  }
}

/** Rebuilds with `f` applied to the direct sub-expressions. */
export function mapChildren(s: Scalar, f: (child: Scalar) => Scalar): Scalar {
  switch (s.kind) {
    case "const":
    case "index":
    case "extent":
      return s;
    case "unary":
    case "cast":
    case "bitcast":
    case "wrap":
      return { ...s, a: f(s.a) };
    case "binary":
    case "compare":
      return { ...s, a: f(s.a), b: f(s.b) };
    case "select":
      return { ...s, cond: f(s.cond), a: f(s.a), b: f(s.b) };
    case "read":
      return { ...s, at: s.at.map(f) };
    case "reduce":
      return { ...s, over: s.over.map((axis) => ({ ...axis, extent: f(axis.extent) })), body: f(s.body) };
  }
}

export const some = (s: Scalar, test: (s: Scalar) => boolean): boolean => test(s) || children(s).some((c) => some(c, test));
/** Whether a value hangs on data, rather than on coordinates alone. */
export const readsData = (s: Scalar): boolean => some(s, (e) => e.kind === "read" || e.kind === "extent");
