// Post-training quantization: from a float graph and samples of its inputs to a recipe, and a report of what it costs.

import { type Graph, topological, type Value } from "../../ir/graph.ts";
import { sizeOf } from "../../ir/types.ts";
import { ROW_BLOCK } from "../rules/row-blocks.ts";
import { activationGroups } from "./activations.ts";
import { roundCompensated } from "./compensate.ts";
import { correctChannels } from "./correct.ts";
import { errors, LABELS } from "./diagnostics.ts";
import { gramsOf } from "./gram.ts";
import { type Rounded, roundToNearest } from "./grid.ts";
import { type Layer, layersOf, rowsOf } from "./layers.ts";
import { accuracy, type Distance, distance, roundingNoise } from "./measure.ts";
import type { OpenGraph } from "./observe.ts";
import { limitsOf, stepsOf } from "./ranges.ts";
import { applyRecipe, hasBlocks, ownStepsOf, type Recipe } from "./recipe.ts";
import type { LayerReport, QuantizationReport } from "./report.ts";
import type { Samples } from "./samples.ts";
import { resolveScheme, type Scheme, type SchemeOptions } from "./scheme.ts";

export interface QuantizationNote {
  readonly message: string;
  readonly about?: Value;
}

export interface Quantization {
  readonly recipe: Recipe;
  readonly report: QuantizationReport;
  readonly notes: readonly QuantizationNote[];
}

export interface Data {
  /** What ranges, rounding and corrections are taken from. */
  readonly calibration?: Samples | undefined;
  /** What accuracy is measured on; not what it was calibrated with. */
  readonly evaluation?: Samples | undefined;
}

/** Points beyond which the user is told what to do. */
const LARGE_LOSS = 5;

/** A layer's own form of the scheme: 4 bits are too few for some, and blocks need columns that are one axis. */
function schemeFor(layer: Layer, scheme: Scheme): Scheme {
  const wide: Scheme = scheme.bits === 4 && layer.delicate ? { ...scheme, bits: 8, block: "channel" } : scheme;
  return typeof wide.block === "number" && !hasBlocks(layer) ? { ...wide, block: "channel" } : wide;
}

/** Bytes of rounded weights: integers packed, scales f32, zero points as wide as integers. */
function bytesOf({ integers, steps, levels }: Rounded): number {
  const bits = levels.high - levels.low > 15 ? 8 : 4;
  const kinds = new Set(steps).size === 1 ? 1 : steps.length;
  return (integers.length * bits) / 8 + kinds * (4 + (levels.low === 0 ? bits / 8 : 0));
}

const dtypeName = ({ bits, symmetric }: Scheme): string => `${symmetric ? "i" : "u"}${bits}`;

const weightsOf = (graph: Graph, layer: Layer): Float64Array =>
  rowsOf(graph.weights.get(layer.node.inputs[layer.weights]!.node.attrs.ref as string), layer.matrix);

async function roundWeights(
  open: OpenGraph,
  graph: Graph,
  layers: readonly Layer[],
  scheme: Scheme,
  data: Data,
): Promise<ReadonlyMap<Layer, Rounded>> {
  const compensated = layers.filter((l) => l.kind === "product" && schemeFor(l, scheme).bits === scheme.bits);
  const grams = scheme.compensate && data.calibration ? await gramsOf(open, graph, compensated, data.calibration.samples) : new Map();
  return new Map(
    layers.map((l) => {
      const [xs, own, gram] = [weightsOf(graph, l), schemeFor(l, scheme), grams.get(l)];
      return [l, gram ? roundCompensated(xs, l.matrix.rows, gram, own) : roundToNearest(xs, l.matrix.rows, own)];
    }),
  );
}

/** The graph's recipe. Errors: those of `resolveScheme`; `no-labels`; `already-quantized`. */
export async function quantize(graph: Graph, options: SchemeOptions, data: Data, open: OpenGraph): Promise<Quantization> {
  const { calibration, evaluation } = data;
  const scheme = resolveScheme(options, calibration !== undefined);
  if (evaluation && !evaluation.labels) throw errors.noLabels(evaluation.file);
  const classes = sizeOf(graph.outputs[0]!.type);
  const odd = evaluation?.labels?.find((l) => !(l >= 0 && l < classes));
  if (odd !== undefined)
    throw errors.badSamples(
      `a label is ${odd}, and the first output has ${classes} elements`,
      { file: evaluation!.file, name: LABELS },
      "labels count from 0",
    );
  const quantized = topological(graph.outputs).find((n) => n.op === "quantize" || n.op === "dequantize");
  if (quantized) throw errors.alreadyQuantized(quantized.locs[0]);
  const notes: QuantizationNote[] = [];
  const layers = layersOf(graph).filter((l) => {
    const finite = weightsOf(graph, l).every(Number.isFinite);
    if (!finite) notes.push({ message: "its weights stay floats: some are not finite", about: l.out });
    return finite;
  });
  const weights = await roundWeights(open, graph, layers, scheme, data);
  const groups = activationGroups(graph, layers);
  const limits =
    scheme.activations === "static" ? await limitsOf(open, graph, groups.flat(), calibration!.samples, scheme.range) : undefined;

  const rows = scheme.activations === "rows" ? "few" : scheme.activations === "dynamic" ? "any" : undefined;
  const ownSteps = (kept: readonly Layer[], of: "few" | "any"): Recipe["own"] =>
    new Map(
      kept.flatMap((l) => {
        const steps = ownStepsOf(l, weights.get(l)!, of);
        return steps === undefined ? [] : [[l, steps] as const];
      }),
    );
  const recipeFor = async (kept: readonly Layer[]): Promise<Recipe> => {
    const recipe: Recipe = {
      graph,
      weights: new Map(kept.map((l) => [l, weights.get(l)!])),
      biases: new Map(),
      activations: limits ? stepsOf(activationGroups(graph, kept), limits) : new Map(),
      own: rows ? ownSteps(kept, rows) : new Map(),
    };
    return scheme.correct ? correctChannels(open, recipe, calibration!.samples) : recipe;
  };
  const measured = (recipe: Recipe): Promise<Distance> | undefined =>
    calibration && distance(open, graph, applyRecipe(recipe), layers, calibration.samples);

  let recipe = await recipeFor(layers);
  let found = await measured(recipe);
  const { maxLoss } = scheme;
  if (found && maxLoss !== undefined && found.loss > maxLoss) {
    // Worst first; the fewest that do.
    const worst = [...layers].sort((a, b) => found!.noise.get(a)! - found!.noise.get(b)!);
    let [low, high] = [0, worst.length];
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      const floats = new Set(worst.slice(0, middle));
      const tried = await recipeFor(layers.filter((l) => !floats.has(l)));
      if ((await measured(tried))!.loss > maxLoss) low = middle;
      else high = middle;
    }
    const floats = new Set(worst.slice(0, high));
    recipe = await recipeFor(layers.filter((l) => !floats.has(l)));
    found = await measured(recipe);
    for (const l of floats) notes.push({ message: `it stays float: the model would lose more than ${maxLoss} points`, about: l.out });
  }
  const own = [...recipe.own];
  const byRows = own.flatMap(([, steps]) => (steps === "item" ? [] : [steps]));
  const inBlocks = byRows.filter((r) => r.block === ROW_BLOCK).length;
  const round = "products of few rows round what they read,";
  if (inBlocks > 0) notes.push({ message: `${inBlocks} ${round} in blocks of ${ROW_BLOCK}, to be products of integers` });
  if (byRows.length > inBlocks)
    notes.push({ message: `${byRows.length - inBlocks} ${round} to 16 bits, to be products of integers that leave out zeros` });
  if (own.length > byRows.length)
    notes.push({
      message: `${own.length - byRows.length} products round what they read by limits found anew in every run: ${calibration ? "activations are dynamic" : "no calibration samples"}`,
    });
  if (found && found.loss > LARGE_LOSS) notes.push({ message: adviceFor(scheme, found.loss) });
  const scored = evaluation && {
    samples: evaluation.samples.length,
    before: await accuracy(open, graph, evaluation.samples, evaluation.labels!),
    after: await accuracy(open, applyRecipe(recipe).graph, evaluation.samples, evaluation.labels!),
  };
  const elements = (l: Layer): number => l.matrix.rows * l.matrix.outer * l.matrix.inner;
  const sum = (of: (l: Layer) => number): number => layers.reduce((n, l) => n + of(l), 0);
  const bytes = sum((l) => (recipe.weights.has(l) ? bytesOf(recipe.weights.get(l)!) : 4 * elements(l)));
  return {
    recipe,
    notes,
    report: {
      scheme,
      layers: layers.map((l): LayerReport => {
        const own = schemeFor(l, scheme);
        const isKept = recipe.weights.has(l);
        return {
          node: l.name,
          op: l.node.op,
          shape: l.node.inputs[l.weights]!.type.shape as readonly number[],
          dtype: isKept ? dtypeName(own) : "f32",
          block: isKept ? String(own.block) : "none",
          symmetric: own.symmetric,
          ...(isKept ? { rounding: roundingNoise(weightsOf(graph, l), weights.get(l)!) } : {}),
          ...(found ? { noise: found.noise.get(l)! } : {}),
        };
      }),
      size: bytes / (4 * sum(elements)),
      activations: recipe.activations.size + new Set(own.map(([l]) => l.node.inputs[l.data]!)).size,
      ...(found ? { output: found.output, loss: found.loss } : {}),
      ...(scored ? { accuracy: scored } : {}),
    },
  };
}

/** What to do about a large loss. */
function adviceFor(scheme: Scheme, loss: number): string {
  const ways = [
    ...(scheme.bits === 4 && !scheme.compensate ? ["let rounding make up for its errors (calibrate)"] : []),
    ...(scheme.correct ? [] : ["correct channels (--correct)"]),
    ...(scheme.maxLoss === undefined ? ["keep the worst layers in float (--max-loss)"] : []),
    ...(scheme.bits === 4 ? ["take 8 bits (int8)"] : []),
  ];
  return `large loss: ${loss.toFixed(1)} points on the calibration samples; ${ways.join(", or ")}`;
}
