// Compiling for a batch: which extents of the inputs are the batch, and whether the outputs have it.

import { type Dim, shapeToString } from "../../ir/types.ts";
import { importErrors } from "./diagnostics.ts";
import { type DeclaredInput, isBatchName } from "./dims.ts";
import type { OnnxDim } from "./proto/model.ts";

const show = ({ name, dims }: DeclaredInput): string => `${JSON.stringify(name)} [${(dims ?? []).map((d) => d ?? "?").join(", ")}]`;

/**
 * The inputs with the batch in place of a symbol that is named for it, wherever that stands; without one, in place of a leading extent
 * that is a symbol or 1. Errors: `no-batch` where an input has neither, or where there is nothing to replace.
 */
export function withBatch(inputs: readonly DeclaredInput[], batch: number, file: string): readonly DeclaredInput[] {
  if (!Number.isSafeInteger(batch) || batch < 1) throw importErrors.noBatch(`${batch} is no number of items`, file);
  const isNamed = (d: unknown): boolean => typeof d === "string" && isBatchName(d);
  if (inputs.some((i) => i.dims?.some(isNamed))) return inputs.map((i) => ({ ...i, dims: i.dims?.map((d) => (isNamed(d) ? batch : d)) }));
  const tensors = inputs.filter((i) => i.dims === undefined || i.dims.length > 0);
  const fixed = tensors.filter(({ dims }) => dims === undefined || (typeof dims[0] === "number" && dims[0] !== 1));
  if (tensors.length === 0 || fixed.length > 0)
    throw importErrors.noBatch(`no extent of ${(fixed[0] ? [fixed[0]] : inputs).map(show).join(", ") || "an input"} can be it`, file);
  const symbols = new Set(tensors.map(({ dims }) => dims![0]).filter((d) => typeof d === "string"));
  return inputs.map((i) => ({
    ...i,
    dims: i.dims?.map((d, axis) => ((axis === 0 && d === 1) || symbols.has(d as string) ? batch : d)),
  }));
}

/** Throws `no-batch` where an output has no place for the batch: a shape inside the model fixes another. */
export function checkBatch(
  outputs: readonly { readonly name: string; readonly declared: readonly OnnxDim[] | undefined; readonly shape: readonly Dim[] }[],
  batch: number,
  file: string,
): void {
  for (const { name, declared, shape } of outputs) {
    // Extents that the model fixes are not the batch's.
    const open = shape.filter((_, axis) => declared?.length !== shape.length || typeof declared[axis] !== "number" || declared[axis] === 1);
    if (open.every((d) => typeof d === "number" && d % batch !== 0))
      throw importErrors.noBatch(
        `output ${JSON.stringify(name)} would be ${shapeToString(shape)}: a shape inside the model fixes another`,
        file,
      );
  }
}
