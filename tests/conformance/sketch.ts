// How a conformance case is written: a few lines that build a graph, with inputs and weights whose values are made up on the spot.

import { arrayOf, DTYPES, type DType, isFloat } from "../../ir/dtype.ts";
import { type Graph, GraphBuilder, type Value } from "../../ir/graph.ts";
import type { Attrs, OpSet } from "../../ir/op.ts";
import { toF16 } from "../../ir/scalar/f16.ts";
import { elementCount, type Tensor, tensorOf } from "../../ir/tensor.ts";
import { weightStore } from "../../ir/weights.ts";

export interface Sketch {
  readonly b: GraphBuilder;
  /** The element types that the backend has. */
  readonly types: readonly DType[];
  /** An input of the graph; made-up values where none are given (f16 from bits). */
  input(dtype: DType, shape: readonly number[], values?: readonly number[]): Value;
  /** A weight; `keep` says which elements stay, the others being 0. */
  weight(dtype: DType, shape: readonly number[], keep?: (i: number) => boolean): Value;
  constant(dtype: DType, shape: readonly number[], values: readonly number[], layout?: string): Value;
  op(name: string, inputs: readonly Value[], attrs?: Attrs): Value;
  ops(name: string, inputs: readonly Value[], attrs?: Attrs): readonly Value[];
  /** A region: `build` gets its parameters. */
  region(types: readonly (readonly [DType, readonly number[]])[], build: (s: Sketch, params: readonly Value[]) => readonly Value[]): Graph;
}

export interface ConformanceCase {
  /** Family, then what is special: "conv strided". `skip` lists these. */
  readonly name: string;
  build(s: Sketch): readonly Value[];
  /** The element type that it is about, where it is about one. */
  readonly dtype?: DType;
  /** The run must end in the error `fault`. */
  readonly faults?: boolean;
}

/** A hash of two integers to [0, 1): values look random and are the same everywhere. */
function noise(i: number, k: number): number {
  let h = Math.imul(i + 1, 0x9e3779b1) ^ Math.imul(k + 1, 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 16), 0x7feb352d);
  h = Math.imul(h ^ (h >>> 15), 0x846ca68b);
  return ((h ^ (h >>> 16)) >>> 0) / 2 ** 32;
}

const SPECIAL: readonly number[] = [0, Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, -0, 1, -1];

/** Made-up elements: floats within 3 of zero, integers within 9 and the type's range, some zeros. */
export function madeUp(dtype: DType, shape: readonly number[], k: number): Tensor {
  const data = arrayOf(dtype, elementCount(shape));
  const { kind } = DTYPES[dtype];
  const wide = data instanceof BigInt64Array || data instanceof BigUint64Array;
  for (let i = 0; i < data.length; i++) {
    const u = noise(i, k);
    const whole = Math.floor(u * 19) - 9;
    const x =
      kind === "float"
        ? u * 6 - 3
        : kind === "bool"
          ? Number(u < 0.5)
          : kind === "uint"
            ? Math.abs(whole)
            : dtype === "i4"
              ? whole % 8
              : whole;
    data[i] = (wide ? BigInt(x) : dtype === "f16" ? toF16(x) : x) as never;
  }
  return { dtype, shape, data };
}

/** The same, with NaN, infinities and signed zeros among the floats, and the extremes among the integers. */
export function withExtremes(t: Tensor, k: number): readonly number[] {
  const { min, max } = DTYPES[t.dtype];
  const values = Array.from(t.data as ArrayLike<number | bigint>, Number);
  if (t.dtype === "bool") return values;
  const special = isFloat(t.dtype)
    ? SPECIAL.map((x) => (t.dtype === "f16" ? toF16(x) : x))
    : DTYPES[t.dtype].bits <= 32
      ? [0, Number(min), Number(max), 1]
      : [0, 1];
  special.forEach((x, i) => {
    const at = (i * 3 + k) % values.length;
    values[at] = x;
  });
  return values;
}

/** Builds a case's graph. */
export function sketch(
  c: Pick<ConformanceCase, "name" | "build">,
  ops: OpSet,
  types: readonly DType[] = Object.keys(DTYPES) as DType[],
): { readonly graph: Graph; readonly inputs: readonly Tensor[] } {
  const weights = weightStore();
  const inputs: Tensor[] = [];
  const params: Value[] = [];
  let made = 0;
  const on = (b: GraphBuilder, top: boolean): Sketch => ({
    b,
    types,
    input(dtype, shape, values) {
      if (!top) throw new TypeError("a region has no inputs of its own");
      const t = values ? tensorOf(dtype, shape, values) : madeUp(dtype, shape, made);
      const p = b.param(`x${made++}`, dtype, shape);
      inputs.push(t);
      params.push(p);
      return p;
    },
    weight(dtype, shape, keep = () => true) {
      const t = madeUp(dtype, shape, made++);
      t.data.forEach((_, i) => {
        if (!keep(i)) t.data[i] = (typeof t.data[i] === "bigint" ? 0n : 0) as never;
      });
      return b.constant(t);
    },
    constant: (dtype, shape, values, layout) => b.constant(tensorOf(dtype, shape, values), layout === undefined ? {} : { layout }),
    op: (name, operands, attrs) => b.value(name, operands, attrs),
    ops: (name, operands, attrs) => b.add(name, operands, attrs).results,
    region(given, build) {
      const inner = new GraphBuilder(ops, weights);
      const own = given.map(([dtype, shape], k) => inner.param(`p${k}`, dtype, shape));
      return { ops, name: "region", params: own, outputs: build(on(inner, false), own), weights };
    },
  });
  const outputs = c.build(on(new GraphBuilder(ops, weights), true));
  return { graph: { ops, name: c.name.replace(/\W+/g, "_"), params, outputs, weights }, inputs };
}
