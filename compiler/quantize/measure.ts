// How far a quantized graph lies from the float one: noise of each layer, loss of the outputs, right answers.

import type { Graph } from "../../ir/graph.ts";
import type { Tensor } from "../../ir/tensor.ts";
import type { Rounded } from "./grid.ts";
import type { Layer } from "./layers.ts";
import { type OpenGraph, observe, openValues, type Sample } from "./observe.ts";
import type { Applied } from "./recipe.ts";

/** What has no noise at all counts as this many decibels, more than f32 can tell apart. */
export const EXACT = 200;

/** Squares of what is expected, and of how far that is missed. */
export interface Squares {
  signal: number;
  noise: number;
}

/** 10 log10 of signal over noise. */
export function decibels({ signal, noise }: Squares): number {
  const ratio = noise === 0 ? EXACT : 10 * Math.log10(signal / noise);
  // NaN, too, is as bad as can be.
  return ratio > -EXACT ? Math.min(EXACT, ratio) : -EXACT;
}

/** Errors beyond this tell nothing more. */
const MOST_LOSS = 1e6;

/** An error relative to what it is an error of, in hundredths. */
function relativeLoss({ signal, noise }: Squares): number {
  const loss = noise === 0 ? 0 : 100 * Math.sqrt(noise / signal);
  return loss < MOST_LOSS ? loss : MOST_LOSS;
}

/** The index of the largest element, the first among equals. */
export function largest(data: ArrayLike<number | bigint>): number {
  let best = 0;
  for (let i = 1; i < data.length; i++) if (Number(data[i]) > Number(data[best])) best = i;
  return best;
}

/** Whether a tensor is a row of scores, one for each class. */
export const isScores = ({ shape, data }: Tensor): boolean => data.length > 1 && shape.includes(data.length);

export interface Distance {
  /** Signal to noise of each layer's result, in dB. */
  readonly noise: ReadonlyMap<Layer, number>;
  /** The same of the first output. */
  readonly output: number;
  /**
   * Points lost: of a hundred samples, those whose class is another, where the first output is a row of scores; elsewhere the first output's
   * error, relative to itself, in hundredths.
   */
  readonly loss: number;
}

export function addSquares(to: Squares, e: Float32Array | Float64Array, a: Float32Array | Float64Array): void {
  let [s, n] = [0, 0];
  for (let i = 0; i < e.length; i++) {
    s += e[i]! ** 2;
    n += (e[i]! - a[i]!) ** 2;
  }
  to.signal += s;
  to.noise += n;
}

/** Signal to noise of rounded weights, in dB. */
export function roundingNoise(xs: Float64Array, { columns, block, steps, integers }: Rounded): number {
  const blocks = Math.ceil(columns / block);
  const real = Float64Array.from(integers, (q, i) => {
    const { scale, zero } = steps[Math.floor(i / columns) * blocks + Math.floor((i % columns) / block)]!;
    return (q - zero) * scale;
  });
  const squares: Squares = { signal: 0, noise: 0 };
  addSquares(squares, xs, real);
  return decibels(squares);
}

/** Runs both graphs on the samples. */
export async function distance(
  open: OpenGraph,
  float: Graph,
  { graph, made }: Applied,
  layers: readonly Layer[],
  samples: readonly Sample[],
): Promise<Distance> {
  const outs = layers.map((l) => l.out);
  const expected = await openValues(open, float, [...outs, float.outputs[0]!]);
  const actual = await openValues(open, graph, [...outs.map((v) => made.get(v)!), graph.outputs[0]!]);
  const squares = [...layers, undefined].map((): Squares => ({ signal: 0, noise: 0 }));
  let [changed, scores] = [0, false];
  try {
    for (const sample of samples) {
      const [e, a] = [expected.run(sample), actual.run(sample)];
      squares.forEach((s, i) => void addSquares(s, e[i]!.data as Float32Array, a[i]!.data as Float32Array));
      const [x, y] = [e.at(-1)!, a.at(-1)!];
      scores = isScores(x);
      if (scores && largest(x.data) !== largest(y.data)) changed++;
    }
  } finally {
    expected.dispose();
    actual.dispose();
  }
  const whole = squares.at(-1)!;
  return {
    noise: new Map(layers.map((l, i) => [l, decibels(squares[i]!)])),
    output: decibels(whole),
    loss: scores ? (100 * changed) / samples.length : relativeLoss(whole),
  };
}

/** How many samples of a hundred get the label that is theirs: the largest element of the first output. */
export async function accuracy(open: OpenGraph, graph: Graph, samples: readonly Sample[], labels: readonly number[]): Promise<number> {
  let right = 0;
  await observe(open, graph, [graph.outputs[0]!], samples, ([scores], k) => {
    if (largest(scores!.data) === labels[k]) right++;
  });
  return (100 * right) / samples.length;
}
