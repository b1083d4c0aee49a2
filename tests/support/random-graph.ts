// Random valid graphs for property tests: steps that shrink one by one are decoded into nodes, types by our own inference.

import fc from "fast-check";
import { SparsecError } from "../../ir/diagnostics.ts";
import { arrayOf, DTYPES, type DType, isFloat } from "../../ir/dtype.ts";
import { type Graph, GraphBuilder, isGraph, topological, type Value } from "../../ir/graph.ts";
import type { Attrs, OpSet } from "../../ir/op.ts";
import { standardOps } from "../../ir/ops/index.ts";
import { print } from "../../ir/print.ts";
import { toF16 } from "../../ir/scalar/f16.ts";
import { elementCount, type Tensor } from "../../ir/tensor.ts";
import { isStatic, maxShape, rank, sizeOf } from "../../ir/types.ts";
import { weightStore } from "../../ir/weights.ts";
import { STEPS } from "./random-steps.ts";

/** A stream of choices, made from one integer: the same integer chooses the same. */
export interface Choices {
  /** An integer from 0 to n - 1. */
  below(n: number): number;
  /** One of the items. */
  of<T>(items: readonly T[]): T;
  chance(p: number): boolean;
}

/** Mulberry32: 32 bits of state, good enough to choose with. */
export function choices(seed: number): Choices {
  let state = seed >>> 0;
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
  const below = (n: number): number => Math.floor(next() * n);
  return { below, of: (items) => items[below(items.length)]!, chance: (p) => next() < p };
}

const SPECIAL: readonly number[] = [0, -0, Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 1e-40, 3e38];

/** A tensor of small numbers; with `zeros` of them zero, and now and then a special one where `special`. */
export function randomTensor(
  c: Choices,
  dtype: DType,
  shape: readonly number[],
  options: { readonly zeros?: number; readonly special?: boolean } = {},
): Tensor {
  const data = arrayOf(dtype, elementCount(shape));
  for (let i = 0; i < data.length; i++) {
    const float = isFloat(dtype);
    let x = float ? (c.below(4001) - 2000) / 512 : c.below(17) - 8;
    if (c.chance(options.zeros ?? 0.1)) x = 0;
    if (float && options.special && c.chance(0.05)) x = c.of(SPECIAL);
    if (DTYPES[dtype].kind === "uint") x = Math.abs(x);
    if (dtype === "bool") x = x > 0 ? 1 : 0;
    data[i] = (data instanceof BigInt64Array || data instanceof BigUint64Array ? BigInt(x) : dtype === "f16" ? toF16(x) : x) as never;
  }
  return { dtype, shape, data };
}

/** What a step is decoded with. */
export interface StepContext {
  readonly b: GraphBuilder;
  readonly c: Choices;
  /** A value made so far that passes, preferring late ones; undefined if none does. */
  value(test?: (v: Value) => boolean): Value | undefined;
  constant(dtype: DType, shape: readonly number[], zeros?: number): Value;
  op(name: string, inputs: readonly Value[], attrs?: Attrs): Value;
}

export interface RandomGraph {
  readonly graph: Graph;
  readonly inputs: readonly Tensor[];
}

const MOST_ELEMENTS = 600;
const SHAPES: readonly (readonly number[])[] = [
  [],
  [3],
  [4],
  [2, 3],
  [3, 4],
  [1, 4],
  [2, 1, 4],
  [2, 3, 5],
  [1, 2, 4, 4],
  [1, 3, 5, 4],
  [2, 4, 3, 3],
  // Large enough for sparse kernels.
  [1, 8, 6, 7],
  [1, 8, 24],
  [18, 16],
];
const DTYPE_MIX: readonly DType[] = [
  "f32",
  "f32",
  "f32",
  "f32",
  "f32",
  "f32",
  "f32",
  "f32",
  "f32",
  "f16",
  "f64",
  "i32",
  "i64",
  "u8",
  "i8",
  "bool",
];

export interface RandomGraphOptions {
  readonly ops?: OpSet;
  /** Element types of parameters; weighted by repetition. */
  readonly dtypes?: readonly DType[];
  /** NaN, infinities, -0 and subnormals among inputs and constants. */
  readonly special?: boolean;
  /** Names of steps to leave out, for backends that lack something. */
  readonly without?: readonly string[];
  readonly maxSteps?: number;
}

function decode(seeds: readonly number[], options: RandomGraphOptions): RandomGraph {
  const ops = options.ops ?? standardOps;
  const b = new GraphBuilder(ops, weightStore());
  const first = choices(seeds[0] ?? 0);
  const params: Value[] = [];
  const inputs: Tensor[] = [];
  for (let k = 0; k <= first.below(3); k++) {
    const dtype = first.of(options.dtypes ?? DTYPE_MIX);
    const shape = first.of(SHAPES);
    params.push(b.param(`x${k}`, dtype, shape));
    inputs.push(randomTensor(first, dtype, shape, { special: options.special ?? false }));
  }
  const values: Value[] = [...params];
  const steps = Object.entries(STEPS).flatMap(([name, [weight, step]]) =>
    options.without?.includes(name) ? [] : Array.from({ length: weight }, () => step),
  );
  for (const seed of seeds.slice(1)) {
    const c = choices(seed);
    const ctx: StepContext = {
      b,
      c,
      value(test = () => true) {
        const fit = values.filter(test);
        // Late values make deep graphs, early ones make shared values.
        return fit.length === 0 ? undefined : c.chance(0.6) ? fit.at(-1)! : c.of(fit);
      },
      constant: (dtype, shape, zeros = 0.2) =>
        b.constant(randomTensor(c, dtype, shape, { zeros, special: (options.special ?? false) && c.chance(0.3) })),
      op: (name, xs, attrs = {}) => b.value(name, xs, attrs),
    };
    try {
      const made = c.of(steps)(ctx);
      if (made && isStatic(made.type) && rank(made.type) <= 6 && sizeOf(made.type) <= MOST_ELEMENTS && sizeOf(made.type) > 0)
        values.push(made);
    } catch (e) {
      // A step may ask for what no type rule allows; anything else is a fault of ours.
      if (!(e instanceof SparsecError) || (e.code !== "bad-operands" && e.code !== "unknown-op")) throw e;
    }
  }
  const last = choices((seeds.at(-1) ?? 0) + 1);
  const outputs = new Set([values.at(-1)!]);
  while (last.chance(0.3)) outputs.add(last.of(values));
  const graph: Graph = { ops, name: "random", params, outputs: [...outputs], weights: b.weights };
  // What a failing property prints.
  return Object.assign({ graph, inputs }, { [fc.toStringMethod]: () => print(graph) });
}

/** Graphs of up to `maxSteps` steps (12 by default) with inputs for them. Shrinks by dropping steps. */
export const randomGraphs = (options: RandomGraphOptions = {}): fc.Arbitrary<RandomGraph> =>
  fc.array(fc.nat(), { minLength: 2, maxLength: 1 + (options.maxSteps ?? 12), size: "max" }).map((seeds) => decode(seeds, options));

/** The shape of a value made by a step: always static. */
export const shapeOf = (v: Value): readonly number[] => maxShape(v.type);

/** Whether any value of a graph is of f64, which some targets do not have. */
export const usesF64 = (g: Graph): boolean =>
  topological(g.outputs).some(
    (n) =>
      [...n.results.map((r) => r.type.dtype), ...n.inputs.map((v) => v.type.dtype)].includes("f64") ||
      Object.values(n.attrs).some((a) => isGraph(a) && usesF64(a)),
  );
