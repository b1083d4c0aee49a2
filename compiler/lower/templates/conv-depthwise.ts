// Depthwise convolution: every output channel reads one input channel, by the same few taps.

import { add, advance, compare, div, fma, for_, i32, let_, load, mul, repeat, set, splat, variable } from "../../../ir/kernel/build.ts";
import type { Expr, PointerParam, Stmt } from "../../../ir/kernel/types.ts";
import type { Lowered } from "../template.ts";
import { accumulators } from "./conv-blocks.ts";
import { accessOf, type TapSource, tapSource } from "./conv-input.ts";
import { type ConvShape, type ConvSpec, convShape } from "./conv-spec.ts";
import {
  type ConvFrame,
  convolution,
  floats,
  frameOf,
  type Stream,
  type SweepCall,
  splitChannels,
  stream,
  sweep,
  type TileShape,
  tapDisplacement,
  tileEnd,
  tileFirst,
  tilePlace,
  tileX,
} from "./conv-sweep.ts";
import { startOf, storeTile } from "./store-tile.ts";
import { planSingle } from "./tiles.ts";
import { readsEveryOther, windowAccumulators, windowTaps } from "./window.ts";

/** So few taps are written out one after the other, where the target keeps their order. */
const MOST_UNROLLED = 25;

/** Wider rows of taps are better copied once than read in place, every other column. */
const MOST_EVERY_OTHER = 5;

/** Whether the taps are code, with displacements in it, rather than a loop over a table. */
const unrolled = (f: ConvFrame): boolean => readsEveryOther(f) || (f.spec.target.fma && f.shape.kh * f.shape.kw <= MOST_UNROLLED);

const tapsOf = (s: ConvShape): { ky: number; kx: number }[] =>
  Array.from({ length: s.kh * s.kw }, (_, i) => ({ ky: Math.floor(i / s.kw), kx: i % s.kw }));

function table(source: TapSource, s: ConvShape): Stream {
  const width = source.columns.reduce((product, [extent]) => product * extent, 1);
  const columns = Uint16Array.from(tapsOf(s), ({ ky, kx }) => ky * width + source.column(kx));
  const radix = [[s.kh, source.tapRow], ...source.columns] as const;
  return stream("taps", { kind: "indices", columns, expanded: "u32", bound: s.kh * width, radix });
}

/** The function body of a tile, for output channels `first` to `end`. */
function tileBody(f: ConvFrame, tile: TileShape): Stmt[] {
  const { shape, source, spec } = f;
  const [wp, tp, bp, dst, xc] = ["wp", "tp", "bp", "dst", "xc"].map((name) => variable(name, "ptr")) as [Expr, Expr, Expr, Expr, Expr];
  const [left, to, m] = [variable("left"), variable("to"), variable("m")];
  const [acc] = accumulators(1, tile.rows, tile.vectors);
  const all = acc!.flatMap((row, y) => row.map((a, v) => ({ a, d: tapDisplacement(f, y, v) })));
  const area = shape.kh * shape.kw;
  const tap = (id: string, weight: Expr, at: Expr, base: number): Stmt[] => [
    let_(`weight${id}`, splat("f32x4", weight)),
    ...all.map(({ a, d }) => set(a.name, fma(variable(`weight${id}`, "f32x4"), load("f32x4", at, base + d), a))),
  ];
  const looped = [
    let_("tp", variable("taps", "ptr")),
    let_("left", i32(area)),
    repeat(
      [
        let_("tap", advance(xc, load("i32", tp))),
        ...tap("", load("f32", wp), variable("tap", "ptr"), 0),
        set("wp", advance(wp, i32(4))),
        set("tp", advance(tp, i32(4))),
        set("left", add(left, i32(-1))),
      ],
      compare("ne", left, i32(0)),
    ),
  ];
  const written = windowTaps(f, tile, acc!, xc, {
    before: (kx, id) => ({ body: [let_(`weight${id}`, splat("f32x4", load("f32", wp, 4 * kx)))], value: variable(`weight${id}`, "f32x4") }),
    combine: (a, value, weight) => fma(weight!, value, a),
    next: [set("wp", advance(wp, i32(4 * shape.kw)))],
  });
  const channel = spec.output.strides[1]!;
  // The input channel of an output channel; one each unless there is a multiplier.
  const input = shape.groupOut === 1 ? m : div(m, i32(shape.groupOut));
  return [
    let_("wp", variable("weights", "ptr")),
    ...(spec.bias ? [let_("bp", variable("bias", "ptr"))] : []),
    let_("dst", variable("y", "ptr")),
    let_("to", variable("at")),
    for_("m", tileFirst, tileEnd, [
      let_("xc", advance(tileX, mul(input, i32(source.channel)))),
      ...all.map(({ a }) => let_(a.name, startOf(spec.bias ? bp : undefined, 0))),
      ...(unrolled(f) ? written : looped),
      ...storeTile(f.target, tilePlace(dst, to, m, tile.last), [acc!], spec.epilogue),
      ...(spec.bias ? [set("bp", advance(bp, i32(4)))] : []),
      set("dst", advance(dst, i32(channel))),
      set("to", add(to, i32(channel))),
    ]),
  ];
}

/** Depthwise convolution over rows of channels. Undefined unless each group has one input channel, and where `convDense` is. */
export function convDepthwise(spec: ConvSpec): Lowered | undefined {
  const shape = convShape(spec);
  if (shape?.groupIn !== 1) return undefined;
  const everyOther = shape.kw <= MOST_EVERY_OTHER;
  const source = tapSource(spec, shape, { everyOther });
  const f = frameOf(spec, shape, source);
  const access = accessOf(spec, shape, source, { outputs: shape.m, channels: shape.c, taps: spec.weights.length });
  const can = readsEveryOther(f) ? { ...spec.target, vectors: ["f32x4"] as const, accumulators: windowAccumulators(f) } : spec.target;
  // A channel is done with after its few taps: no cache to keep.
  const plan = spec.plan ?? planSingle({ ...access, outputs: shape.groupOut, channels: 1, taps: spec.weights.length / shape.c }, can);
  const streams = [
    stream("weights", floats(spec.weights)),
    ...(unrolled(f) ? [] : [table(source, shape)]),
    ...(spec.bias ? [stream("bias", floats(spec.bias))] : []),
  ];
  const name = `${spec.name}_channels`;
  const { split, ranges } = splitChannels(plan, shape.m);
  const perChannel = new Map([
    ["weights", 4 * shape.kh * shape.kw],
    ["bias", 4],
  ]);
  const calls = ranges.map(([first, end]): SweepCall => {
    const at = ({ name }: PointerParam): Expr => advance(variable(name, "ptr"), i32(first * (perChannel.get(name) ?? 0)));
    return { name, from: 0, first, end, streams: streams.map((s) => at(s.param)), cost: end - first };
  });
  const functions = sweep(f, { name, plan, split, streams: streams.map((s) => s.param), tile: (t) => tileBody(f, t) });
  return convolution(f, {
    functions,
    calls,
    split,
    streams,
    kernel: "conv_f32_depthwise",
    why: "one input channel a group: channel by channel",
  });
}
