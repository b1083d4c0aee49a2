// What the matrix product templates are asked for, and how results of any rank are seen as rows and columns.

import { binary, i32 } from "../../../ir/kernel/build.ts";
import type { Expr } from "../../../ir/kernel/types.ts";
import type { Capabilities } from "../../backend.ts";
import type { Storage } from "../storage.ts";
import type { Epilogue } from "../template.ts";

/** Products with a constant: operand 0 is the activation, result 0 the product; both f32. */
export interface ConstantMatmulSpec {
  /** Name of the entry function, and prefix of those it calls. */
  readonly name: string;
  /** `right`: activation [..., T, K] x weights [K, M] = [..., T, M]. `left`: weights [M, K] x activation [..., K, T] = [..., M, T]. */
  readonly side: "left" | "right";
  readonly input: Storage;
  readonly output: Storage;
  /** [M, K] row-major for either side: a row of weights for each of the M output features. */
  readonly weights: Float32Array;
  /** Rows and columns (of [M, K]) of the blocks in which zeros lie. Default single elements. */
  readonly block?: readonly [rows: number, columns: number];
  /** One number an output feature, the first summand of its sums. */
  readonly bias?: Float32Array;
  readonly epilogue: Epilogue;
  readonly target: Capabilities;
}

/** Products of two activations, operands 0 and 1: [..., M, K] x [..., K, N] = [..., M, N], f32, leading axes broadcast. */
export interface MatmulSpec {
  readonly name: string;
  readonly a: Storage;
  readonly b: Storage;
  readonly output: Storage;
  readonly epilogue: Epilogue;
  readonly target: Capabilities;
}

/** Leading axes of a storage as one: their common distance in bytes, or undefined where they have none. */
export function collapse(storage: Storage, axes: number): { readonly extent: number; readonly stride: number } | undefined {
  let [extent, stride] = [1, 0];
  for (let axis = axes - 1; axis >= 0; axis--) {
    const n = storage.shape[axis]!;
    if (n === 1) continue;
    if (extent === 1) stride = storage.strides[axis]!;
    else if (storage.strides[axis] !== extent * stride) return undefined;
    extent *= n;
  }
  return { extent, stride };
}

/** Coordinates along the leading axes of `shape` from their row-major number. */
export function unravel(index: Expr, shape: readonly number[]): Expr[] {
  let rest = 1;
  const found: Expr[] = [];
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    const n = shape[axis]!;
    const whole = binary("div", index, i32(rest));
    // The outermost axis longer than 1 needs no remainder.
    const outer = shape.slice(0, axis).every((d) => d === 1);
    found.unshift(n === 1 ? i32(0) : outer ? whole : binary("rem", whole, i32(n)));
    rest *= n;
  }
  return found;
}

/**
 * An epilogue of a result seen with other axes: `view` gives the result's coordinates from those of the site, whose lanes run along its last
 * axis, and along `axis` of the result.
 */
export const viewed = (epilogue: Epilogue, axis: number, view: (coords: readonly Expr[]) => readonly Expr[]): Epilogue => ({
  ...epilogue,
  apply: (acc, site, keep) => epilogue.apply(acc, { ...site, coords: view(site.coords), axis }, keep),
});
