// Dense convolution without im2col: register tiles of several output channels that share the loads of each tap.

import { add, advance, compare, fma, for_, i32, let_, load, repeat, select, set, splat, variable } from "../../../ir/kernel/build.ts";
import type { Expr, Func, Stmt } from "../../../ir/kernel/types.ts";
import { PIECES, sharesChannels } from "../split.ts";
import type { Lowered, Packed } from "../template.ts";
import {
  accumulate,
  accumulators,
  type Blocks,
  block,
  blockX,
  boundOf,
  columnOf,
  overBlocks,
  partialSums,
  radixOf,
} from "./conv-blocks.ts";
import { accessOf, type TapSource, tapOffset, tapSource } from "./conv-input.ts";
import { type ConvShape, type ConvSpec, convShape } from "./conv-spec.ts";
import {
  type ConvFrame,
  convolution,
  floats,
  frameOf,
  type Stream,
  type SweepCall,
  splitOf,
  stream,
  sweep,
  type TileShape,
  tapDisplacement,
  tileEnd,
  tileFirst,
  tilePlace,
} from "./conv-sweep.ts";
import { startOf, storeTile } from "./store-tile.ts";
import { planShared, type Segment } from "./tiles.ts";

/** Bytes of weights that stay in the cache while the tiles of an image pass. */
const WEIGHTS_AT_ONCE = 256 * 1024;
/** Groups of channels are calls of their own; beyond so many there are better ways. */
const MOST_GROUPS = 64;

function blocksOf(source: TapSource, s: ConvShape, most: number): Blocks {
  const across = Math.ceil(s.groupIn / Math.min(s.groupIn, most));
  const channels = Math.ceil(s.groupIn / across);
  const last = Math.max(...Array.from({ length: s.kw }, (_, kx) => tapOffset(source, channels - 1, s.kh - 1, kx)));
  return { channels, kernelRows: s.kh, across, down: 1, count: across, expanded: last < 65536 ? "u16" : "u32" };
}

/** Taps of 1x1 kernels follow each other at one distance; others look theirs up. */
const hasTable = (s: ConvShape): boolean => s.kh * s.kw > 1;

function table(source: TapSource, s: ConvShape, blocks: Blocks): Stream[] {
  if (!hasTable(s)) return [];
  const bound = boundOf(source, blocks);
  const Columns = bound <= 65536 ? Uint16Array : Uint32Array;
  const taps = Array.from({ length: blocks.channels * s.kh * s.kw }, (_, i) =>
    columnOf(source, blocks, Math.floor(i / (s.kh * s.kw)), Math.floor(i / s.kw) % s.kh, i % s.kw),
  );
  return [
    stream("taps", { kind: "indices", columns: Columns.from(taps), expanded: blocks.expanded, bound, radix: radixOf(source, blocks) }),
  ];
}

/** A run of output channels `first` to `end`, `size` at a time, and where its weights begin. */
interface Run {
  readonly group: number;
  readonly first: number;
  readonly end: number;
  readonly size: number;
  readonly at: number;
}

/** Cuts the output channels into runs; their weights are packed as [run][block][channels of one tile][tap][channel]. */
function cutWeights(
  spec: ConvSpec,
  s: ConvShape,
  blocks: Blocks,
  segments: readonly Segment[],
  pieces: number,
): { runs: Run[]; weights: Packed } {
  const area = s.kh * s.kw;
  const perRow = s.groupIn * area;
  const runs: Run[] = [];
  let at = 0;
  const cut = (run: Run): void => {
    runs.push(run);
    at += 4 * (run.end - run.first) * perRow;
  };
  for (let group = 0; group < spec.groups; group++)
    for (const { start, size, count } of segments) {
      const base = group * s.groupOut + start;
      const many = Math.max(1, Math.min(Math.floor(WEIGHTS_AT_ONCE / (4 * size * perRow)), Math.ceil(count / pieces)));
      for (let i = 0; i < count; i += many) cut({ group, first: base + i * size, end: base + Math.min(count, i + many) * size, size, at });
    }
  const panels = runs.map((r) => ({ first: r.first, rows: r.end - r.first, group: r.size, block: blocks.channels * area }));
  return { runs, weights: { kind: "panels", values: spec.weights, columns: perRow, runs: panels } };
}

/** The function body of a tile of `outputs` output channels at a time. */
function tileBody(f: ConvFrame, blocks: Blocks, outputs: number, tile: TileShape): Stmt[] {
  const [wp, tp, bp, dst, tap] = ["wp", "tp", "bp", "dst", "tap"].map((name) => variable(name, "ptr")) as [Expr, Expr, Expr, Expr, Expr];
  const [left, to] = [variable("left"), variable("to")];
  const acc = accumulators(outputs, tile.rows, tile.vectors);
  const inputs = acc[0]!.flatMap((row, y) => row.map((_, v) => ({ name: `x${y}_${v}`, d: tapDisplacement(f, y, v) })));
  const area = f.shape.kh * f.shape.kw;
  const full = i32(blocks.channels * area);
  const rest = i32((f.shape.groupIn - (blocks.count - 1) * blocks.channels) * area);
  const looked = hasTable(f.shape);
  const index = blocks.expanded === "u16" ? load("u16", tp) : load("i32", tp);
  const products = acc.flatMap((rows, r) => [
    let_(`w${r}`, splat("f32x4", load("f32", wp, 4 * r))),
    ...rows.flat().map((a, i) => set(a.name, fma(variable(`w${r}`, "f32x4"), variable(inputs[i]!.name, "f32x4"), a))),
  ]);
  const taps = [
    let_("left", select(compare("eq", block, i32(blocks.count - 1)), rest, full)),
    looked ? let_("tp", variable("taps", "ptr")) : let_("tap", blockX(blocks)),
    repeat(
      [
        ...(looked ? [let_("tap", advance(blockX(blocks), index))] : []),
        ...inputs.map(({ name, d }) => let_(name, load("f32x4", tap, d))),
        ...products,
        set("wp", advance(wp, i32(4 * outputs))),
        looked ? set("tp", advance(tp, i32(blocks.expanded === "u16" ? 2 : 4))) : set("tap", advance(tap, i32(f.source.channel))),
        set("left", add(left, i32(-1))),
      ],
      compare("ne", left, i32(0)),
    ),
  ];
  if (blocks.count === 1) taps[0] = let_("left", full);
  const flat = acc.map((rows) => rows.flat());
  const start = flat.flatMap((all, r) => all.map(() => startOf(f.spec.bias ? bp : undefined, 4 * r)));
  const finish = storeTile(f.target, tilePlace(dst, to, variable("m"), tile.last), acc, f.spec.epilogue);
  const step = i32(outputs * f.spec.output.strides[1]!);
  const channels = [
    ...(f.spec.bias ? [let_("bp", variable("bias", "ptr"))] : []),
    let_("dst", variable("y", "ptr")),
    let_("to", variable("at")),
    for_(
      "m",
      tileFirst,
      tileEnd,
      [
        ...accumulate(blocks, flat.flat(), start, taps, finish),
        ...(f.spec.bias ? [set("bp", advance(bp, i32(4 * outputs)))] : []),
        set("dst", advance(dst, step)),
        set("to", add(to, step)),
      ],
      outputs,
    ),
  ];
  return [let_("wp", variable("weights", "ptr")), ...overBlocks(f, blocks, channels)];
}

/**
 * Dense convolution over rows of channels, by groups where there are some. Undefined for dtypes other than f32, empty tensors, and more
 * than 64 groups.
 */
export function convDense(spec: ConvSpec): Lowered | undefined {
  const shape = convShape(spec);
  if (!shape || spec.groups > MOST_GROUPS) return undefined;
  const source = tapSource(spec, shape);
  const f = frameOf(spec, shape, source);
  const taps = spec.weights.length / spec.groups;
  const access = accessOf(spec, shape, source, { outputs: shape.groupOut, channels: shape.groupIn, taps });
  const plan = spec.plan ?? planShared(access, shape.groupOut, spec.target);
  const blocks = blocksOf(source, shape, plan.block);
  if (boundOf(source, blocks) > 2 ** 31) return undefined;
  const channelwise = sharesChannels(4 * spec.weights.length, 4 * shape.c * shape.h * shape.w, access.rows * access.vectors);
  const { runs, weights } = cutWeights(spec, shape, blocks, plan.channels, channelwise ? PIECES : 1);
  const costOf = (r: Run): number => r.end - r.first;
  const split = splitOf(plan, runs.map(costOf), channelwise);
  const streams = [stream("weights", weights), ...table(source, shape, blocks), ...(spec.bias ? [stream("bias", floats(spec.bias))] : [])];
  const partials = partialSums(blocks, plan, Math.max(...runs.map((r) => r.end - r.first)));
  const name = (size: number): string => `${spec.name}_by${size}`;
  const functions: Func[] = [...new Set(plan.channels.map((s) => s.size))].flatMap((size) =>
    sweep(f, {
      name: name(size),
      plan,
      split,
      streams: [...streams.map((s) => s.param), ...partials],
      tile: (t) => tileBody(f, blocks, size, t),
    }),
  );
  const calls = runs.map((r): SweepCall => {
    const start = (param: string): number => (param === "weights" ? r.at : param === "bias" ? 4 * r.first : 0);
    const pointers = [...streams.map((s) => s.param.name), ...partials.map((p) => p.name)];
    const streamsAt = pointers.map((p) => advance(variable(p, "ptr"), i32(start(p))));
    return { name: name(r.size), from: r.group * shape.groupIn, first: r.first, end: r.end, streams: streamsAt, cost: costOf(r) };
  });
  return convolution(f, {
    functions,
    calls,
    split,
    streams,
    scratch: partials,
    kernel: "conv_f32_dense",
    why: "dense weights: direct convolution, several output channels at a time",
  });
}
