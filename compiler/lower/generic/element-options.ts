// What lowering an element is told: where values come from, which lanes count, how reductions and faults are taken.

import type { Node, Value } from "../../../ir/graph.ts";
import type { Expr } from "../../../ir/kernel/types.ts";
import type { OpSet } from "../../../ir/op.ts";
import type { ReduceOp } from "../../../ir/scalar/scalar.ts";
import type { ScalarType } from "../../../ir/scalar/types.ts";
import type { Tensor } from "../../../ir/tensor.ts";
import type { Storage } from "../storage.ts";

/** What a value of a region is: computed by one of its nodes, a number known now, or memory. */
export type Source =
  | { readonly kind: "node"; readonly node: Node }
  | { readonly kind: "number"; readonly tensor: Tensor }
  | { readonly kind: "memory"; readonly ptr: Expr; readonly storage: Storage }
  /** An accumulator that a template hands over: the element at the result's coordinates, and nowhere else. */
  | { readonly kind: "given"; readonly value: Expr };

/** A reduction over constant extents. */
export interface Reduction {
  readonly op: ReduceOp;
  /** Of what is reduced. */
  readonly type: ScalarType;
  readonly extents: readonly number[];
  /** What is reduced, at one place along each extent. */
  body(at: readonly Expr[]): Expr;
}

export interface ElementOptions {
  readonly ops: OpSet;
  readonly source: (v: Value) => Source;
  /** The variable that the four lanes count along, when four are wanted. */
  readonly lane?: string;
  /** Whether no value is NaN. */
  readonly tame?: boolean | undefined;
  /** Whether the target's compiler may fuse and reorder operations on floats. */
  readonly loose?: boolean | undefined;
  /** The `quantize` of moderate values whose bounds are left to what stores its result, if there is one. */
  readonly saturated?: Node | undefined;
  /** Registers a fault, gives its number. */
  readonly fault: (sentence: string) => number;
  /** Lowers a reduction another way than as loops, or leaves it. */
  readonly reduce?: (r: Reduction) => Expr | undefined;
  /** A shorter address for operands that lie just as the result does. */
  readonly sameAddress?: (
    storage: Storage,
    coords: readonly Expr[],
  ) => { readonly ptr: (base: Expr) => Expr; readonly offset: number } | undefined;
}
