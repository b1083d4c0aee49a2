// ONNX's Einsum: parsed to labels, and to a matrix product where it is one.

import type { Value } from "../../../ir/graph.ts";
import { type Composer, composer } from "../../../ir/ops/compose.ts";
import { elementCount } from "../../../ir/tensor.ts";
import { shapeOf } from "../axis.ts";
import { defineOnnxOp, type ImportContext } from "../op.ts";

interface Equation {
  readonly inputs: readonly string[];
  readonly output: string;
}

/** Stand for the axes of an ellipsis, last first; no equation can write them. */
const ELLIPSIS = "0123456789+*#@%&";

function parse(c: ImportContext, ranks: readonly number[]): Equation {
  const [left, right, ...more] = c.string("equation").replaceAll(" ", "").split("->") as [string, string?, ...string[]];
  const terms = left.split(",");
  const bad = (): never => c.bad(`equation '${c.string("equation")}' for ${ranks.length} operands of ranks ${ranks.join(", ")}`);
  if (more.length > 0 || terms.length !== ranks.length) bad();
  let widest = 0;
  const expand = (term: string, axes: number): string => {
    if (!/^[A-Za-z]*(\.\.\.)?[A-Za-z]*$/.test(term) || axes < 0 || axes > ELLIPSIS.length) bad();
    return term.replace("...", [...ELLIPSIS.slice(0, axes)].reverse().join(""));
  };
  const inputs = terms.map((term, k) => {
    const spread = term.includes("...");
    const axes = ranks[k]! - (term.length - (spread ? 3 : 0));
    if (!spread && axes !== 0) bad();
    if (spread) widest = Math.max(widest, axes);
    return expand(term, spread ? axes : 0);
  });
  if (right !== undefined) return { inputs, output: expand(right, right.includes("...") ? widest : 0) };
  // Without an output: the ellipsis, then every label that occurs once, in order.
  const all = inputs.join("");
  const once = [...new Set(all)].filter((label) => !ELLIPSIS.includes(label) && all.indexOf(label) === all.lastIndexOf(label)).sort();
  return { inputs, output: expand("...", widest) + once.join("") };
}

/** Two operands whose labels each have one role: batch, row, column or summed. Their product is a matmul; undefined where they are not such. */
function asMatmul(
  e: Composer,
  [a, b]: readonly Value[],
  shapes: readonly (readonly number[])[],
  { inputs, output }: Equation,
): Value | undefined {
  const [left, right] = inputs as readonly [string, string];
  const extents = new Map<string, number>();
  for (const [k, labels] of inputs.entries()) {
    if (new Set(labels).size !== labels.length) return undefined;
    for (const [axis, label] of [...labels].entries()) {
      const d = shapes[k]![axis]!;
      if ((extents.get(label) ?? d) !== d) return undefined;
      extents.set(label, d);
    }
  }
  const pick = (from: string, other: boolean, out: boolean): string[] =>
    [...from].filter((l) => (from === left ? right : left).includes(l) === other && output.includes(l) === out);
  const [batch, summed] = [pick(left, true, true), pick(left, true, false)];
  const [rows, columns] = [pick(left, false, true), pick(right, false, true)];
  // A label that only one operand has and that is summed: left to the general form, as is a product without a sum.
  if (
    summed.length === 0 ||
    batch.length + rows.length + summed.length !== left.length ||
    batch.length + columns.length + summed.length !== right.length
  )
    return undefined;
  const size = (labels: readonly string[]): number => elementCount(labels.map((l) => extents.get(l)!));
  const arrange = (v: Value, labels: string, groups: readonly (readonly string[])[]): Value =>
    e.reshape(
      e.transpose(
        v,
        groups.flat().map((l) => labels.indexOf(l)),
      ),
      groups.map(size),
    );
  const product = e.op("matmul", [arrange(a!, left, [batch, rows, summed]), arrange(b!, right, [batch, summed, columns])]);
  const order = [...batch, ...rows, ...columns];
  return e.transpose(
    e.reshape(
      product,
      order.map((l) => extents.get(l)!),
    ),
    [...output].map((l) => order.indexOf(l)),
  );
}

const einsum = defineOnnxOp({
  name: "Einsum",
  import(c) {
    const e = composer(c.b, c.loc);
    const operands = c.inputs.map((_, k) => c.input(k));
    const shapes = operands.map((v) => shapeOf(c, v));
    const equation = parse(
      c,
      shapes.map((s) => s.length),
    );
    const product = operands.length === 2 ? asMatmul(e, operands, shapes, equation) : undefined;
    return product ?? c.add("einsum", operands, { inputs: equation.inputs, output: equation.output });
  },
});

export const einsumTable = [einsum] as const;
