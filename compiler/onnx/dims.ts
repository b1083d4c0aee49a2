// Extents of the model's inputs: symbolic ones bound by options, by bound constants, or, for a batch, to 1.

import { importErrors } from "./diagnostics.ts";
import type { OnnxDim } from "./proto/model.ts";

export interface DimOptions {
  /** Extents by symbol: { batch: 1 }. */
  readonly dims?: Readonly<Record<string, number>> | undefined;
  /** Whole shapes by input. */
  readonly inputShapes?: Readonly<Record<string, readonly number[]>> | undefined;
}

export interface DeclaredInput {
  readonly name: string;
  /** Undefined: the rank is unknown. */
  readonly dims: readonly OnnxDim[] | undefined;
}

/** Whether a symbol is named as exporters name the batch. */
export const isBatchName = (name: string): boolean => /^(n|b|bs)$/i.test(name) || /batch/i.test(name);

/** Symbols bound so far; binding one twice to different extents is an error. */
function symbols(file: string): { get(name: string): number | undefined; bind(name: string, value: number): void } {
  const bound = new Map<string, number>();
  return {
    get: (name) => bound.get(name),
    bind(name, value) {
      if (!Number.isSafeInteger(value) || value < 0) throw importErrors.badDim(name, value, file);
      const other = bound.get(name);
      if (other !== undefined && other !== value) throw importErrors.dimConflict(name, other, value, file);
      bound.set(name, value);
    },
  };
}

/**
 * The shapes of `inputs`. `fixed` are inputs whose shapes are known otherwise (bound to constants): their symbols bind others.
 * Errors: `unbound-dim`, which lists every open extent with the flag to give; `bad-option`.
 */
export function bindDims(
  inputs: readonly DeclaredInput[],
  fixed: readonly { readonly dims: readonly OnnxDim[] | undefined; readonly shape: readonly number[] }[],
  options: DimOptions,
  file: string,
): { readonly shapes: ReadonlyMap<string, readonly number[]>; readonly notes: readonly string[] } {
  const known = symbols(file);
  const notes: string[] = [];
  for (const [name, value] of Object.entries(options.dims ?? {})) known.bind(name, value);
  for (const { dims, shape } of fixed)
    dims?.forEach((d, axis) => typeof d === "string" && shape[axis] !== undefined && known.bind(d, shape[axis]));

  const given = new Map(Object.entries(options.inputShapes ?? {}));
  const declared = inputs.map(({ name, dims }) => {
    const shape = given.get(name);
    if (!shape) return { name, dims };
    if (dims && (dims.length !== shape.length || dims.some((d, axis) => typeof d === "number" && d !== shape[axis]))) {
      throw importErrors.shapeConflict(
        name,
        dims.map((d) => d ?? "?"),
        shape,
        file,
      );
    }
    shape.forEach((d, axis) => {
      const symbol = dims?.[axis];
      known.bind(typeof symbol === "string" ? symbol : `axis ${axis} of ${name}`, d);
    });
    return { name, dims: shape as readonly OnnxDim[] };
  });

  const symbolsOf = new Set(inputs.flatMap((i) => (i.dims ?? []).filter((d) => typeof d === "string")));
  for (const name of Object.keys(options.dims ?? {})) {
    if (!symbolsOf.has(name) && !fixed.some((f) => f.dims?.includes(name)))
      notes.push(`\`dims\` binds ${JSON.stringify(name)}, which no input's shape has`);
  }

  const tensors = declared.filter(({ dims }) => dims === undefined || dims.length > 0);
  const batch = inputs.find((i) => (i.dims?.length ?? 0) > 0)?.dims?.[0];
  const everywhere =
    typeof batch === "string" &&
    isBatchName(batch) &&
    inputs.every((i) => i.dims !== undefined && (i.dims.length === 0 || i.dims[0] === batch));
  if (everywhere && tensors.length > 0 && known.get(batch) === undefined) {
    known.bind(batch, 1);
    notes.push(`dimension ${JSON.stringify(batch)}, the first of every input, is taken as 1: give --dim ${batch}=... for another`);
  }

  const open: { input: string; axis: number; name: string | undefined }[] = [];
  const shapes = new Map<string, readonly number[]>();
  for (const { name, dims } of declared) {
    if (!dims) throw importErrors.unknownRank(name, file);
    const shape = dims.map((d, axis) => {
      const extent = typeof d === "string" ? known.get(d) : d;
      if (extent === undefined) open.push({ input: name, axis, name: d as string | undefined });
      return extent ?? 0;
    });
    shapes.set(name, shape);
  }
  if (open.length > 0) throw importErrors.unboundDims(open, file);
  return { shapes, notes };
}
