// What is asked of quantization: bits of weights, what shares a scale, what becomes of activations; checked and completed.

import { errors } from "./diagnostics.ts";

export const SCHEMES = ["int8", "int4", "int8-weights", "int4-weights"] as const;
/** Bits of the weights; with `-weights` activations stay floats, else they become 8 bits. */
export type SchemeName = (typeof SCHEMES)[number];

export const BLOCKS = ["tensor", "channel", 32, 64, 128] as const;
/** Weights that share a scale: all of a layer, those of an output channel, or so many neighbours along the axis that is summed over. */
export type Block = (typeof BLOCKS)[number];

export const RANGES = ["min-max", "percentile", "mse"] as const;
/** How an activation's limits follow from samples: all values, all but one in ten thousand, or those of least squared error. */
export type Range = (typeof RANGES)[number];

export interface SchemeOptions {
  readonly scheme: SchemeName;
  /** Default: `channel` for 8 bits, 32 for 4. */
  readonly block?: Block | undefined;
  /** Whether zero is the middle of the weights' levels. Default true: then zeros in weights cost nothing. */
  readonly symmetric?: boolean | undefined;
  /**
   * Limits of activations from samples, or found anew in every run. Default: static where there are samples. With `-weights`, activations that
   * products of few rows read are rounded in blocks of 32 by limits of their own, so that those are products of integers, unless all are to stay
   * `float`.
   */
  readonly activations?: "static" | "dynamic" | "float" | undefined;
  /** Default min-max. */
  readonly range?: Range | undefined;
  /** Whether later weights make up for the rounding of earlier ones, as seen by the samples. Default: for 4 bits, where there are samples. */
  readonly compensate?: boolean | undefined;
  /** Whether each channel's mean and deviation are brought back to the float model's, on the samples. Default false. */
  readonly correct?: boolean | undefined;
  /** Layers that lose most stay floats until the model loses no more than this, in points (see `measure-loss.ts`). */
  readonly maxLoss?: number | undefined;
}

export interface Scheme {
  readonly name: SchemeName;
  readonly bits: 8 | 4;
  readonly block: Block;
  readonly symmetric: boolean;
  readonly activations: "static" | "dynamic" | "float" | "rows";
  readonly range: Range;
  readonly compensate: boolean;
  readonly correct: boolean;
  readonly maxLoss: number | undefined;
}

function oneOf<T extends string | number>(what: string, given: unknown, known: readonly T[]): T {
  const found = known.find((k) => k === given);
  if (found === undefined) throw errors.badOption(`${what} is ${String(given)}`, `one of ${known.join(", ")}`);
  return found;
}

/** Errors: `bad-option`, `no-samples` where what is asked cannot be without them. */
export function resolveScheme(options: SchemeOptions, hasSamples: boolean): Scheme {
  const name = oneOf("the scheme of quantization", options.scheme, SCHEMES);
  const bits = name.startsWith("int8") ? 8 : 4;
  const block = oneOf("the block of weights that share a scale", options.block ?? (bits === 8 ? "channel" : 32), BLOCKS);
  const weightsOnly = name.endsWith("-weights");
  if (weightsOnly ? (options.activations ?? "float") !== "float" : options.activations === "float")
    throw errors.badOption(
      `activations are ${options.activations}, and ${weightsOnly ? "stay floats with" : "become 8 bits with"} ${name}`,
    );
  const activations = oneOf(
    "quantization of activations",
    options.activations ?? (weightsOnly ? "rows" : hasSamples ? "static" : "dynamic"),
    ["static", "dynamic", "float", "rows"] as const,
  );
  const range = oneOf("the range of activations", options.range ?? "min-max", RANGES);
  const { maxLoss, correct = false, compensate = bits === 4 && hasSamples } = options;
  if (maxLoss !== undefined && !(maxLoss >= 0)) throw errors.badOption(`the largest loss is ${maxLoss}`, "points, 0 or more");
  const needs: readonly (readonly [boolean, string])[] = [
    [!weightsOnly && activations === "static", "static ranges of activations"],
    [compensate, "rounding that makes up for its errors"],
    [correct, "correction of channels"],
    [maxLoss !== undefined, "a limit of the loss"],
  ];
  for (const [asked, what] of needs) if (asked && !hasSamples) throw errors.noSamples(what);
  return {
    name,
    bits,
    block,
    symmetric: options.symmetric ?? true,
    activations,
    range,
    compensate,
    correct,
    maxLoss,
  };
}
