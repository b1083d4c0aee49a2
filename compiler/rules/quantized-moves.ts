// What only moves elements, or picks the largest, does so with the integers as well as with what they stand for.

import type { GraphBuilder, Value } from "../../ir/graph.ts";
import { any, as, op, type Rule, rule } from "../../ir/rewrite.ts";
import { elementCount, transposed } from "../../ir/tensor.ts";
import { isStatic, rank, sameType } from "../../ir/types.ts";
import { reshaped, splatOf } from "./constants.ts";
import { shifted, shiftedZero, stepsOf } from "./integers.ts";

const perTensor = (q: Value): boolean => rank(q.node.inputs[1]!.type) === 0;

/** dequantize of `integers` with the scale and zero point of `like`. */
const dequantized = (b: GraphBuilder, integers: Value, like: Value, attrs = like.node.attrs): Value =>
  b.value("dequantize", [integers, ...like.node.inputs.slice(1)], attrs, like.node.locs);

const sameSteps = (a: Value, c: Value): boolean =>
  a.node.inputs.length === c.node.inputs.length && a.node.inputs.slice(1).every((v, k) => v === c.node.inputs[k + 1]);

/** Signed activations become unsigned ones, 128 larger: then every product has the operand types that targets are fastest with. */
const signs: readonly Rule[] = [
  rule("quantize to i8 -> quantize to u8, less 128", op("quantize"), (_, b, root) => {
    const [x, scale, zero] = root.node.inputs as [Value, Value, Value?];
    const own = shiftedZero(b, zero);
    if (root.type.dtype !== "i8" || x.node.op === "const" || !own || rank(scale.type) !== 0) return undefined;
    return shifted(b, b.value("quantize", [x, scale, own], { ...root.node.attrs, to: "u8" }, root.node.locs));
  }),
  rule("dequantize of u8 less 128 -> dequantize of u8", op("dequantize"), (_, b, root) => {
    const [x, scale, zero] = root.node.inputs as [Value, Value, Value?];
    const source = x.node.op === "bitcast" && x.type.dtype === "i8" ? x.node.inputs[0]! : undefined;
    const own = shiftedZero(b, zero);
    if (source?.type.dtype !== "u8" || !own || rank(scale.type) !== 0) return undefined;
    const bytes = source.node.op === "xor" && splatOf(b, source.node.inputs[1]!) === 128 ? source.node.inputs[0]! : undefined;
    return bytes && b.value("dequantize", [bytes, scale, own], root.node.attrs, root.node.locs);
  }),
  rule("bitcast(bitcast(x)) back -> x", op("bitcast", op("bitcast", any("x"))), ({ x }, _, root) =>
    sameType(x.type, root.type) ? x : undefined,
  ),
  rule("xor(xor(x, c), c) -> x", op("xor", op("xor", any("x"), any("c")), any("c")), ({ x }, _, root) =>
    sameType(x.type, root.type) ? x : undefined,
  ),
];

export const quantizedMoves: readonly Rule[] = [
  ...signs,
  rule("quantize(dequantize(x)) with the same steps -> x", op("quantize", as("q", op("dequantize")), any("s")), ({ q }, _, root) =>
    undo(q, root),
  ),
  rule(
    "quantize(dequantize(x)) with the same steps and zero point -> x",
    op("quantize", as("q", op("dequantize")), any("s"), any("z")),
    ({ q }, _, root) => undo(q, root),
  ),
  rule("transpose(dequantize(x)) -> dequantize(transpose(x))", op("transpose", as("q", op("dequantize"))), ({ q }, b, root) => {
    const perm = root.node.attrs.perm as readonly number[];
    if (q.node.attrs.block !== 0) return undefined;
    const x = q.node.inputs[0]!;
    const known = b.constantOf(x);
    const moved = known
      ? b.constant(transposed(known, perm), { loc: x.node.locs })
      : b.value("transpose", [x], root.node.attrs, root.node.locs);
    return dequantized(b, moved, q, perTensor(q) ? q.node.attrs : { ...q.node.attrs, axis: perm.indexOf(q.node.attrs.axis as number) });
  }),
  rule(
    "view, slice or largest of dequantize(x) -> dequantize of it of x",
    op(["reshape", "slice", "expand", "tile", "pool"], as("q", op("dequantize"))),
    ({ q }, b, root) => {
      // Positive steps keep the order; the largest over padding alone is none of them.
      const largest = root.node.op !== "pool" || (root.node.attrs.op === "max" && isPositive(b, q));
      if (!perTensor(q) || !largest) return undefined;
      const x = q.node.inputs[0]!;
      const moved =
        root.node.op === "reshape" && isStatic(root.type)
          ? reshaped(b, x, root.type.shape as readonly number[])
          : b.value(root.node.op, [x], root.node.attrs, root.node.locs);
      return dequantized(b, moved, q);
    },
  ),
  rule("view of dequantize(x) by axis -> dequantize of the view", op("reshape", as("q", op("dequantize"))), ({ q }, b, root) => {
    const x = q.node.inputs[0]!;
    if (perTensor(q) || q.node.attrs.block !== 0 || !isStatic(root.type) || !isStatic(x.type)) return undefined;
    const [from, to] = [x.type.shape, root.type.shape] as readonly (readonly number[])[];
    const axis = q.node.attrs.axis as number;
    const before = elementCount(from!.slice(0, axis));
    const own = to!.findIndex((d, k) => d === from![axis] && elementCount(to!.slice(0, k)) === before);
    if (own < 0) return undefined;
    return dequantized(b, reshaped(b, x, to!), q, { ...q.node.attrs, axis: own });
  }),
  rule("view of (integers less a zero point) -> the view's, less it", op("reshape", any("x")), ({ x }, b, root) => {
    const s = x.type.dtype === "i32" && isStatic(root.type) ? stepsOf(x) : undefined;
    if (!s || s.integers.node.op === "const") return undefined;
    const { locs } = root.node;
    const moved = b.value("cast", [reshaped(b, s.integers, root.type.shape as readonly number[])], { to: "i32" }, locs);
    return s.zero ? b.value("sub", [moved, reshaped(b, s.zero, [])], {}, locs) : moved;
  }),
  rule("concat of dequantize with the same steps -> dequantize of the concat", op("concat"), (_, b, root) => {
    const [first, ...rest] = root.node.inputs;
    if (first?.node.op !== "dequantize" || !perTensor(first) || !rest.every((v) => v.node.op === "dequantize" && sameSteps(v, first)))
      return undefined;
    const integers = root.node.inputs.map((v) => v.node.inputs[0]!);
    return dequantized(b, b.value("concat", integers, root.node.attrs, root.node.locs), first);
  }),
];

const isPositive = (b: GraphBuilder, q: Value): boolean => (splatOf(b, q.node.inputs[1]!) ?? -1) > 0;

/** Whole steps less than 2^16 survive the rounding of their product and quotient by a normal scale. */
function undo(q: Value, root: Value): Value | undefined {
  const x = q.node.inputs[0]!;
  const same = sameSteps(q, root) && q.node.attrs.axis === root.node.attrs.axis && q.node.attrs.block === root.node.attrs.block;
  return same && x.type.dtype === root.node.attrs.to && x.type.dtype !== "i32" ? x : undefined;
}
