// Dense 3x3 convolution with strides of 1 by Winograd's minimal filtering (Lavin and Gray 2015, https://arxiv.org/abs/1509.09308).

import { advance, callStmt, for_, i32, pointer, variable } from "../../../ir/kernel/build.ts";
import type { Expr, Func, Param, PointerParam, Stmt } from "../../../ir/kernel/types.ts";
import type { Lowered } from "../template.ts";
import { type TapSource, tapSource } from "./conv-input.ts";
import { type ConvShape, type ConvSpec, convShape, isPlain3x3 } from "./conv-spec.ts";
import { type ConvFrame, convolution, floats, frameOf, type SweepCall, stream } from "./conv-sweep.ts";
import { type Block, ptr, stageBytes } from "./winograd-block.ts";
import { inputStage } from "./winograd-input.ts";
import type { TileSize } from "./winograd-matrices.ts";
import { outputStage } from "./winograd-output.ts";
import { planWinograd, type WinogradPlan } from "./winograd-plan.ts";
import { productsStage } from "./winograd-products.ts";

/** Bytes that a row of tiles may be read behind its end. */
const BEHIND = 64 * 4;

/**
 * Where tiles are read from. A tile that hangs over a row's end reads zeros in all columns but its last, so that what lies behind the row
 * enters nothing but outputs that are dropped; rows below the last are not read at all.
 */
function tileSource(spec: ConvSpec, s: ConvShape, m: TileSize): TapSource | undefined {
  const over = s.wo % m;
  const source = tapSource(spec, over ? { ...s, wo: s.wo + m - over - 1 } : s);
  if (source.pack) return { ...source, bytes: source.bytes + BEHIND };
  const last = (s.n - 1) * source.image + (s.c - 1) * source.channel + (s.ho + 1) * source.row;
  const columns = Math.ceil(s.wo / (4 * m)) * 4 * m + 5;
  return source.base + last + 4 * columns <= source.bytes ? source : undefined;
}

/** The stages, and last the function that runs them for the output channels `first` to `end` of image `n`, block by block. */
function blockFunctions(f: ConvFrame, plan: WinogradPlan, name: string, passed: readonly PointerParam[]): Func[] {
  const { spec, source } = f;
  const stages: Func[] = [];
  const call = (stage: Func, args: readonly Expr[]): Stmt => {
    stages.push(stage);
    return callStmt(stage.name, args);
  };
  const body = plan.blocks.map((b) => {
    const block: Block = { f, plan, size: b.size };
    const stage = (what: string): string => `${name}_${what}${b.size}`;
    const at = variable(`at${b.size}`);
    return for_(
      `at${b.size}`,
      i32(b.start),
      i32(b.start + b.size * b.count),
      [
        call(inputStage(block, stage("in")), [...["x", "factors", "tile"].map(ptr), at]),
        ...plan.channels.map((run, i) =>
          call(productsStage(block, run, stage(`by${run.size}x`)), [weightsOf(i), "factors", "sums"].map(ptr)),
        ),
        call(outputStage(block, stage("out")), [
          ...["sums", "tile", "y"].map(ptr),
          at,
          ...["n", "first", "end"].map((p) => variable(p)),
          ...(spec.bias ? [ptr("bias")] : []),
          ...spec.epilogue.params.map((p) => variable(p.name, p.type)),
        ]),
      ],
      b.size,
      b.size,
    );
  });
  const params: Param[] = [
    pointer("x", "read", source.bytes),
    pointer("y", "readwrite", spec.output.bytes),
    ...["n", "first", "end"].map((p): Param => ({ name: p, type: "i32" })),
    ...passed,
    ...spec.epilogue.params,
  ];
  return [...stages, { name, params, body }];
}

/** The stream of a run of output channels' weights. */
const weightsOf = (run: number): string => `weights${run}`;

/**
 * Convolution by tiles of m x m outputs. Undefined unless the kernel is 3x3 with strides and dilations of 1 and the target has vectors.
 * Largest error relative to the largest output, on uniform inputs and weights: 1e-6 for m = 2, 3e-6 for m = 4 (direct: 1e-6).
 */
export function convWinograd(spec: ConvSpec, m: TileSize): Lowered | undefined {
  const shape = convShape(spec);
  if (!shape || !isPlain3x3(spec) || !spec.target.vectors.includes("f32x4")) return undefined;
  const source = tileSource(spec, shape, m);
  if (!source) return undefined;
  const f = frameOf(spec, shape, source);
  const plan = planWinograd(m, shape, spec.target);
  const { groupIn, groupOut } = shape;
  const points = (m + 2) ** 2;
  const bytes = stageBytes(f, plan);
  const scratch = (["factors", "sums", "tile"] as const).map(
    (p): PointerParam => ({ name: p, type: "ptr", access: "readwrite", bytes: bytes[p] }),
  );
  const weights = plan.channels.map((c, i) =>
    stream(weightsOf(i), {
      kind: "winograd",
      values: spec.weights,
      tile: m,
      columns: groupIn,
      runs: Array.from({ length: spec.groups }, (_, g) => ({ first: g * groupOut + c.start, rows: c.size * c.count, group: c.size })),
    }),
  );
  const streams = [...weights, ...(spec.bias ? [stream("bias", floats(spec.bias))] : [])];
  const name = `${spec.name}_tiles`;
  const passed = [...streams.map((s) => s.param), ...scratch];
  const functions = blockFunctions(f, plan, name, passed);
  const calls = Array.from({ length: spec.groups }, (_, g): SweepCall => {
    const start = (param: string): number => {
      const stream = weights.find((s) => s.param.name === param);
      return stream ? (g * stream.param.bytes) / spec.groups : param === "bias" ? 4 * g * groupOut : 0;
    };
    const pointers = passed.map((p) => advance(variable(p.name, "ptr"), i32(start(p.name))));
    return { name, from: g * groupIn, first: g * groupOut, end: (g + 1) * groupOut, streams: pointers, cost: 1 };
  });
  return convolution(f, {
    functions,
    calls,
    split: "rows",
    streams,
    scratch,
    kernel: `conv_f32_winograd${m}`,
    why: `dense weights, 3x3: tiles of ${m} x ${m} outputs by Winograd's transforms, ${((9 * m * m) / points).toFixed(2)}x fewer products`,
  });
}
