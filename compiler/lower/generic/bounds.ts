// How far from zero the values of a unit can be, where they follow from integers by constants.

import { DTYPES } from "../../../ir/dtype.ts";
import type { Value } from "../../../ir/graph.ts";
import type { Tensor } from "../../../ir/tensor.ts";

/** The largest magnitude of a constant's elements. */
function magnitudeOf(t: Tensor): number {
  let most = 0;
  for (const x of t.data) most = Math.max(most, Math.abs(Number(x)));
  return most;
}

/**
 * A bound of the magnitude of `v`, rounding apart; undefined where none is known. `known` gives those of values that are not followed.
 */
export function boundOf(
  v: Value,
  known: (v: Value) => number | undefined,
  constantOf: (v: Value) => Tensor | undefined,
): number | undefined {
  const given = known(v);
  if (given !== undefined) return given;
  const t = constantOf(v);
  if (t) return magnitudeOf(t);
  const of = (x: Value | undefined): number | undefined => x && boundOf(x, known, constantOf);
  const both = (f: (a: number, b: number) => number): number | undefined => {
    const [a, b] = v.node.inputs.map(of);
    return a === undefined || b === undefined ? undefined : f(a, b);
  };
  switch (v.node.op) {
    case "cast":
      // Narrower integers wrap.
      return v.type.dtype === "f32" || v.type.dtype === "i32" ? of(v.node.inputs[0]) : undefined;
    case "relu":
    case "reshape":
      return of(v.node.inputs[0]);
    case "mul":
      return both((a, b) => a * b);
    case "add":
    case "sub":
      return both((a, b) => a + b);
    case "min":
    case "max":
      return both(Math.max);
    case "dequantize": {
      const [x, scale] = v.node.inputs as [Value, Value];
      const { min, max } = DTYPES[x.type.dtype];
      const steps = Number(max) - Number(min);
      const size = of(scale);
      return size === undefined ? undefined : steps * size;
    }
    default:
      return undefined;
  }
}
