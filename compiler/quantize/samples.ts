// Samples of a model's inputs as arrays with one more axis in front, checked and cut into one sample for each run.

import type { Loc } from "../../ir/diagnostics.ts";
import { DTYPES } from "../../ir/dtype.ts";
import type { Value } from "../../ir/graph.ts";
import { fromF16 } from "../../ir/scalar/f16.ts";
import { elementCount, type Tensor } from "../../ir/tensor.ts";
import { isStatic } from "../../ir/types.ts";
import { errors, LABELS } from "./diagnostics.ts";
import type { Sample } from "./observe.ts";

/** By input; `labels`, where no input is called so, holds the class of each sample. */
export type Stacked = Readonly<Record<string, Tensor>>;

export interface Samples {
  readonly samples: readonly Sample[];
  /** The right class of each; undefined where they came without. */
  readonly labels: readonly number[] | undefined;
  /** What errors call where they come from. */
  readonly file: string;
}

const show = ({ dtype, shape }: Pick<Tensor, "dtype" | "shape">): string => `${dtype}[${shape.join(",")}]`;

/** How many samples an array holds: of the input's shape, or of that without a leading 1. */
function countOf(given: Tensor, shape: readonly number[], loc: Loc): number {
  const [n, ...rest] = given.shape;
  const fits = (s: readonly number[]): boolean => rest.length === s.length && rest.every((d, i) => d === s[i]);
  if (n !== undefined && (fits(shape) || (shape[0] === 1 && fits(shape.slice(1))))) return n;
  throw errors.badSamples(
    `samples are ${show(given)}, and the input's shape is [${shape.join(",")}]`,
    loc,
    `stack samples along a first axis: [count,${shape.join(",")}]`,
  );
}

/** Nothing can be learned from what is no number. */
function checkNumbers(given: Tensor, count: number, loc: Loc): void {
  if (DTYPES[given.dtype].kind !== "float") return;
  const isNoNumber = given.dtype === "f16" ? (x: number) => Number.isNaN(fromF16(x)) : Number.isNaN;
  const at = (given.data as Float32Array).findIndex(isNoNumber);
  if (at >= 0) throw errors.badSamples(`sample ${Math.floor((at * count) / given.data.length)} holds NaN`, loc, "leave that sample out");
}

function labelsOf(given: Tensor, count: number, loc: Loc): readonly number[] {
  const { kind } = DTYPES[given.dtype];
  if ((kind !== "int" && kind !== "uint") || given.shape.length !== 1 || given.shape[0] !== count)
    throw errors.badSamples(`labels are ${show(given)}`, loc, `integers, one for each of ${count} samples`);
  return Array.from(given.data as ArrayLike<number | bigint>, Number);
}

/**
 * A sample for each run; errors say that they come from `file`. Errors: `bad-samples` where arrays lack, are too many, empty, of another shape
 * or type than the inputs, or no numbers.
 */
export function samplesOf(params: readonly Value[], arrays: Stacked, file: string): Samples {
  const given = new Map(Object.entries(arrays));
  const names = params.map((p) => String(p.node.attrs.name));
  const here: Loc = { file, name: "" };
  const inputs = `arrays named ${names.join(", ")} are expected`;
  const missing = names.filter((name) => !given.has(name));
  if (missing.length > 0) throw errors.badSamples(`there are no samples of ${missing.join(", ")}`, here, inputs);
  const unknown = [...given.keys()].filter((name) => !names.includes(name) && name !== LABELS);
  if (unknown.length > 0) throw errors.badSamples(`there is no input ${unknown.join(", ")}`, here, inputs);
  const cut = params.map((p, i) => {
    const [name, array] = [names[i]!, given.get(names[i]!)!];
    const loc = { file, name };
    if (!isStatic(p.type)) throw errors.badSamples("the input's shape hangs on data", loc, "give it a shape: --dim, --input-shape");
    const shape = p.type.shape as readonly number[];
    if (array.dtype !== p.type.dtype)
      throw errors.badSamples(`samples are ${show(array)}, and the input's type is ${p.type.dtype}`, loc, "convert them first");
    const count = countOf(array, shape, loc);
    checkNumbers(array, count, loc);
    const size = elementCount(shape);
    return Array.from({ length: count }, (_, k): Tensor => ({ ...array, shape, data: array.data.slice(k * size, (k + 1) * size) }));
  });
  const count = cut[0]?.length ?? 0;
  const other = cut.findIndex((c) => c.length !== count);
  if (other >= 0)
    throw errors.badSamples(
      `${count} samples of ${names[0]}, and ${cut[other]!.length} of ${names[other]}`,
      here,
      "one of each for every run",
    );
  if (count === 0) throw errors.badSamples("there are no samples", here, "a hundred that are typical of the data serve well");
  const labels = names.includes(LABELS) ? undefined : given.get(LABELS);
  return {
    samples: Array.from({ length: count }, (_, k) => cut.map((c) => c[k]!)),
    labels: labels && labelsOf(labels, count, { file, name: LABELS }),
    file,
  };
}
