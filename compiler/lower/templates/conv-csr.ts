// Sparse convolution: every output channel is a list of taps, and each tap is a weight and one displacement for a whole tile.

import { add, advance, compare, fma, for_, i32, if_, let_, load, repeat, set, splat, variable } from "../../../ir/kernel/build.ts";
import type { Expr, Func, Stmt } from "../../../ir/kernel/types.ts";
import type { Lowered } from "../template.ts";
import {
  accumulate,
  accumulators,
  type Blocks,
  blockOf,
  blocksOf,
  blockX,
  boundOf,
  columnOf,
  overBlocks,
  partialSums,
  radixOf,
} from "./conv-blocks.ts";
import { accessOf, type TapSource, tapSource } from "./conv-input.ts";
import { fillPanel, inPanel, type Panel, panelAccess, panelOf, panelX } from "./conv-panel.ts";
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

/** Non-zeros that stay in the cache while the tiles of an image pass: at 6 bytes each, a part of a small L2. */
const NONZEROS_AT_ONCE = 40_000;

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
  const perRow = s.groupIn * s.kh * s.kw;
  return Array.from({ length: s.m }, (_, m) => {
    const group = Math.floor(m / s.groupOut) * s.groupIn;
    const taps: Tap[] = [];
    for (let i = 0; i < perRow; i++) {
      const weight = spec.weights[m * perRow + i]!;
      if (weight === 0) continue;
      const [channel, ky, kx] = [group + Math.floor(i / (s.kh * s.kw)), Math.floor(i / s.kw) % s.kh, i % s.kw];
      taps.push({ block: blockOf(blocks, channel, ky), column: columnOf(source, blocks, channel, ky, kx), weight });
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
    for (let block = 0; block < blocks.count; block++)
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
function tileBody(outer: ConvFrame, blocks: Blocks, panel: Panel | undefined, tile: TileShape): Stmt[] {
  const f = panel ? inPanel(outer, panel, tile) : outer;
  const from = panel ? panelX : tileX;
  const [wp, ip, cp, bp, dst] = ["wp", "ip", "cp", "bp", "dst"].map((name) => variable(name, "ptr")) as [Expr, Expr, Expr, Expr, Expr];
  const [left, to, weight] = [variable("left"), variable("to"), variable("weight", "f32x4")];
  const [acc] = accumulators(1, tile.rows, tile.vectors);
  const all = acc!.flatMap((row, y) => row.map((a, v) => ({ a, d: tapDisplacement(f, y, v) })));
  const index = blocks.expanded === "u16" ? load("u16", ip) : load("i32", ip);
  const loop = repeat(
    [
      let_("tap", advance(blockX(blocks, from), index)),
      let_("weight", splat("f32x4", load("f32", wp))),
      ...all.map(({ a, d }) => set(a.name, fma(weight, load("f32x4", variable("tap", "ptr"), d), a))),
      set("wp", advance(wp, i32(4))),
      set("ip", advance(ip, i32(blocks.expanded === "u16" ? 2 : 4))),
      set("left", add(left, i32(-1))),
    ],
    compare("ne", left, i32(0)),
  );
  const taps = [let_("left", load("u16", cp)), if_(compare("ne", left, i32(0)), [loop])];
  const start = startOf(f.spec.bias ? bp : undefined, 0);
  const finish = storeTile(f.target, tilePlace(dst, to, variable("m"), tile.last), 0, acc!, f.spec.epilogue, names());
  const channel = f.spec.output.strides[1]!;
  const channels = [
    ...(f.spec.bias ? [let_("bp", variable("bias", "ptr"))] : []),
    let_("dst", variable("y", "ptr")),
    let_("to", variable("at")),
    for_("m", tileFirst, tileEnd, [
      ...accumulate(
        blocks,
        all.map(({ a }) => a),
        all.map(() => start),
        taps,
        finish,
      ),
      set("cp", advance(cp, i32(2))),
      ...(f.spec.bias ? [set("bp", advance(bp, i32(4)))] : []),
      set("dst", advance(dst, i32(channel))),
      set("to", add(to, i32(channel))),
    ]),
  ];
  const streams = [let_("wp", variable("weights", "ptr")), let_("ip", variable("taps", "ptr")), let_("cp", variable("counts", "ptr"))];
  return [...(panel ? fillPanel(outer, panel, tile) : []), ...streams, ...overBlocks(f, blocks, channels, from)];
}

/**
 * Sparse convolution over rows of channels. Streams: per output channel (and block of taps) a u16 count, per non-zero a 16-bit (rarely 32-bit)
 * tap and an f32 weight; zeros of `weights` are skipped. Undefined for dtypes other than f32 and empty tensors.
 */
export function convCsr(spec: ConvSpec): Lowered | undefined {
  const shape = convShape(spec);
  if (!shape) return undefined;
  const operand = tapSource(spec, shape);
  const nonzeros = spec.weights.reduce((sum, w) => sum + (w === 0 ? 0 : 1), 0);
  const access = accessOf(spec, shape, operand, { outputs: shape.m, channels: shape.c, taps: nonzeros });
  const copied = panelAccess(shape, operand, access);
  const plan = spec.plan ?? planSingle(copied ?? access, spec.target);
  const panel = copied && panelOf(shape, operand, plan);
  const source = panel?.source ?? operand;
  const blocks = blocksOf(source, shape, shape.c, plan.block);
  const f = frameOf(spec, shape, operand);
  const bound = boundOf(source, blocks);
  if (bound > 2 ** 31) return undefined;
  const Columns = bound <= 65536 ? Uint16Array : Uint32Array;
  const chunks = patterns(spec, shape, source, blocks);
  if (chunks.some((p) => p.counts.some((n) => n > 65535))) return undefined;
  const bias: readonly Stream[] = spec.bias ? [stream("bias", floats(spec.bias))] : [];
  const streams = chunks.map((p, i): readonly Stream[] => {
    return [
      stream(`weights${i}`, floats(p.weights)),
      stream(`taps${i}`, {
        kind: "indices",
        columns: Columns.from(p.columns),
        expanded: blocks.expanded,
        bound,
        radix: radixOf(source, blocks),
      }),
      stream(`counts${i}`, { kind: "counts", counts: Uint16Array.from(p.counts), expanded: "u16", total: p.columns.length }),
    ];
  });
  const largest = (k: number): number => Math.max(...streams.map((s) => s[k]!.param.bytes));
  const passed = ["weights", "taps", "counts"].map((name, k) => ({ name, type: "ptr", access: "read", bytes: largest(k) }) as const);
  const partials = partialSums(blocks, plan, Math.max(...chunks.map((p) => p.end - p.first)));
  const scratch = [...partials, ...(panel ? [panel.scratch] : [])];
  const name = `${spec.name}_rows`;
  const functions: Func[] = sweep(f, {
    name,
    plan,
    streams: [...passed, ...bias.map((b) => b.param), ...scratch],
    tile: (t) => tileBody(f, blocks, panel, t),
  });
  const calls = chunks.map((p, i) => ({
    name,
    from: 0,
    first: p.first,
    end: p.end,
    streams: [
      ...streams[i]!.map((s) => variable(s.param.name, "ptr")),
      ...bias.map((b) => advance(variable(b.param.name, "ptr"), i32(4 * p.first))),
      ...scratch.map((b) => variable(b.name, "ptr")),
    ],
  }));
  return convolution(f, {
    functions,
    calls,
    streams: [...streams.flat(), ...bias],
    scratch,
    kernel: "conv_f32_csr",
    why: `${nonzeros} of ${spec.weights.length} weights are not zero: skips the others`,
    format: "csr",
  });
}
