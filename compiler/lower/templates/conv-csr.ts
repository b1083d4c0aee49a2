// Sparse convolution: every output channel is a list of taps, and each tap is a weight and one displacement for a whole tile.

import { add, advance, compare, fma, for_, i32, if_, let_, load, repeat, set, splat, variable } from "../../../ir/kernel/build.ts";
import type { Expr, Func, Stmt } from "../../../ir/kernel/types.ts";
import type { Lowered } from "../template.ts";
import { type TapSource, tapOffset, tapSource } from "./conv-input.ts";
import { type ConvShape, type ConvSpec, convShape } from "./conv-spec.ts";
import {
  type ConvFrame,
  convolution,
  floats,
  frameOf,
  type Stream,
  stream,
  sweep,
  tapDisplacement,
  tileEnd,
  tileFirst,
  tilePlace,
  tileX,
  type TileShape,
} from "./conv-sweep.ts";
import { names, startOf, storeTile } from "./store-tile.ts";
import { planSingle } from "./tiles.ts";

/** Taps are cut into blocks of channels and kernel rows, so that displacements within one fit 16 bits. */
interface Blocks {
  readonly channels: number;
  readonly kernelRows: number;
  readonly count: number;
  readonly expanded: "u16" | "u32";
  /** Displacement of a block's first tap. */
  readonly base: readonly number[];
}

/** More blocks than this cost more than displacements of 32 bits. */
const MOST_BLOCKS = 8;
/** Non-zeros that stay in the cache while the tiles of an image pass: at 6 bytes each, a part of a small L2. */
const NONZEROS_AT_ONCE = 40_000;

function blocksOf(source: TapSource, s: ConvShape): Blocks {
  const across = Math.max(...Array.from({ length: s.kw }, (_, kx) => tapOffset(source, 0, 0, kx)));
  const cut = (channels: number, kernelRows: number, expanded: "u16" | "u32"): Blocks => {
    const base: number[] = [];
    for (let ky = 0; ky < s.kh; ky += kernelRows)
      for (let c = 0; c < s.c; c += channels) base.push(tapOffset(source, c, ky, 0));
    return { channels, kernelRows, count: base.length, expanded, base };
  };
  let best = cut(s.c, s.kh, "u32");
  for (let rows = s.kh; rows >= 1; rows--) {
    const room = 65535 - across - (rows - 1) * source.tapRow;
    if (room < 0) continue;
    const blocks = cut(Math.min(s.c, Math.floor(room / source.channel) + 1), rows, "u16");
    if (blocks.count <= MOST_BLOCKS && (best.expanded === "u32" || blocks.count < best.count)) best = blocks;
  }
  return best;
}

/** The streams of output channels `first` to `end`. */
interface Pattern {
  readonly first: number;
  readonly end: number;
  readonly weights: Float32Array;
  readonly columns: readonly number[];
  /** Per channel and block. */
  readonly counts: readonly number[];
}

function patterns(spec: ConvSpec, s: ConvShape, source: TapSource, blocks: Blocks): Pattern[] {
  const width = source.columns.reduce((product, [extent]) => product * extent, 1);
  const perRow = s.groupIn * s.kh * s.kw;
  const blocksAcross = Math.ceil(s.c / blocks.channels);
  const found: Pattern[] = [];
  let [weights, columns, counts, first]: [number[], number[], number[], number] = [[], [], [], 0];
  const close = (end: number): void => {
    if (end > first) found.push({ first, end, weights: Float32Array.from(weights), columns, counts });
    [weights, columns, counts, first] = [[], [], [], end];
  };
  for (let m = 0; m < s.m; m++) {
    const group = Math.floor(m / s.groupOut) * s.groupIn;
    const taps: { block: number; column: number; weight: number }[] = [];
    for (let c = 0; c < s.groupIn; c++)
      for (let ky = 0; ky < s.kh; ky++)
        for (let kx = 0; kx < s.kw; kx++) {
          const weight = spec.weights[m * perRow + (c * s.kh + ky) * s.kw + kx]!;
          if (weight === 0) continue;
          const channel = group + c;
          const block = Math.floor(ky / blocks.kernelRows) * blocksAcross + Math.floor(channel / blocks.channels);
          const inBlock = (channel % blocks.channels) * blocks.kernelRows + (ky % blocks.kernelRows);
          taps.push({ block, column: inBlock * width + source.column(kx), weight });
        }
    if (weights.length > 0 && weights.length + taps.length > NONZEROS_AT_ONCE) close(m);
    const lengths = new Array<number>(blocks.count).fill(0);
    for (const t of taps.sort((a, b) => a.block - b.block || a.column - b.column)) {
      weights.push(t.weight);
      columns.push(t.column);
      lengths[t.block]!++;
    }
    counts.push(...lengths);
  }
  close(s.m);
  return found;
}

/** The function body of a tile: rows of taps for output channels `first` to `end`. */
function tileBody(f: ConvFrame, blocks: Blocks, tile: TileShape): Stmt[] {
  const indexBytes = blocks.expanded === "u16" ? 2 : 4;
  const [wp, ip, cp, dst, at] = [variable("wp", "ptr"), variable("ip", "ptr"), variable("cp", "ptr"), variable("dst", "ptr"), variable("to")];
  const bias = f.spec.bias ? variable("bp", "ptr") : undefined;
  const acc = Array.from({ length: tile.rows }, (_, y) =>
    Array.from({ length: tile.vectors }, (_, v): Expr & { kind: "var" } => ({ kind: "var", type: "f32x4", name: `acc${y}_${v}` })),
  );
  const all = acc.flatMap((row, y) => row.map((a, v) => ({ a, d: tapDisplacement(f, y, v) })));
  const index = blocks.expanded === "u16" ? load("u16", ip) : load("i32", ip);

  const block = (base: number, b: number): Stmt[] => {
    const [left, tap, weight] = [variable(`left${b}`), variable(`tap${b}`, "ptr"), variable(`w${b}`, "f32x4")];
    return [
      let_(`left${b}`, load("u16", cp, 2 * b)),
      if_(compare("ne", left, i32(0)), [
        repeat(
          [
            let_(`tap${b}`, advance(tileX, index)),
            let_(`w${b}`, splat("f32x4", load("f32", wp))),
            ...all.map(({ a, d }) => set(a.name, fma(weight, load("f32x4", tap, base + d), a))),
            set("wp", advance(wp, i32(4))),
            set("ip", advance(ip, i32(indexBytes))),
            set(`left${b}`, add(left, i32(-1))),
          ],
          compare("ne", left, i32(0)),
        ),
      ]),
    ];
  };

  const channel = f.spec.output.strides[1]!;
  const scope = names();
  return [
    let_("wp", variable("weights", "ptr")),
    let_("ip", variable("taps", "ptr")),
    let_("cp", variable("counts", "ptr")),
    ...(bias ? [let_("bp", variable("bias", "ptr"))] : []),
    let_("dst", variable("y", "ptr")),
    let_("to", variable("at")),
    for_("m", tileFirst, tileEnd, [
      ...all.map(({ a }) => let_(a.name, startOf(bias, 0))),
      ...blocks.base.flatMap(block),
      ...storeTile(f.target, tilePlace(dst, at, variable("m"), tile.last), 0, acc, f.spec.epilogue, scope),
      set("cp", advance(cp, i32(2 * blocks.count))),
      ...(bias ? [set("bp", advance(bias, i32(4)))] : []),
      set("dst", advance(dst, i32(channel))),
      set("to", add(at, i32(channel))),
    ]),
  ];
}

/**
 * Sparse convolution over rows of channels. Streams: per output channel (and block of taps) a u16 count, per non-zero a 16-bit (rarely 32-bit)
 * tap and an f32 weight; zeros of `weights` are skipped. Undefined for dtypes other than f32 and for outputs whose W is not contiguous.
 */
export function convCsr(spec: ConvSpec): Lowered | undefined {
  const shape = convShape(spec);
  if (!shape) return undefined;
  const source = tapSource(spec, shape);
  const blocks = blocksOf(source, shape);
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
  const plan = planSingle(shape.ho, f.target.vectors, spec.target);
  const largest = (k: number): number => Math.max(...streams.map((s) => s[k]!.param.bytes));
  const passed = ["weights", "taps", "counts"].map((name, k) => ({ name, type: "ptr", access: "read", bytes: largest(k) }) as const);
  const name = `${spec.name}_rows`;
  const functions: Func[] = sweep(f, {
    name,
    plan,
    streams: [...passed, ...bias.map((b) => b.param)],
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
    ],
  }));
  const nonzeros = chunks.reduce((sum, p) => sum + p.columns.length, 0);
  return convolution(f, {
    functions,
    calls,
    streams: [...streams.flat(), ...bias],
    kernel: "conv_f32_csr",
    why: `${nonzeros} of ${spec.weights.length} weights are not zero: skips the others`,
    format: "csr",
  });
}
