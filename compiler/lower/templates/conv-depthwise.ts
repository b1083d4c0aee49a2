// Depthwise convolution: every output channel reads one input channel, by the same few taps.

import { add, advance, compare, div, fma, for_, i32, let_, load, mul, repeat, set, splat, variable } from "../../../ir/kernel/build.ts";
import type { Expr, PointerParam, Stmt } from "../../../ir/kernel/types.ts";
import type { Lowered } from "../template.ts";
import { accumulators } from "./conv-blocks.ts";
import { accessOf, type TapSource, tapOffset, tapSource } from "./conv-input.ts";
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
import { names, startOf, storeTile, type TilePlace } from "./store-tile.ts";
import { balanced, planSingle } from "./tiles.ts";
import { readsEveryOther, windowAccumulators, windowTaps } from "./window.ts";

/** So few taps are written out one after the other, where the target keeps their order. */
const MOST_UNROLLED = 25;

/** Wider rows of taps are better copied once than read in place, every other column. */
const MOST_EVERY_OTHER = 5;

/** Weights that stay in registers while a channel's rows pass. */
const MOST_KEPT = 9;
/** Rows at once beside them, which share the columns that they load. */
const ROWS_KEPT = 3;

/** Whether weights are kept along rows: their taps must be neighbours, and the target keep the order of loads. */
const alongRows = ({ spec, shape, source }: ConvFrame): boolean =>
  spec.target.fma && shape.kh * shape.kw <= MOST_KEPT && source.vector === 16 && spec.strides[0] === 1 && spec.dilations[0] === 1;

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

/** All vectors of a tile's rows, for one channel, whose weights stay in registers; each column is loaded once for all rows. */
function rowsBody(f: ConvFrame, tile: TileShape, x: Expr, place: TilePlace, bias: Expr | undefined): Stmt[] {
  const { source, shape, spec } = f;
  const weight = (ky: number, kx: number): Expr => variable(`w${ky}_${kx}`, "f32x4");
  const keep = tapsOf(shape).map(({ ky, kx }) =>
    let_(`w${ky}_${kx}`, splat("f32x4", load("f32", variable("wp", "ptr"), 4 * (ky * shape.kw + kx)))),
  );
  const vector = (v: Expr, last: boolean, id: string): Stmt[] => {
    const [from, dst, at] = [variable(`from${id}`, "ptr"), variable(`dstv${id}`, "ptr"), variable(`atv${id}`)] as [Expr, Expr, Expr];
    const acc = Array.from({ length: tile.rows }, (_, y) => ({ kind: "var", type: "f32x4", name: `acc${id}_${y}` }) as const);
    const taps: Stmt[] = [];
    for (let row = 0; row < tile.rows + shape.kh - 1; row++)
      for (let kx = 0; kx < shape.kw; kx++) {
        const name = `x${id}_${row}_${kx}`;
        taps.push(let_(name, load("f32x4", from, row * source.row + tapOffset(source, 0, 0, kx))));
        for (let y = Math.max(0, row - shape.kh + 1); y <= Math.min(row, tile.rows - 1); y++)
          taps.push(set(acc[y]!.name, fma(weight(row - y, kx), variable(name, "f32x4"), acc[y]!)));
      }
    return [
      let_(`from${id}`, advance(x, mul(v, i32(16)))),
      let_(`dstv${id}`, advance(place.dst, mul(v, i32(4 * f.target.lane)))),
      let_(`atv${id}`, add(place.at, mul(v, i32(4 * f.target.lane)))),
      ...acc.map((a) => let_(a.name, startOf(bias, 0))),
      ...taps,
      ...storeTile(f.target, { ...place, dst, at, x: add(place.x, mul(v, i32(4))), last }, [acc.map((a) => [a])], spec.epilogue, scope),
    ];
  };
  const scope = names();
  const whole = tile.last ? tile.vectors - 1 : tile.vectors;
  return [
    ...keep,
    ...(whole > 0 ? [for_("v", i32(0), i32(whole), vector(variable("v"), false, ""))] : []),
    ...(tile.last ? vector(i32(whole), true, "_end") : []),
    set("wp", advance(variable("wp", "ptr"), i32(4 * shape.kh * shape.kw))),
  ];
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
  const atOnce = (): Stmt[] => [
    ...all.map(({ a }) => let_(a.name, startOf(spec.bias ? bp : undefined, 0))),
    ...(unrolled(f) ? written : looped),
    ...storeTile(f.target, tilePlace(dst, to, m, tile.last), [acc!], spec.epilogue),
  ];
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
      ...(alongRows(f) ? rowsBody(f, tile, xc, tilePlace(dst, to, m, tile.last), spec.bias ? bp : undefined) : atOnce()),
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
  const tiles = spec.plan ?? planSingle({ ...access, outputs: shape.groupOut, channels: 1, taps: spec.weights.length / shape.c }, can);
  const plan = alongRows(f) ? { ...tiles, rows: balanced(access.rows, ROWS_KEPT), vectors: balanced(access.vectors, access.vectors) } : tiles;
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
