// Samples of a model's inputs as arrays with one more axis in front, checked and cut into one sample for each run.

import { DTYPES } from "../../ir/dtype.ts";
import type { Value } from "../../ir/graph.ts";
import { elementCount, type Tensor } from "../../ir/tensor.ts";
import { isStatic } from "../../ir/types.ts";
import { errors } from "./diagnostics.ts";
import type { Sample } from "./observe.ts";

/** By input; `labels`, where no input is called so, holds the class of each sample. */
export type Stacked = Readonly<Record<string, Tensor>>;

export const LABELS = "labels";

export interface Samples {
  readonly samples: readonly Sample[];
  /** The right class of each; undefined where they came without. */
  readonly labels: readonly number[] | undefined;
}

const show = ({ dtype, shape }: Pick<Tensor, "dtype" | "shape">): string => `${dtype}[${shape.join(",")}]`;

/** How many samples an array holds: of the input's shape, or of that without a leading 1. */
function countOf(name: string, given: Tensor, shape: readonly number[]): number {
  const [n, ...rest] = given.shape;
  const fits = (s: readonly number[]): boolean => rest.length === s.length && rest.every((d, i) => d === s[i]);
  if (n !== undefined && (fits(shape) || (shape[0] === 1 && fits(shape.slice(1))))) return n;
  throw errors.badSamples(
    `samples of ${name} are ${show(given)}, and its shape is [${shape.join(",")}]`,
    `stack samples along a first axis: [count,${shape.join(",")}]`,
  );
}

function labelsOf(given: Tensor, count: number): readonly number[] {
  const { kind } = DTYPES[given.dtype];
  if ((kind !== "int" && kind !== "uint") || given.shape.length !== 1 || given.shape[0] !== count)
    throw errors.badSamples(`labels are ${show(given)}`, `integers, one for each of ${count} samples`);
  return Array.from(given.data as ArrayLike<number | bigint>, Number);
}

/** A sample for each run. Errors: `bad-samples` where arrays lack, are too many, empty, or of another shape or type than the inputs. */
export function samplesOf(params: readonly Value[], arrays: Stacked): Samples {
  const given = new Map(Object.entries(arrays));
  const names = params.map((p) => String(p.node.attrs.name));
  const missing = names.filter((name) => !given.has(name));
  if (missing.length > 0) throw errors.badSamples(`no samples of ${missing.join(", ")}`, `arrays of: ${names.join(", ")}`);
  const unknown = [...given.keys()].filter((name) => !names.includes(name) && name !== LABELS);
  if (unknown.length > 0) throw errors.badSamples(`there is no input ${unknown.join(", ")}`, `inputs: ${names.join(", ")}`);
  const cut = params.map((p, i) => {
    const [name, array] = [names[i]!, given.get(names[i]!)!];
    if (!isStatic(p.type)) throw errors.badSamples(`the shape of ${name} hangs on data`);
    const shape = p.type.shape as readonly number[];
    if (array.dtype !== p.type.dtype)
      throw errors.badSamples(`samples of ${name} are ${show(array)}, and its type is ${p.type.dtype}`, "convert them first");
    const count = countOf(name, array, shape);
    const size = elementCount(shape);
    return Array.from({ length: count }, (_, k): Tensor => ({ ...array, shape, data: array.data.slice(k * size, (k + 1) * size) }));
  });
  const count = cut[0]?.length ?? 0;
  const other = cut.findIndex((c) => c.length !== count);
  if (other >= 0) throw errors.badSamples(`${count} samples of ${names[0]}, and ${cut[other]!.length} of ${names[other]}`);
  if (count === 0) throw errors.badSamples("there are no samples", "a hundred that are typical of the data serve well");
  const labels = names.includes(LABELS) ? undefined : given.get(LABELS);
  return {
    samples: Array.from({ length: count }, (_, k) => cut.map((c) => c[k]!)),
    labels: labels && labelsOf(labels, count),
  };
}
