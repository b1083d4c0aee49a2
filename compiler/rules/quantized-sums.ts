// Sums and averages of dequantized values are sums of the integers, exact in any order, and one scale.

import type { GraphBuilder, Value } from "../../ir/graph.ts";
import { as, op, type Rule, rule } from "../../ir/rewrite.ts";
import { isStatic, rank } from "../../ir/types.ts";
import { splatOf } from "./constants.ts";
import { isNarrow } from "./integers.ts";

/** Elements that the sum of bytes may have. */
const MOST = 2 ** 23;

/** The sum of `q` = dequantize(integers), one scale for all, over axes that stay with extent 1 or go, over `by`. Undefined where it is none. */
function summed(b: GraphBuilder, q: Value, axes: readonly number[], keepdims: boolean, by: number, root: Value): Value | undefined {
  const [x, scale, zero] = q.node.inputs as [Value, Value, Value?];
  const [s, z] = [splatOf(b, scale), zero ? splatOf(b, zero) : 0];
  const known = rank(scale.type) === 0 && scale.type.dtype === "f32" && s !== undefined && z !== undefined;
  if (!known || !isStatic(x.type) || !isNarrow(x.type.dtype) || x.node.op === "const") return undefined;
  const count = axes.reduce((n, axis) => n * (x.type.shape[axis] as number), 1);
  if (count === 0 || count > MOST) return undefined;
  const { locs } = root.node;
  const number = (dtype: "i32" | "f32", value: number): Value =>
    b.constant({ dtype, shape: [], data: dtype === "i32" ? Int32Array.of(value) : Float32Array.of(value) });
  const whole = b.value("reduce", [b.value("cast", [x], { to: "i32" }, locs)], { op: "sum", axes, keepdims }, locs);
  const steps = z === 0 ? whole : b.value("sub", [whole, number("i32", count * z)], {}, locs);
  return b.value("mul", [b.value("cast", [steps], { to: "f32" }, locs), number("f32", s / by)], {}, locs);
}

export const quantizedSums: readonly Rule[] = [
  rule("average over all of dequantize(x) -> sum of x, then one scale", op("pool", as("q", op("dequantize"))), ({ q }, b, root) => {
    const { op: kind, kernel, pads } = root.node.attrs as { op: string; kernel: readonly number[]; pads: readonly number[] };
    const extents = q.type.shape.slice(2);
    const alone = isStatic(root.type) && root.type.shape.slice(2).every((d) => d === 1);
    if (kind !== "avg" || !alone || kernel.some((k, axis) => k !== extents[axis]) || pads.some((p) => p !== 0)) return undefined;
    const axes = kernel.map((_, axis) => axis + 2);
    return summed(
      b,
      q,
      axes,
      true,
      kernel.reduce((n, k) => n * k, 1),
      root,
    );
  }),
  rule("sum of dequantize(x) -> sum of x, then one scale", op("reduce", as("q", op("dequantize"))), ({ q }, b, root) => {
    const { op: kind, axes, keepdims } = root.node.attrs as { op: string; axes: readonly number[]; keepdims: boolean };
    return kind === "sum" && isStatic(root.type) ? summed(b, q, axes, keepdims, 1, root) : undefined;
  }),
];
