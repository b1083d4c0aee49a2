// A case for each elementwise operator, over every element type that it takes, with extremes and broadcasting.

import { SparsecError } from "../../ir/diagnostics.ts";
import { DTYPES, type DType } from "../../ir/dtype.ts";
import type { Value } from "../../ir/graph.ts";
import { type Attrs, isCompute, type OpDef } from "../../ir/op.ts";
import { standardOps } from "../../ir/ops/index.ts";
import { type ConformanceCase, madeUp, type Sketch, withExtremes } from "./sketch.ts";

/** Parameters of operators that have any. */
const ATTRS: Readonly<Record<string, Attrs>> = {
  leaky_relu: { alpha: 0.1 },
  elu: { alpha: 0.7 },
  selu: { alpha: 1.67, gamma: 1.05 },
  celu: { alpha: 0.8 },
  hard_sigmoid: { alpha: 0.2, beta: 0.5 },
  gelu: { approximate: "tanh" },
  thresholded_relu: { alpha: 1 },
  shrink: { bias: 0.25, lambda: 0.5 },
  swish: { alpha: 1.5 },
  is_inf: { positive: true, negative: true },
};

/** One application of `op` to made-up operands of `dtype`, or undefined where it takes none such. */
function apply(s: Sketch, op: OpDef, dtype: DType): Value | undefined {
  const shapes = [[3, 7], [7], [3, 1]];
  const given = op.operands.map((_, k) => {
    const shape = shapes[k % 3]!;
    return { shape, values: withExtremes(madeUp(dtype, shape, k), k) };
  });
  try {
    // Tried on throw-away parameters first, so that a type that does not fit leaves no input behind.
    const trial = given.map(({ shape }, k) => s.b.param(`trial${k}`, dtype, shape));
    s.b.value(op.name, trial, ATTRS[op.name]);
  } catch (e) {
    if (e instanceof SparsecError) return undefined;
    throw e;
  }
  return s.op(
    op.name,
    given.map(({ shape, values }) => s.input(dtype, shape, values)),
    ATTRS[op.name],
  );
}

/** These have operands of several types. */
const MIXED: readonly ConformanceCase[] = [
  {
    name: "elementwise where",
    build: (s) =>
      s.types.filter((t) => DTYPES[t].bits >= 8).map((t) => s.op("where", [s.input("bool", [3, 1]), s.input(t, [3, 7]), s.input(t, [7])])),
  },
  {
    name: "elementwise clip",
    build: (s) =>
      (["f32", "f16", "f64", "i32", "i64", "u8"] as const)
        .filter((t) => s.types.includes(t))
        .map((t) => s.op("clip", [s.input(t, [19]), s.input(t, [], [1]), s.input(t, [], [t === "f16" ? 0x4000 : 2])])),
  },
  ...(Object.keys(DTYPES) as DType[]).map(
    (from): ConformanceCase => ({
      name: `cast from ${from}`,
      dtype: from,
      build(s) {
        // Beyond the range of a narrow type: saturated or wrapped, as the reference says.
        const x = s.input(from, [21], withExtremes(madeUp(from, [21], 3), 1));
        return s.types.filter((to) => to !== from).map((to) => s.op("cast", [x], { to }));
      },
    }),
  ),
  {
    name: "bitcast",
    build: (s) => [
      s.op("bitcast", [s.input("f32", [9])], { to: "i32" }),
      s.op("bitcast", [s.input("i32", [9])], { to: "f32" }),
      ...(s.types.includes("f64") ? [s.op("bitcast", [s.input("f64", [5])], { to: "i64" })] : []),
      s.op("bitcast", [s.input("u16", [5])], { to: "i16" }),
    ],
  },
];

const SEPARATE: ReadonlySet<string> = new Set(["where", "clip", "cast", "bitcast"]);

export const elementwiseCases: readonly ConformanceCase[] = [
  ...[...standardOps.values()]
    .filter((op) => isCompute(op) && op.elementwise === true && !SEPARATE.has(op.name))
    .map(
      (op): ConformanceCase => ({
        name: `elementwise ${op.name}`,
        build(s) {
          const results = s.types.flatMap((dtype) => apply(s, op, dtype) ?? []);
          if (results.length === 0) throw new TypeError(`conformance: no element type fits operator '${op.name}'; give its attributes`);
          return results;
        },
      }),
    ),
  ...MIXED,
];
