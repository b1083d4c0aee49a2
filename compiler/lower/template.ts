// What a lowering gives: kernel functions, and what each parameter of their entry is bound to.

import type { Expr, Func, PointerParam, Stmt } from "../../ir/kernel/types.ts";

/** Constant data of a kernel, packed for it; becomes a section of the weight image (see runtime/artifact.ts). */
export type Packed =
  | { readonly kind: "bytes"; readonly bytes: Uint8Array }
  /** Signed bytes, `plus` added to each (default 0), as i16 or f32. */
  | { readonly kind: "widened"; readonly values: Int8Array; readonly plus?: number; readonly to: "i16" | "f32" }
  /** Runs of rows of an f32 matrix `values` of `columns` columns, cut for register tiles (see `panels` there). */
  | { readonly kind: "panels"; readonly values: Float32Array; readonly columns: number; readonly runs: readonly PanelRun[] }
  /** 3x3 kernels [rows, columns, 3, 3] in runs, transformed for Winograd tiles (see `winograd` there). */
  | {
      readonly kind: "winograd";
      readonly values: Float32Array;
      readonly tile: 2 | 4;
      readonly columns: number;
      readonly runs: readonly Omit<PanelRun, "block">[];
    }
  /** Column numbers below `bound`; the loader writes sum of digit x stride over their mixed-radix digits (outermost first). */
  | {
      readonly kind: "indices";
      readonly columns: Uint8Array | Uint16Array | Uint32Array;
      readonly expanded: "u16" | "u32";
      readonly bound: number;
      readonly radix: readonly (readonly [extent: number, stride: number])[];
    }
  /** Row lengths whose sum is `total`. */
  | { readonly kind: "counts"; readonly counts: Uint16Array | Uint32Array; readonly expanded: "u16" | "u32"; readonly total: number };

/** Rows `first` to `first + rows`, `group` at a time, in blocks of `block` columns. */
export interface PanelRun {
  readonly first: number;
  readonly rows: number;
  readonly group: number;
  readonly block: number;
}

/** Bytes that packed constants take in the weight image. */
export function packedBytes(p: Packed): number {
  switch (p.kind) {
    case "bytes":
      return p.bytes.length;
    case "widened":
      return p.values.length * (p.to === "i16" ? 2 : 4);
    case "panels":
      return p.runs.reduce((sum, r) => sum + 4 * r.rows * p.columns, 0);
    case "winograd":
      return p.runs.reduce((sum, r) => sum + 4 * (p.tile + 2) ** 2 * r.rows * p.columns, 0);
    case "indices":
      return p.columns.length * (p.expanded === "u16" ? 2 : 4);
    case "counts":
      return p.counts.length * (p.expanded === "u16" ? 2 : 4);
  }
}

/** What a pointer parameter of a kernel's entry is bound to. Pointers point at the buffer's start, not at element 0. */
export type Binding =
  | { readonly kind: "operand"; readonly operand: number }
  | { readonly kind: "result"; readonly result: number }
  | { readonly kind: "packed"; readonly packed: Packed }
  /** Memory for the kernel alone, garbage before and after; `each` thread of a team has its own, or all have the same. */
  | { readonly kind: "scratch"; readonly bytes: number; readonly each?: boolean };

export interface Lowered {
  /** The lowering's name, e.g. `conv_f32_csr`. */
  readonly kernel: string;
  readonly functions: readonly Func[];
  readonly entry: string;
  /** One per parameter of the entry, in order. */
  readonly bindings: readonly Binding[];
  readonly faults: readonly string[];
  /** Operands whose every element is read just before the result's element in the same place is written: the result may take their bytes. */
  readonly overwrites?: readonly number[];
  /** It brings a value from one layout to another, and computes nothing. */
  readonly moves?: true;
  /** Whether it stores zeros behind the rows of a padded result, up to the next row. */
  readonly zeroes?: boolean;
  /** How much faster than by all its products it is predicted to be, where it takes fewer. Default 1. */
  readonly fewer?: number;
  /** For `explain`: why this kernel, which format. */
  readonly why: string;
  readonly format?: string;
}

/** Where a value is about to be stored: `lanes` elements along an axis, which is contiguous, from `coords` on. */
export interface Site {
  /** One i32 per axis of the result. */
  readonly coords: readonly Expr[];
  /** Bytes from the result buffer's start, as a variable part and a constant. */
  readonly offset: Expr;
  readonly displacement: number;
  readonly lanes: 1 | 4;
  /** The axis of the lanes; default the last. */
  readonly axis?: number | undefined;
}

/** Where an epilogue may put statements of its own: after `keep`, with new names that begin like `hint`. */
export interface EpilogueScope {
  emit(s: Stmt): void;
  name(hint: string): string;
}

/** What happens to an accumulator on its way to memory: bias, activation, residual, rounding. */
export interface Epilogue {
  /** Pointers to further operands, appended to the kernel's parameters, with their bindings. */
  readonly params: readonly PointerParam[];
  readonly bindings: readonly Binding[];
  /** Whether it needs registers and time enough that accumulators had better be stored before. */
  readonly heavy: boolean;
  /** Whether its values may be beyond the result's type, to which stores must bring them. */
  readonly saturated: boolean;
  /** Whether all that it takes of an anchor of integers is the floats that they are: it may be given those. */
  readonly wholes: boolean;
  /**
   * The value to store (f32 or f32x4, as the accumulator). `keep` makes a variable of an expression that is used more than once; where there
   * is a `scope`, of every one, and what chooses between reads of memory can be applied, too.
   */
  apply(acc: Expr, site: Site, keep: (value: Expr) => Expr, scope?: EpilogueScope): Expr;
}

export const noEpilogue: Epilogue = { params: [], bindings: [], heavy: false, saturated: false, wholes: false, apply: (acc) => acc };
