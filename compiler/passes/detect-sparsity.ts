// Looks for zeros in every constant operand and gives it the layout whose kernel gains most from them on hosts; where only devices may gain, one
// that says which elements are zero.

import { type Graph, GraphBuilder, type Node, type Value } from "../../ir/graph.ts";
import { bitmap, firstAxisRows, lastAxisRows, layouts } from "../../ir/layouts/index.ts";
import { rebuild } from "../../ir/rewrite.ts";
import type { Tensor } from "../../ir/tensor.ts";
import { isStatic, maxShape, rank } from "../../ir/types.ts";
import { isFew } from "../lower/match-bytes.ts";
import { isPlain3x3 } from "../lower/templates/conv-spec.ts";
import { FUSED } from "../lower/templates/tiles.ts";
import { bestWinograd } from "../lower/templates/winograd-plan.ts";
import { definePass, type PassContext } from "../pass.ts";
import { isQuantized } from "../quantized.ts";
import { type Analysis, analyze } from "../sparsity/analyze.ts";
import { type Candidate, type Choice, choose, chooseForDevices } from "../sparsity/choose.ts";
import { chooseForBytes } from "../sparsity/choose-bytes.ts";
import { chooseForLists } from "../sparsity/choose-lists.ts";

/** Formats that lowering has sparse kernels for; n of m neighbours are as fast as single elements. */
const KERNELS: ReadonlySet<string> = new Set(layouts.map((l) => l.name).filter((name) => !name.startsWith("nm") && name !== bitmap.name));

/** Weights of an output channel from which on a convolution by groups is worth a list of taps. */
const LEAST_GROUPED_ROW = 64;

/** Sparse formats hold floats: from this share of zeros on they take less time, for all that they take more bytes than small integers. */
const WORTH_UNPACKING = 0.5;

const product = (dims: readonly number[]): number => dims.reduce((a, d) => a * d, 1);

/** Gain of a host's dense kernel of a convolution over the direct one, with fused operations: a layout is the same for all hosts. */
function fewerProducts(n: Node, exactSums: boolean): number {
  const { strides, dilations, group } = n.attrs as { strides: readonly number[]; dilations: readonly number[]; group: number };
  const [x, w, y] = [n.inputs[0]!, n.inputs[1]!, n.results[0]!].map((v) => maxShape(v.type)) as [number[], number[], number[]];
  if (x.length !== 4 || !isPlain3x3({ kernel: w.slice(2), strides, dilations })) return 1;
  const [batch, c, h, width] = x as [number, number, number, number];
  const [m, groupIn, kh, kw] = w as [number, number, number, number];
  const shape = { n: batch, c, h, w: width, m, ho: y[2]!, wo: y[3]!, kh, kw, groupIn, groupOut: m / group };
  return bestWinograd(shape, { ...FUSED, exactSums })?.gain ?? 1;
}

/** How operand `k` of a node is multiplied; a sentence where no sparse kernel multiplies it; undefined where zeros mean nothing. */
function candidate(n: Node, k: number, exactSums: boolean): Candidate | string | undefined {
  const shape = maxShape(n.inputs[k]!.type);
  const out = maxShape(n.results[0]!.type);
  const [from, to] = [n.inputs[0]!.type.dtype, n.results[0]!.type.dtype];
  const meets = from === "u8" && to === "i32" && (n.op !== "conv" || n.attrs.group === 1) ? "bytes" : "floats";
  const first = (columns: number, fewer = 1): Candidate => ({
    ...firstAxisRows(shape),
    taps: product(shape.slice(2)),
    by: "first",
    meets,
    product: { columns, fewer },
  });
  switch (n.op) {
    case "conv":
      if (k !== 1) return undefined;
      return n.attrs.group === 1 || product(shape.slice(1)) >= LEAST_GROUPED_ROW
        ? first(out[0]! * product(out.slice(2)), fewerProducts(n, exactSums))
        : "grouped convolutions with short rows have dense kernels only";
    case "conv_transpose":
      return k === 1 ? "transposed convolutions have dense kernels only" : undefined;
    case "gather":
      return k === 0 && rank(n.inputs[0]!.type) > 1 ? "its rows are looked up, not multiplied" : undefined;
    case "matmul": {
      if (shape.length < 2 || n.inputs.some((v) => rank(v.type) !== 2)) return "batched products have dense kernels only";
      return k === 0 ? first(out[1]!) : { ...lastAxisRows(shape), taps: 1, by: "last", meets, product: { columns: out[0]! } };
    }
    case "block_product":
      return k === 2 && n.inputs[2]!.type.dtype === "i8" ? { ...first(out[0]!), meets: "rows" } : undefined;
    default:
      return undefined;
  }
}

const nameOf = (v: Value | undefined, otherwise: string): string => v?.node.locs[0]?.name || otherwise;

interface Decision extends Choice {
  readonly whyOnDevices?: string;
  readonly analysis: Analysis;
}

function decide(t: Tensor, c: Candidate | string, { sparsity, targets }: PassContext): Decision {
  const by = typeof c === "string" ? "first" : c.by;
  const analysis = analyze(t, by === "first" ? firstAxisRows(t.shape) : lastAxisRows(t.shape), typeof c === "string" ? 1 : c.taps);
  const stays = (why: string): Decision => ({ format: "dense", why, whyOnDevices: why, predictedGain: 1, analysis });
  if (sparsity === "off") return stays("sparsity is off");
  if (typeof c === "string") return stays(c);
  const listed = c.meets === "rows" || (c.meets === "bytes" && c.by === "last" && isFew(c.product.columns));
  if (t.dtype === "i8" && listed && targets.costs) return { ...chooseForLists(t, analysis, c), analysis };
  if ((t.dtype === "i8" || t.dtype === "i16") && c.meets === "bytes" && targets.costs) return { ...chooseForBytes(t, c), analysis };
  if (t.dtype !== "f32") return stays(`there is no sparse kernel for ${t.dtype} here`);
  if (t.made && analysis.zeros < WORTH_UNPACKING) return stays("weights of few bits stay packed: too few of them are zero");
  const onHosts = targets.costs && choose(analysis, c, KERNELS, targets.costs);
  if (onHosts && onHosts.format !== "dense") return { ...onHosts, analysis };
  const onDevices = chooseForDevices(analysis, c, targets.devices);
  if (onDevices.format === "dense") return { ...(onHosts ?? onDevices), whyOnDevices: onDevices.why, analysis };
  return { ...onDevices, why: onHosts?.why ?? onDevices.why, analysis };
}

export const detectSparsity = definePass({
  name: "detect-sparsity",
  doc: "Finds the zeros of every constant operand and their pattern, and gives it a sparse layout where a target is predicted to gain.",
  exactness: "exact",
  invariant: "a constant operand has a layout exactly where some target's sparse kernel may beat the dense one; all are reported",
  run(g: Graph, ctx) {
    let changed = 0;
    const exactSums = isQuantized(g);
    const out = rebuild(g, new GraphBuilder(g.ops, g.weights), (n, inputs, b) => {
      const operands = inputs.map((v, k) => {
        const t = b.constantOf(v);
        const how = t && isStatic(n.results[0]!.type) ? candidate(n, k, exactSums) : undefined;
        if (!t || how === undefined) return v;
        const { format, why, whyOnDevices, predictedGain, analysis } = decide(t, how, ctx);
        const { zeros, pattern } = analysis;
        ctx.found({
          node: nameOf(n.results[0], n.op),
          op: n.op,
          tensor: nameOf(v, "constant"),
          shape: t.shape,
          zeros,
          pattern,
          format,
          why,
          ...(whyOnDevices === undefined ? {} : { whyOnDevices }),
          predictedGain,
        });
        if (format === "dense" || v.type.layout === format) return v;
        changed++;
        return b.constant(t, { layout: format, loc: v.node.locs });
      });
      return b.add(n.op, operands, n.attrs, n.locs).results;
    });
    return changed === 0 ? g : out;
  },
});
