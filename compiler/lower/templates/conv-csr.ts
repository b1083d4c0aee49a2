// Sparse convolution: every output channel is a list of taps, and each tap is a weight and one displacement for a whole tile.

import { add, advance, compare, f32, fma, for_, i32, if_, let_, load, rem, repeat, set, splat, store, variable } from "../../../ir/kernel/build.ts";
import type { Expr, Func, Stmt } from "../../../ir/kernel/types.ts";
import type { Lowered } from "../template.ts";
import { accessOf, type TapSource, tapOffset, tapSource } from "./conv-input.ts";
import { type ConvShape, type ConvSpec, convShape } from "./conv-spec.ts";
import {
  type ConvFrame,
  convolution,
  floats,
  frameOf,
  type Stream,
  stream,
  sweep,
  type TileShape,
  tapDisplacement,
  tileEnd,
  tileFirst,
  tilePlace,
  tileX,
} from "./conv-sweep.ts";
import { names, startOf, storeTile } from "./store-tile.ts";
import { planSingle } from "./tiles.ts";

/** Taps are cut into blocks of channels and kernel rows: what one block touches stays in the cache, its displacements fit 16 bits. */
interface Blocks {
  readonly channels: number;
  readonly kernelRows: number;
  /** Blocks side by side in channels, and one above the other in kernel rows. */
  readonly across: number;
  readonly down: number;
  readonly expanded: "u16" | "u32";
}

/** Blocks of fewer channels cost more than displacements of 32 bits. */
const LEAST_CHANNELS = 8;
/** Non-zeros that stay in the cache while the tiles of an image pass: at 6 bytes each, a part of a small L2. */
const NONZEROS_AT_ONCE = 40_000;

/** At most `most` channels a block. */
function blocksOf(source: TapSource, s: ConvShape, most: number): Blocks {
  const width = Math.max(...Array.from({ length: s.kw }, (_, kx) => tapOffset(source, 0, 0, kx)));
  const cut = (channels: number, kernelRows: number, expanded: "u16" | "u32"): Blocks => {
    const across = Math.ceil(s.c / channels);
    return { channels: Math.ceil(s.c / across), kernelRows, across, down: Math.ceil(s.kh / kernelRows), expanded };
  };
  let best: Blocks | undefined;
  for (let rows = s.kh; rows >= 1; rows--) {
    const room = 65535 - width - (rows - 1) * source.tapRow;
    const fits = Math.floor(room / source.channel) + 1;
    if (room < 0 || (fits < LEAST_CHANNELS && fits < most)) continue;
    const blocks = cut(Math.min(most, fits), rows, "u16");
    if (!best || blocks.across * blocks.down < best.across * best.down) best = blocks;
  }
  return best ?? cut(most, s.kh, "u32");
}

/** The streams of output channels `first` to `end`. */
interface Pattern {
  readonly first: number;
  readonly end: number;
  readonly weights: Float32Array;
  readonly columns: readonly number[];
  /** Per block and channel; the other streams are in the same order. */
  readonly counts: readonly number[];
}

interface Tap {
  readonly block: number;
  readonly column: number;
  readonly weight: number;
}

function tapsOf(spec: ConvSpec, s: ConvShape, source: TapSource, blocks: Blocks): Tap[][] {
  const width = source.columns.reduce((product, [extent]) => product * extent, 1);
  const perRow = s.groupIn * s.kh * s.kw;
  return Array.from({ length: s.m }, (_, m) => {
    const group = Math.floor(m / s.groupOut) * s.groupIn;
    const taps: Tap[] = [];
    for (let i = 0; i < perRow; i++) {
      const weight = spec.weights[m * perRow + i]!;
      if (weight === 0) continue;
      const [channel, ky, kx] = [group + Math.floor(i / (s.kh * s.kw)), Math.floor(i / s.kw) % s.kh, i % s.kw];
      const block = Math.floor(ky / blocks.kernelRows) * blocks.across + Math.floor(channel / blocks.channels);
      const inBlock = (channel % blocks.channels) * blocks.kernelRows + (ky % blocks.kernelRows);
      taps.push({ block, column: inBlock * width + source.column(kx), weight });
    }
    return taps;
  });
}

function patterns(spec: ConvSpec, s: ConvShape, source: TapSource, blocks: Blocks): Pattern[] {
  const rows = tapsOf(spec, s, source, blocks);
  const found: Pattern[] = [];
  const close = (first: number, end: number): void => {
    const counts: number[] = [];
    const taps: Tap[] = [];
    for (let block = 0; block < blocks.across * blocks.down; block++)
      for (let m = first; m < end; m++) {
        const here = rows[m]!.filter((t) => t.block === block);
        counts.push(here.length);
        for (const t of here) taps.push(t);
      }
    found.push({ first, end, weights: Float32Array.from(taps, (t) => t.weight), columns: taps.map((t) => t.column), counts });
  };
  let [first, held] = [0, 0];
  rows.forEach((taps, m) => {
    if (held > 0 && held + taps.length > NONZEROS_AT_ONCE) {
      close(first, m);
      [first, held] = [m, 0];
    }
    held += taps.length;
  });
  close(first, s.m);
  return found;
}

/** The function body of a tile: rows of taps for output channels `first` to `end`, block by block. */
function tileBody(f: ConvFrame, blocks: Blocks, tile: TileShape): Stmt[] {
  const pointers = ["wp", "ip", "cp", "bp", "dst", "partial", "tap", "xb"] as const;
  const [wp, ip, cp, bp, dst, partial, tap, xb] = pointers.map((name) => variable(name, "ptr")) as [Expr, Expr, Expr, Expr, Expr, Expr, Expr, Expr];
  const [left, to, weight] = [variable("left"), variable("to"), variable("weight", "f32x4")];
  const several = blocks.across * blocks.down > 1;
  const acc = Array.from({ length: tile.rows }, (_, y) =>
    Array.from({ length: tile.vectors }, (_, v): Expr & { kind: "var" } => ({ kind: "var", type: "f32x4", name: `acc${y}_${v}` })),
  );
  const all = acc.flatMap((row, y) => row.map((a, v) => ({ a, d: tapDisplacement(f, y, v) })));
  const index = blocks.expanded === "u16" ? load("u16", ip) : load("i32", ip);
  const start = startOf(f.spec.bias ? bp : undefined, 0);
  const taps = repeat(
    [
      let_("tap", advance(several ? xb : tileX, index)),
      let_("weight", splat("f32x4", load("f32", wp))),
      ...all.map(({ a, d }) => set(a.name, fma(weight, load("f32x4", tap, d), a))),
      set("wp", advance(wp, i32(4))),
      set("ip", advance(ip, i32(blocks.expanded === "u16" ? 2 : 4))),
      set("left", add(left, i32(-1))),
    ],
    compare("ne", left, i32(0)),
  );
  const channel = f.spec.output.strides[1]!;
  const finish = storeTile(f.target, tilePlace(dst, to, variable("m"), tile.last), 0, acc, f.spec.epilogue, names());
  const [isFirst, isLast] = [compare("eq", variable("block"), i32(0)), compare("eq", variable("block"), i32(blocks.across * blocks.down - 1))];
  const begin = all.map(({ a }) => set(a.name, start));
  const resume = all.map(({ a }, i) => set(a.name, load("f32x4", partial, 16 * i)));
  const pause = all.map(({ a }, i) => store("f32x4", partial, a, 16 * i));
  const zero = splat("f32x4", f32(0));

  const channels = [
    ...(f.spec.bias ? [let_("bp", variable("bias", "ptr"))] : []),
    ...(several ? [let_("partial", variable("partials", "ptr"))] : []),
    let_("dst", variable("y", "ptr")),
    let_("to", variable("at")),
    for_("m", tileFirst, tileEnd, [
      ...all.map(({ a }) => let_(a.name, several ? zero : start)),
      ...(several ? [if_(isFirst, begin, resume)] : []),
      let_("left", load("u16", cp)),
      if_(compare("ne", left, i32(0)), [taps]),
      ...(several ? [if_(isLast, finish, pause), set("partial", advance(partial, i32(16 * all.length)))] : finish),
      set("cp", advance(cp, i32(2))),
      ...(f.spec.bias ? [set("bp", advance(bp, i32(4)))] : []),
      set("dst", advance(dst, i32(channel))),
      set("to", add(to, i32(channel))),
    ]),
  ];
  return [
    let_("wp", variable("weights", "ptr")),
    let_("ip", variable("taps", "ptr")),
    let_("cp", variable("counts", "ptr")),
    ...(several ? overBlocks(f, blocks, channels) : channels),
  ];
}

/** Runs `body` for every block in order, with `xb` at its first tap. */
function overBlocks(f: ConvFrame, blocks: Blocks, body: readonly Stmt[]): Stmt[] {
  const [block, xb] = [variable("block"), variable("xb", "ptr")];
  const step = blocks.channels * f.source.channel;
  // The last of a row of blocks goes on to the first of the next.
  const wrap = blocks.kernelRows * f.source.tapRow - blocks.across * step;
  const turn = compare("eq", rem(add(block, i32(1)), i32(blocks.across)), i32(0));
  const next = [
    set("xb", advance(xb, i32(step))),
    ...(blocks.down > 1 ? [if_(turn, [set("xb", advance(xb, i32(wrap)))])] : []),
  ];
  return [let_("xb", tileX), for_("block", i32(0), i32(blocks.across * blocks.down), [...body, ...next])];
}

/**
 * Sparse convolution over rows of channels. Streams: per output channel (and block of taps) a u16 count, per non-zero a 16-bit (rarely 32-bit)
 * tap and an f32 weight; zeros of `weights` are skipped. Undefined for dtypes other than f32 and for outputs whose W is not contiguous.
 */
export function convCsr(spec: ConvSpec): Lowered | undefined {
  const shape = convShape(spec);
  if (!shape) return undefined;
  const source = tapSource(spec, shape);
  const nonzeros = spec.weights.reduce((sum, w) => sum + (w === 0 ? 0 : 1), 0);
  const plan = spec.plan ?? planSingle(accessOf(spec, shape, source, nonzeros), spec.target);
  const blocks = blocksOf(source, shape, plan.block);
  const f = frameOf(spec, shape, source);
  const width = source.columns.reduce((product, [extent]) => product * extent, 1);
  const bound = blocks.channels * blocks.kernelRows * width;
  if (bound > 2 ** 31) return undefined;
  const Columns = bound <= 65536 ? Uint16Array : Uint32Array;
  const chunks = patterns(spec, shape, source, blocks);
  if (chunks.some((p) => p.counts.some((n) => n > 65535))) return undefined;
  const bias: readonly Stream[] = spec.bias ? [stream("bias", floats(spec.bias))] : [];
  const streams = chunks.map((p, i): readonly Stream[] => {
    const radix = [[blocks.channels, source.channel], [blocks.kernelRows, source.tapRow], ...source.columns] as const;
    return [
      stream(`weights${i}`, floats(p.weights)),
      stream(`taps${i}`, { kind: "indices", columns: Columns.from(p.columns), expanded: blocks.expanded, bound, radix }),
      stream(`counts${i}`, { kind: "counts", counts: Uint16Array.from(p.counts), expanded: "u16", total: p.columns.length }),
    ];
  });
  const largest = (k: number): number => Math.max(...streams.map((s) => s[k]!.param.bytes));
  const passed = ["weights", "taps", "counts"].map((name, k) => ({ name, type: "ptr", access: "read", bytes: largest(k) }) as const);
  const tile = Math.max(...plan.rows.map((y) => y.size)) * Math.max(...plan.vectors.map((x) => x.size));
  const several = blocks.across * blocks.down > 1;
  const rows = Math.max(...chunks.map((p) => p.end - p.first));
  const partials = several ? [{ name: "partials", type: "ptr", access: "readwrite", bytes: 16 * tile * rows } as const] : [];
  const name = `${spec.name}_rows`;
  const functions: Func[] = sweep(f, {
    name,
    plan,
    streams: [...passed, ...bias.map((b) => b.param), ...partials],
    tile: (t) => tileBody(f, blocks, t),
  });
  const calls = chunks.map((p, i) => ({
    name,
    from: 0,
    first: p.first,
    end: p.end,
    streams: [
      ...streams[i]!.map((s) => variable(s.param.name, "ptr")),
      ...bias.map((b) => advance(variable(b.param.name, "ptr"), i32(4 * p.first))),
      ...partials.map((b) => variable(b.name, "ptr")),
    ],
  }));
  return convolution(f, {
    functions,
    calls,
    streams: [...streams.flat(), ...bias],
    scratch: partials,
    kernel: "conv_f32_csr",
    why: `${nonzeros} of ${spec.weights.length} weights are not zero: skips the others`,
    format: "csr",
  });
}
