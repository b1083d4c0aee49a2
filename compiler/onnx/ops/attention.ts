// ONNX's attention operators: Attention, RotaryEmbedding, LinearAttention, CausalConvWithState.

import type { Value } from "../../../ir/graph.ts";
import { type Composer, composer } from "../../../ir/ops/compose.ts";
import { tensorOf } from "../../../ir/tensor.ts";
import { shapeOf } from "../axis.ts";
import { defineOnnxOp, type ImportContext } from "../op.ts";

/** [batch, sequence, heads * size] as [batch, heads, sequence, size]; rank 4 as it is. */
function splitHeads(c: ImportContext, e: Composer, x: Value, heads: number): Value {
  const shape = shapeOf(c, x);
  if (shape.length === 4) return x;
  if (shape.length !== 3) return c.bad(`an operand of shape [${shape}], expected rank 3 or 4`);
  if (heads < 1 || shape[2]! % heads !== 0) return c.bad(`${shape[2]} elements in ${heads} heads`);
  return e.transpose(e.reshape(x, [shape[0]!, shape[1]!, heads, shape[2]! / heads]), [0, 2, 1, 3]);
}

/** After which step `qk_matmul_output` shows the scores. */
const SCORES = ["product", "capped", "masked", "softmax"] as const;

const attention = defineOnnxOp({
  name: "Attention",
  import(c) {
    const e = composer(c.b, c.loc);
    const packed = shapeOf(c, c.input(0)).length === 3;
    const q = splitHeads(c, e, c.input(0), c.int("q_num_heads", 0));
    const [newK, newV] = [1, 2].map((k) => splitHeads(c, e, c.input(k), c.int("kv_num_heads", 0))) as [Value, Value];
    const [pastK, pastV] = [c.inputs[4], c.inputs[5]];
    if ((pastK === undefined) !== (pastV === undefined)) c.bad("past_key and past_value must come together");
    const k = pastK ? e.concat([pastK, newK], 2) : newK;
    const v = pastV ? e.concat([pastV, newV], 2) : newV;
    const [batch, heads, queries, size] = shapeOf(c, q) as [number, number, number, number];
    const mode = c.int("qk_matmul_output_mode", 0);
    const [mask, counts] = [c.inputs[3], c.inputs[6]];
    const { results } = c.b.add(
      "attention",
      [q, k, v, ...(mask ? [mask] : []), ...(counts ? [counts] : [])],
      {
        scale: c.attribute("scale") ? c.float("scale") : 1 / Math.sqrt(size),
        softcap: c.float("softcap", 0),
        causal: c.int("is_causal", 0) !== 0,
        past: pastK ? shapeOf(c, pastK)[2]! : 0,
        masked: mask !== undefined,
        counted: counts !== undefined,
        scores: c.wants(3) ? (SCORES[mode] ?? c.bad(`qk_matmul_output_mode ${mode}`)) : "none",
      },
      c.loc,
    );
    const y = results[0]!;
    const rows = packed ? e.reshape(e.transpose(y, [0, 2, 1, 3]), [batch, queries, heads * shapeOf(c, v)[3]!]) : y;
    return [rows, c.wants(1) ? k : undefined, c.wants(2) ? v : undefined, results[1]];
  },
});

const rotaryEmbedding = defineOnnxOp({
  name: "RotaryEmbedding",
  import(c) {
    const e = composer(c.b, c.loc);
    const x = c.input(0);
    const shape = shapeOf(c, x);
    const heads = c.int("num_heads", 0);
    const packed = shape.length === 3;
    if (packed && (heads < 1 || shape[2]! % heads !== 0)) c.bad(`${shape[2]} elements in ${heads} heads`);
    const split = packed ? e.reshape(x, [shape[0]!, shape[1]!, heads, shape[2]! / heads]) : x;
    const size = c.int("rotary_embedding_dim", 0) || shapeOf(c, split).at(-1)!;
    const positions = c.inputs[3];
    const attrs = { size, interleaved: c.int("interleaved", 0) !== 0, sequence: packed ? 1 : 2 };
    return e.reshape(c.add("rotary_embedding", [split, c.input(1), c.input(2), ...(positions ? [positions] : [])], attrs), shape);
  },
});

const linearAttention = defineOnnxOp({
  name: "LinearAttention",
  import(c) {
    const e = composer(c.b, c.loc);
    const rule = c.string("update_rule", "gated_delta");
    if (!["linear", "gated", "delta", "gated_delta"].includes(rule)) c.bad(`update_rule '${rule}'`);
    const [gated, delta] = [rule.startsWith("gated"), rule.endsWith("delta")];
    if (c.inputs[6]) c.unsupported("an erase gate");
    if (gated !== (c.inputs[4] !== undefined) || delta !== (c.inputs[5] !== undefined))
      c.bad(`update_rule '${rule}' takes other gates than are given`);
    const { dtype } = c.input(0).type;
    const wide = dtype === "f64" ? "f64" : "f32";
    const [heads, groups] = [c.int("q_num_heads"), c.int("kv_num_heads")];
    if (heads < 1 || groups < 1 || heads % groups !== 0) c.bad(`${heads} query heads for ${groups} key and value heads`);
    const [batch, steps] = shapeOf(c, c.input(0)) as [number, number];
    /** [batch, steps, parts * size] as [steps, batch, parts, size]. */
    const split = (x: Value, parts: number): Value => {
      const width = shapeOf(c, x)[2]!;
      if (width % parts !== 0) c.bad(`${width} elements in ${parts} heads`);
      return e.transpose(e.reshape(e.cast(x, wide), [batch, steps, parts, width / parts]), [1, 0, 2, 3]);
    };
    const [q, k, v] = [split(c.input(0), heads), split(c.input(1), groups), split(c.input(2), groups)];
    const [size, depth] = [shapeOf(c, q)[3]!, shapeOf(c, v)[3]!];
    const past = c.inputs[3];
    const state = past ? e.cast(past, wide) : e.fill(wide, [batch, groups, size, depth], 0);
    const gates = [...(gated ? [split(c.input(4), groups)] : []), ...(delta ? [split(c.input(5), shapeOf(c, c.input(5))[2]!)] : [])];
    const scale = c.float("scale", 0) || 1 / Math.sqrt(size);
    const { results } = c.b.add("linear_attention", [q, k, v, state, ...gates], { gated, delta, scale }, c.loc);
    const y = e.reshape(e.transpose(results[0]!, [1, 0, 2, 3]), [batch, steps, heads * depth]);
    return [e.cast(y, dtype), e.cast(results[1]!, past ? past.type.dtype : dtype)];
  },
});

const causalConvWithState = defineOnnxOp({
  name: "CausalConvWithState",
  import(c) {
    const e = composer(c.b, c.loc);
    const [x, w] = [c.input(0), c.input(1)];
    const [batch, channels, length] = shapeOf(c, x) as [number, number, number];
    const taps = shapeOf(c, w)[2] ?? c.bad("the weights must be [channels, 1, taps]");
    const activation = c.string("activation", "none");
    const past = c.inputs[3] ?? e.fill(x.type.dtype, [batch, channels, taps - 1], 0);
    const padded = taps === 1 ? x : e.concat([past, x], 2);
    const bias = c.inputs[2];
    const y = c.add("conv", [padded, w, ...(bias ? [bias] : [])], { strides: [1], pads: [0, 0], dilations: [1], group: channels });
    if (activation !== "none" && activation !== "silu" && activation !== "swish") c.bad(`activation '${activation}'`);
    const present = taps === 1 ? c.constant(tensorOf(x.type.dtype, [batch, channels, 0], [])) : e.part(padded, 2, length, taps - 1);
    return [activation === "none" ? y : e.op("silu", [y]), present];
  },
});

export const attentionTable = [attention, rotaryEmbedding, linearAttention, causalConvWithState] as const;
