// Dense products whose vectors run along the columns of the result: activations with constant weights, or with each other.

import { add, advance, barrier, callStmt, for_, i32, mul, pointer, variable } from "../../../ir/kernel/build.ts";
import type { Expr, Func, Param, PointerParam, Stmt } from "../../../ir/kernel/types.ts";
import { mostEven, type Rounds } from "../split.ts";
import { laneAxis, type Storage } from "../storage.ts";
import type { Binding, Lowered, Packed } from "../template.ts";
import { floats, type Stream, stream } from "./conv-sweep.ts";
import { type ConstantMatmulSpec, collapse, type MatmulSpec, unravel, viewed } from "./matmul-spec.ts";
import { planProduct, product, splitProduct } from "./matmul-tile.ts";
import { packedRowWidth, packRows } from "./pack-rows.ts";
import type { Segment } from "./tiles.ts";

const argument = (p: Param): Expr => variable(p.name, p.type);
const isF32 = (...storages: readonly Storage[]): boolean => storages.every((s) => s.dtype === "f32" && s.shape.every((d) => d >= 1));

/** Rows and columns of a result as [1, rows, 1, columns]. */
const table = (s: Storage, rows: { readonly extent: number; readonly stride: number }): Storage => ({
  ...s,
  shape: [1, rows.extent, 1, s.shape.at(-1)!],
  strides: [0, rows.stride, 0, s.strides.at(-1)!],
});

/** [M, K] as [tile of columns][K][columns of the tile], columns padded to whole vectors with zeros. */
const panels = (weights: Float32Array, depth: number, segments: readonly Segment[]): Packed => ({
  kind: "panels",
  values: padded(weights, 4 * depth),
  columns: depth,
  runs: segments.map(({ start, size, count }) => ({ first: 4 * start, rows: 4 * size * count, group: 4 * size, block: depth })),
});

/** `values` and zeros up to a multiple of `unit`. */
function padded(values: Float32Array, unit: number): Float32Array {
  if (values.length % unit === 0) return values;
  const all = new Float32Array(Math.ceil(values.length / unit) * unit);
  all.set(values);
  return all;
}

/** Dense constant weights on the right. Undefined for `left`, dtypes other than f32, and rows without a common distance. */
export function matmulDense(spec: ConstantMatmulSpec): Lowered | undefined {
  const { input, output, name } = spec;
  const rank = output.shape.length;
  if (spec.side === "left" || rank < 1 || input.shape.length !== rank || !isF32(input, output)) return undefined;
  const [from, to] = [collapse(input, rank - 1), collapse(output, rank - 1)];
  if (!from || !to) return undefined;
  const [depth, m] = [input.shape.at(-1)!, output.shape.at(-1)!];
  const plan = planProduct(to.extent, m, depth, spec.target);
  const weights = stream("weights", panels(spec.weights, depth, plan.vectors));
  const bias: readonly Stream[] = spec.bias ? [stream("bias", floats(padded(spec.bias, 4)))] : [];
  const leading = output.shape.slice(0, -1);
  const functions = product({
    name: `${name}_product`,
    rows: to.extent,
    depth,
    left: { bytes: input.bytes, row: from.stride, depth: input.strides.at(-1)! },
    right: { bytes: weights.param.bytes, vector: 16 * depth, row: (size) => 16 * size },
    output: table(output, to),
    ...(bias[0] ? { bias: bias[0].param } : {}),
    epilogue: viewed(spec.epilogue, rank - 1, ([, row, , column]) => [...unravel(row!, leading), column!]),
    plan,
    split: splitProduct(plan),
  });
  const streams = [weights, ...bias];
  const params: readonly Param[] = [
    pointer("x", "read", input.bytes),
    pointer("y", "readwrite", output.bytes),
    ...streams.map((s) => s.param),
    ...spec.epilogue.params,
  ];
  const call = callStmt(`${name}_product`, [
    advance(variable("x", "ptr"), i32(input.offset)),
    variable("weights", "ptr"),
    variable("y", "ptr"),
    ...[i32(output.offset), i32(0)],
    ...bias.map((b) => argument(b.param)),
    ...spec.epilogue.params.map(argument),
  ]);
  const doc = `product of ${to.extent} x ${depth} with constant ${depth} x ${m}`;
  return {
    kernel: "matmul_f32_dense",
    functions: [...functions, { name, doc, params, body: [call] }],
    entry: name,
    bindings: [
      { kind: "operand", operand: 0 },
      { kind: "result", result: 0 },
      ...streams.map((s): Binding => ({ kind: "packed", packed: s.packed })),
      ...spec.epilogue.bindings,
    ],
    faults: [],
    why: "dense weights: vectors along the output features",
  };
}

/** Bytes between neighbours along the result's leading axes, zero where an operand is broadcast. */
function batchStrides(operand: Storage, leading: number): number[] {
  const own = operand.shape.length - 2;
  return Array.from({ length: leading }, (_, axis) => {
    const at = axis - (leading - own);
    return at < 0 || operand.shape[at] === 1 ? 0 : operand.strides[at]!;
  });
}

/** A copy of B with whole vectors of columns, for one batch at a time, where B itself cannot be read so. */
function copyOf(
  spec: MatmulSpec,
  depth: number,
  columns: number,
  shared: boolean,
): { readonly pack: Func; readonly bytes: number; readonly width: number } | undefined {
  const { b } = spec;
  const [row, column] = b.strides.slice(-2) as [number, number];
  if (column === 4 && columns % 4 === 0) return undefined;
  const width = packedRowWidth(columns, 1);
  const input: Storage = { ...b, shape: [1, depth, 1, columns], strides: [0, row, 0, column] };
  const pack = packRows({
    name: `${spec.name}_pack`,
    input,
    rows: 1,
    phases: 1,
    width,
    stride: 1,
    top: 0,
    left: 0,
    fill: 0,
    split: shared ? "channels" : undefined,
  });
  return { pack, bytes: depth * width * 4, width };
}

/** A matrix, or the coordinates of one, seen as its transpose. */
const turned = <T>(axes: readonly T[]): readonly T[] => [...axes.slice(0, -2), axes.at(-1)!, axes.at(-2)!];
const transposed = (s: Storage): Storage => ({ ...s, shape: turned(s.shape), strides: turned(s.strides) });

/** Dense product of two activations. Undefined for dtypes other than f32, operands of fewer than two axes, and empty tensors. */
export function matmulDynamic(spec: MatmulSpec): Lowered | undefined {
  const { a, b, output } = spec;
  if (a.shape.length < 2 || b.shape.length < 2 || !isF32(a, b, output)) return undefined;
  if (laneAxis(output) !== output.shape.length - 2) return productOf(spec, [0, 1]);
  // Rows of the result lie side by side: its transpose is the product of the transposes, and nothing moves.
  const epilogue = viewed(spec.epilogue, output.shape.length - 2, turned);
  return productOf({ ...spec, a: transposed(b), b: transposed(a), output: transposed(output), epilogue }, [1, 0]);
}

/** A product whose vectors run along the result's last axis, of operands with these numbers. */
function productOf(spec: MatmulSpec, [left, right]: readonly [number, number]): Lowered | undefined {
  const { a, b, output, name } = spec;
  const rank = output.shape.length;
  const [m, n] = output.shape.slice(-2) as [number, number];
  const depth = a.shape.at(-1)!;
  // With one B for all batches, their rows are one long matrix.
  const [from, to] = [a.shape.length === rank ? collapse(a, rank - 1) : undefined, collapse(output, rank - 1)];
  const merged = b.shape.slice(0, -2).every((d) => d === 1) && from && to ? { from, to } : undefined;
  const leading = merged ? [] : output.shape.slice(0, -2);
  const rows = merged ? merged.to.extent : m;
  // Whole products are shared out where there are enough; else the tiles of each.
  const batches = leading.map((extent): Rounds[] => [{ count: extent, cost: 1 }]);
  const axis = mostEven([...batches.entries(), [undefined, [{ count: 3, cost: 1 }]]]);
  const copied = copyOf(spec, depth, n, axis === undefined);
  const plan = planProduct(rows, n, depth, spec.target);
  const pitch = copied ? copied.width * 4 : b.strides.at(-2)!;
  const view = ([batch, row, , column]: readonly Expr[]): Expr[] =>
    merged ? [...unravel(row!, output.shape.slice(0, -1)), column!] : [...unravel(batch!, leading), row!, column!];
  const functions = product({
    name: `${name}_product`,
    rows,
    depth,
    left: { bytes: a.bytes, row: merged ? merged.from.stride : a.strides.at(-2)!, depth: a.strides.at(-1)! },
    right: { bytes: copied ? copied.bytes : b.bytes, vector: 16, row: () => pitch },
    output: table(output, merged ? merged.to : { extent: m, stride: output.strides.at(-2)! }),
    epilogue: viewed(spec.epilogue, rank - 1, view),
    plan,
    split: axis === undefined ? splitProduct(plan) : undefined,
  });

  const indices = leading.map((_, axis) => variable(`i${axis}`));
  const at = (strides: readonly number[], offset: number): Expr =>
    indices.reduce<Expr>((sum, i, axis) => add(sum, mul(i, i32(strides[axis]!))), i32(offset));
  const number = indices.reduce<Expr>((sum, i, axis) => add(mul(sum, i32(leading[axis]!)), i), i32(0));
  const bAt = advance(variable("b", "ptr"), at(batchStrides(b, leading.length), copied ? 0 : b.offset));
  const scratch: readonly PointerParam[] = copied ? [{ name: "scratch", type: "ptr", access: "readwrite", bytes: copied.bytes }] : [];
  const meet = axis === undefined ? [barrier] : [];
  const inner: Stmt[] = [
    ...(copied ? [callStmt(copied.pack.name, [bAt, variable("scratch", "ptr")]), ...meet] : []),
    callStmt(`${name}_product`, [
      advance(variable("a", "ptr"), at(batchStrides(a, leading.length), a.offset)),
      copied ? variable("scratch", "ptr") : bAt,
      variable("y", "ptr"),
      ...[at(output.strides, output.offset), number],
      ...spec.epilogue.params.map(argument),
    ]),
    ...(copied && leading.length > 0 ? meet : []),
  ];
  const body = leading.reduceRight<readonly Stmt[]>(
    (inside, extent, i) => [for_(`i${i}`, i32(0), i32(extent), inside, 1, i === axis ? 1 : undefined)],
    inner,
  );
  const params: readonly Param[] = [
    pointer("a", "read", a.bytes),
    pointer("b", "read", b.bytes),
    pointer("y", "readwrite", output.bytes),
    ...scratch,
    ...spec.epilogue.params,
  ];
  return {
    kernel: "matmul_f32",
    functions: [
      ...(copied ? [copied.pack] : []),
      ...functions,
      { name, doc: `product of ${rows} x ${depth} with ${depth} x ${n}`, params, body },
    ],
    entry: name,
    bindings: [
      { kind: "operand", operand: left },
      { kind: "operand", operand: right },
      { kind: "result", result: 0 },
      ...scratch.map((s): Binding => ({ kind: "scratch", bytes: s.bytes, each: axis !== undefined })),
      ...spec.epilogue.bindings,
    ],
    faults: [],
    why: "register tiles of rows and vectors of columns",
  };
}
