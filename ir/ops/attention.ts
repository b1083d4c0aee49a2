// Attention and what surrounds it: masked scores, scaled dot-product attention, rotary embedding, linear attention.

import type { Loc } from "../diagnostics.ts";
import type { GraphBuilder, Value } from "../graph.ts";
import { type Attrs, defineOp } from "../op.ts";
import { i32 } from "../scalar/build.ts";
import { add, cast, div, eq, ge, le, literal, lt, mul, rem, select, sub } from "../scalar/element.ts";
import type { Scalar } from "../scalar/scalar.ts";
import { maxShape, tensor, typeToString } from "../types.ts";
import { composer } from "./compose.ts";
import { iterate } from "./iterate.ts";
import { FLOAT, intAttr, numberAttr, operandOf, sharedDType, stringAttr } from "./rules.ts";
import { extentsOf, staticShape } from "./static-shape.ts";

export const attentionMask = defineOp({
  name: "attention_mask",
  doc:
    "Scores [batch, heads, queries, keys] with -inf where a query may not see a key. `causal`: key j <= query i + `past`. `masked`: operand 1, broadcast, " +
    "is added, or, if bool, must hold; keys beyond its extent are hidden. `counted`: the last operand, i64[batch], is how many keys count; with `causal`, the " +
    "queries are the last of them.",
  operands: ["scores", "...limits"],
  elementwise: "first",
  infer(c) {
    const shape = staticShape(c, 0);
    const mask = c.attrs["masked"] ? c.types[1]! : undefined;
    if (shape.length !== 4) c.fail(`scores must be [batch, heads, queries, keys], got ${typeToString(c.types[0]!)}`);
    if (c.types.length !== 1 + Number(c.attrs["masked"]) + Number(c.attrs["counted"])) c.fail(`${c.types.length} operands`);
    if (mask) {
      const own = extentsOf(mask);
      const fits =
        own.length >= 2 &&
        own.length <= 4 &&
        own.every((d, a) => d === 1 || (a === own.length - 1 ? d <= shape[3]! : d === shape[4 - own.length + a]));
      if (!fits || (mask.dtype !== "bool" && mask.dtype !== c.types[0]!.dtype))
        c.fail(`the mask ${typeToString(mask)} does not fit scores ${typeToString(c.types[0]!)}`);
    }
    const counts = c.attrs["counted"] ? c.types.at(-1)! : undefined;
    if (counts && (counts.dtype !== "i64" || extentsOf(counts).join() !== String(shape[0])))
      c.fail(`the counts must be i64[${shape[0]}], got ${typeToString(counts)}`);
    return tensor(c.types[0]!.dtype, shape);
  },
  compute(c) {
    const [batch, , i, j] = c.i as [Scalar, Scalar, Scalar, Scalar];
    const score = c.read(0, c.i);
    const hidden = literal(score.type, Number.NEGATIVE_INFINITY);
    const hide = (visible: Scalar, x: Scalar): Scalar => select(visible, x, hidden);
    const queries = extentsOf(c.types[0]!)[2]!;
    let x = score;
    if (c.attrs["masked"]) {
      const own = extentsOf(c.types[1]!);
      const at = c.read(
        1,
        own.map((d, a) => (d === 1 ? i32(0) : c.i[4 - own.length + a]!)),
      );
      const applied = at.type === "bool" ? hide(at, x) : add(x, at);
      x = own.at(-1)! === 1 && extentsOf(c.types[0]!)[3] !== 1 ? applied : hide(lt(j, own.at(-1)!), applied);
    }
    const count = c.attrs["counted"] ? cast("i32", c.read(c.types.length - 1, [batch])) : undefined;
    if (count) x = hide(lt(j, count), x);
    if (c.attrs["causal"]) x = hide(le(j, add(i, count ? sub(count, queries) : (c.attrs["past"] as number))), x);
    return x;
  },
});

const SCORES = ["none", "product", "capped", "masked", "softmax"] as const;

export const attention = defineOp({
  name: "attention",
  doc:
    "softmax(mask(cap(q k' scale))) v with q [batch, heads, queries, size], k and v [batch, groups, keys, size]: heads / groups heads in a row share " +
    "a group. cap(x) = `softcap` tanh(x / softcap) unless 0; the limits are those of attention_mask, with its attributes. Where `scores` is not none, " +
    "the second result holds the scores as they are after that step. f16 is computed in f32.",
  operands: ["q", "k", "v", "...limits"],
  infer(c) {
    const [q, k, v] = [staticShape(c, 0), staticShape(c, 1), staticShape(c, 2)];
    const dtype = sharedDType(c, [0, 1, 2]);
    operandOf(c, 0, FLOAT);
    numberAttr(c, "scale");
    numberAttr(c, "softcap");
    const [batch, heads, queries, size] = q as [number, number, number, number];
    const fits =
      q.length === 4 &&
      k.length === 4 &&
      v.length === 4 &&
      k[0] === batch &&
      v[0] === batch &&
      k[1] === v[1] &&
      k[2] === v[2] &&
      k[3] === size;
    if (!fits || heads % k[1]! !== 0)
      c.fail(`q ${typeToString(c.types[0]!)}, k ${typeToString(c.types[1]!)}, v ${typeToString(c.types[2]!)}`);
    const y = tensor(dtype, [batch, heads, queries, v[3]!]);
    return stringAttr(c, "scores", SCORES) === "none" ? y : [y, tensor(dtype, [batch, heads, queries, k[2]!])];
  },
  compose(b: GraphBuilder, [query, key, value, ...limits]: readonly Value[], attrs: Attrs, loc: Loc | undefined) {
    const c = composer(b, loc);
    const { dtype } = query!.type;
    const wide = dtype === "f64" ? "f64" : "f32";
    const [q, k, v] = [query!, key!, value!].map((x) => c.cast(x, wide)) as [Value, Value, Value];
    const [batch, heads, queries, size] = maxShape(q.type) as [number, number, number, number];
    const [, groups, keys, depth] = maxShape(v.type) as [number, number, number, number];
    const grouped = c.reshape(c.op("mul", [q, attrs["scale"] as number]), [batch, groups, (heads / groups) * queries, size]);
    const product = c.reshape(c.op("matmul", [grouped, c.transpose(k, [0, 1, 3, 2])]), [batch, heads, queries, keys]);
    const cap = attrs["softcap"] as number;
    const capped = cap === 0 ? product : c.op("mul", [c.op("tanh", [c.op("div", [product, cap])]), cap]);
    const { causal, past, masked, counted } = attrs as Record<string, number | boolean>;
    const bias = limits.map((x) => (x.type.dtype === dtype ? c.cast(x, wide) : x));
    const limited =
      causal || masked || counted
        ? c.op("attention_mask", [capped, ...bias], { causal: causal!, past: past!, masked: masked!, counted: counted! })
        : capped;
    const softmax = c.op("softmax", [limited], { axis: 3 });
    const y = c.reshape(c.op("matmul", [c.reshape(softmax, [batch, groups, (heads / groups) * queries, keys]), v]), [
      batch,
      heads,
      queries,
      depth,
    ]);
    const scores = { none: undefined, product, capped, masked: limited, softmax }[attrs["scores"] as (typeof SCORES)[number]];
    return scores ? [c.cast(y, dtype), c.cast(scores, dtype)] : [c.cast(y, dtype)];
  },
});

export const rotaryEmbedding = defineOp({
  name: "rotary_embedding",
  doc:
    "Turns pairs of the first `size` elements of the last axis of x (rank 4) by the angles whose cosines and sines are given: neighbours where `interleaved`, " +
    "else elements half of `size` apart. cos and sin are [batch, positions, size / 2], or, with `positions` (i64[batch, positions]), tables [rows, size / 2]. " +
    "`sequence` is the axis of positions.",
  operands: ["x", "cos", "sin", "positions?"],
  infer(c) {
    const [x, cos] = [staticShape(c, 0), staticShape(c, 1)];
    const [size, sequence] = [intAttr(c, "size", 0), intAttr(c, "sequence", 1)];
    if (sequence > 2) c.fail(`axis ${sequence} is no sequence`);
    if (x.length !== 4 || size > x[3]! || size % 2 !== 0) c.fail(`${size} elements of ${typeToString(c.types[0]!)}`);
    sharedDType(c, [0, 1, 2]);
    const want = c.types[3] ? [cos[0]!, size / 2] : [x[0]!, x[sequence]!, size / 2];
    if (cos.join() !== want.join() || staticShape(c, 2).join() !== want.join())
      c.fail(`cosines ${typeToString(c.types[1]!)} and sines ${typeToString(c.types[2]!)}, expected [${want}]`);
    if (c.types[3] && (c.types[3].dtype !== "i64" || staticShape(c, 3).join() !== [x[0], x[sequence]].join()))
      c.fail(`positions ${typeToString(c.types[3])}`);
    return tensor(c.types[0]!.dtype, x);
  },
  compute(c) {
    const [size, sequence] = [c.attrs["size"] as number, c.attrs["sequence"] as number];
    const half = size / 2;
    const d = c.i[3]!;
    const [batch, position] = [c.i[0]!, c.i[sequence]!];
    const row = c.types[3] ? [cast("i32", c.read(3, [batch, position]))] : [batch, position];
    const interleaved = c.attrs["interleaved"] === true;
    const angle = interleaved ? div(d, 2) : rem(d, half);
    const first = interleaved ? eq(rem(d, 2), 0) : lt(d, half);
    const partner = select(first, add(d, interleaved ? 1 : half), sub(d, interleaved ? 1 : half));
    const x = c.read(0, c.i);
    const turned = mul(c.read(2, [...row, angle]), c.read(0, c.i.with(3, partner)));
    const straight = mul(c.read(1, [...row, angle]), x);
    return select(ge(d, size), x, select(first, sub(straight, turned), add(straight, turned)));
  },
});

export const linearAttention = defineOp({
  name: "linear_attention",
  doc:
    "A recurrence over steps t with a matrix S per group: S = exp(decay) S (`gated`); v = beta (v - k S) (`delta`); S = S + k' v; y = scale q S. " +
    "q [steps, batch, heads, size], k [steps, batch, groups, size], v [steps, batch, groups, depth], S [batch, groups, size, depth], " +
    "decay [steps, batch, groups, size or 1], beta [steps, batch, groups or 1, 1]. Results: y [steps, batch, heads, depth], the last S. All float, one type.",
  operands: ["q", "k", "v", "state", "...gates"],
  infer(c) {
    const [q, k, v, state] = [0, 1, 2, 3].map((n) => staticShape(c, n)) as [
      readonly number[],
      readonly number[],
      readonly number[],
      readonly number[],
    ];
    const dtype = sharedDType(c);
    if (c.types.length !== 4 + Number(c.attrs["gated"]) + Number(c.attrs["delta"])) c.fail(`${c.types.length - 4} gates`);
    const fits =
      [q, k, v, state].every((s) => s.length === 4) &&
      q[3] === k[3] &&
      q[2]! % k[2]! === 0 &&
      k[2] === v[2] &&
      state.join() === [q[1], k[2], q[3], v[3]].join();
    if (!fits)
      c.fail(
        `q ${typeToString(c.types[0]!)}, k ${typeToString(c.types[1]!)}, v ${typeToString(c.types[2]!)}, state ${typeToString(c.types[3]!)}`,
      );
    return [tensor(dtype, [...q.slice(0, 3), v[3]!]), tensor(dtype, state)];
  },
  compose(b: GraphBuilder, inputs: readonly Value[], attrs: Attrs, loc: Loc | undefined) {
    const [steps, batch, heads, size] = maxShape(inputs[0]!.type) as [number, number, number, number];
    const [, , groups, depth] = maxShape(inputs[2]!.type) as [number, number, number, number];
    const captured = inputs.filter((_, n) => n !== 3);
    const { state, scanned } = iterate(b, { trips: steps, state: [inputs[3]!], captured, loc }, (inner, t, [before], outer) => {
      const c = composer(inner, loc);
      const [q, k, v, ...gates] = outer.map((x) => c.op("gather", [x, t], { axis: 0 })) as [Value, Value, Value, ...Value[]];
      const decay = attrs["gated"] ? gates[0] : undefined;
      const beta = attrs["delta"] ? gates.at(-1) : undefined;
      const row = (x: Value, width: number): Value => c.reshape(x, [batch, maxShape(x.type)[1]!, 1, width]);
      const faded = decay ? c.op("mul", [before!, c.reshape(c.op("exp", [decay]), [batch, groups, maxShape(decay.type)[2]!, 1])]) : before!;
      const known = beta ? c.op("mul", [row(beta, 1), c.op("sub", [row(v, depth), c.op("matmul", [row(k, size), faded])])]) : row(v, depth);
      const next = c.op("add", [faded, c.op("mul", [c.reshape(k, [batch, groups, size, 1]), known])]);
      const read = c.op("matmul", [c.reshape(q, [batch, groups, heads / groups, size]), next]);
      return { state: [next], scanned: [c.op("mul", [c.reshape(read, [batch, heads, depth]), attrs["scale"] as number])] };
    });
    return [scanned[0]!, state[0]!];
  },
});

export const attentionOps = [attentionMask, attention, rotaryEmbedding, linearAttention] as const;
