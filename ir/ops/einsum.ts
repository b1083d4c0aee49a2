// Einstein summation over any number of operands, by labels.

import { defineOp } from "../op.ts";
import { i32 } from "../scalar/build.ts";
import { product } from "../scalar/element.ts";
import type { Scalar } from "../scalar/scalar.ts";
import { tensor, typeToString } from "../types.ts";
import { staticShape } from "./static-shape.ts";

/** Extent of each label; an extent of 1 broadcasts. */
function extents(
  inputs: readonly string[],
  shapes: readonly (readonly number[])[],
  fail: (why: string) => never,
): ReadonlyMap<string, number> {
  const found = new Map<string, number>();
  inputs.forEach((labels, k) => {
    if (labels.length !== shapes[k]!.length) fail(`operand ${k} has ${shapes[k]!.length} axes and the labels '${labels}'`);
    [...labels].forEach((label, axis) => {
      const [known, d] = [found.get(label) ?? 1, shapes[k]![axis]!];
      if (known !== 1 && d !== 1 && known !== d) fail(`label '${label}' has the extents ${known} and ${d}`);
      found.set(label, known === 1 ? d : known);
    });
  });
  return found;
}

export const einsum = defineOp({
  name: "einsum",
  doc:
    "Sums the product of the operands over every label that `output` lacks. `inputs` holds one string of labels per operand, " +
    "one character to an axis; a label that repeats within an operand takes its diagonal.",
  operands: ["...xs"],
  infer(c) {
    const inputs = c.attrs.inputs as readonly string[];
    if (!Array.isArray(inputs) || ![...inputs, c.attrs.output].every((s) => typeof s === "string"))
      c.fail("'inputs' must be strings, 'output' a string");
    if (inputs.length !== c.types.length || inputs.length === 0) c.fail(`${inputs.length} terms for ${c.types.length} operands`);
    for (const t of c.types)
      if (t.dtype !== c.types[0]!.dtype) c.fail(`operands of types ${c.types.map((x) => typeToString(x)).join(", ")}`);
    const found = extents(
      inputs,
      c.types.map((_, k) => staticShape(c, k)),
      c.fail,
    );
    const output = [...(c.attrs.output as string)];
    if (new Set(output).size !== output.length) c.fail(`the output '${output.join("")}' repeats a label`);
    return tensor(
      c.types[0]!.dtype,
      output.map((label) => found.get(label) ?? c.fail(`label '${label}' of the output is in no operand`)),
    );
  },
  compute(c) {
    const inputs = c.attrs.inputs as readonly string[];
    const output = c.attrs.output as string;
    const shapes = c.types.map((t) => t.shape as readonly number[]);
    const found = extents(inputs, shapes, (why) => {
      throw new TypeError(why);
    });
    const summed = [...found.keys()].filter((label) => !output.includes(label));
    const body = (r: readonly Scalar[]): Scalar => {
      const at = (label: string): Scalar => (output.includes(label) ? c.i[output.indexOf(label)]! : r[summed.indexOf(label)]!);
      return product(
        inputs.map((labels, k) =>
          c.read(
            k,
            [...labels].map((label, axis) => (shapes[k]![axis] === 1 ? i32(0) : at(label))),
          ),
        ),
      );
    };
    return summed.length === 0
      ? body([])
      : c.reduce(
          "sum",
          summed.map((label) => found.get(label)!),
          body,
        );
  },
});

export const einsumOps = [einsum] as const;
