// Sparse convolution: every output channel is a list of taps, and each tap is a weight and one displacement for a whole tile.

import { add, advance, compare, fma, for_, i32, if_, let_, load, mul, repeat, set, splat, variable } from "../../../ir/kernel/build.ts";
import type { Expr, Func, PointerParam, Stmt } from "../../../ir/kernel/types.ts";
import { PIECES, sharesChannels } from "../split.ts";
import type { Lowered } from "../template.ts";
import { accumulate, accumulators, type Blocks, blocksOf, blockX, boundOf, overBlocks, partialSums, radixOf } from "./conv-blocks.ts";
import { accessOf, tapSource } from "./conv-input.ts";
import { fillPanel, flatAccess, flatPlan, inPanel, type Panel, panelAccess, panelOf, panelX, sumsOf, unflattened } from "./conv-panel.ts";
import { type ConvSpec, convShape } from "./conv-spec.ts";
import {
  type ConvFrame,
  convolution,
  floats,
  frameOf,
  type Stream,
  splitOf,
  stream,
  sweep,
  type TileShape,
  tapDisplacement,
  tileEnd,
  tileFirst,
  tilePlace,
  tileX,
} from "./conv-sweep.ts";
import { type Pattern, patternsOf, tapRows } from "./sparse-streams.ts";
import { names, startOf, storeTile } from "./store-tile.ts";
import { cheapestGrouping, type Grouping, stepsOf, type TapList, tapsOf } from "./tap-lists.ts";
import { planLists, vectorAccumulators } from "./tiles.ts";

type Accumulators = ReturnType<typeof accumulators>;
const pointerTo = (name: string): Expr => variable(name, "ptr");
const [wp, ip, cp, bp, dst, order] = ["wp", "ip", "cp", "bp", "dst", "op"].map(pointerTo) as [Expr, Expr, Expr, Expr, Expr, Expr];

/** The steps of list number `l` of a group. */
function listBody(f: ConvFrame, blocks: Blocks, from: Expr, list: TapList, l: number, acc: Accumulators): Stmt[] {
  const wide = blocks.expanded === "u16" ? 2 : 4;
  const taps = tapsOf(list);
  const left = variable(`left${l}`);
  const place = (y: number, v: number): number => tapDisplacement(f, y, v);
  const tap = (t: number): Expr => pointerTo(`tap${l}_${t}`);
  const weight = (i: number): Expr => variable(`w${l}_${i}`, "f32x4");
  const take = (i: number): Stmt => let_(`w${l}_${i}`, splat("f32x4", load("f32", wp, 4 * i)));
  const cells = acc[0]!.flatMap((row, y) => row.map((_, v) => ({ y, v })));
  const sum = (i: number, y: number, v: number, value: Expr): Stmt => {
    const a = acc[list.rows[i]!]![y]![v]!;
    return set(a.name, fma(weight(i), value, a));
  };
  const read = (t: number, y: number, v: number): Expr => load("f32x4", tap(t), place(y, v));
  const numbers = list.rows.map((_, i) => i);
  const input = (y: number, v: number): Expr => variable(`x${l}_${y}_${v}`, "f32x4");
  const inputs = (at: readonly { y: number; v: number }[]): Stmt[] => at.map(({ y, v }) => let_(`x${l}_${y}_${v}`, read(0, y, v)));
  const products = (): Stmt[] => {
    if (!list.shared || numbers.length === 1)
      return numbers.flatMap((i) => [take(i), ...cells.map(({ y, v }) => sum(i, y, v, read(list.shared ? 0 : i, y, v)))]);
    // Whichever are fewer, weights or inputs, are kept in registers.
    return numbers.length <= cells.length
      ? [...numbers.map(take), ...cells.flatMap((c) => [...inputs([c]), ...numbers.map((i) => sum(i, c.y, c.v, input(c.y, c.v)))])]
      : [...inputs(cells), ...numbers.flatMap((i) => [take(i), ...cells.map(({ y, v }) => sum(i, y, v, input(y, v)))])];
  };
  const steps = [
    ...Array.from({ length: taps }, (_, t) =>
      let_(`tap${l}_${t}`, advance(blockX(blocks, from), load(blocks.expanded === "u16" ? "u16" : "i32", ip, wide * t))),
    ),
    ...products(),
    set("wp", advance(wp, i32(4 * list.rows.length))),
    set("ip", advance(ip, i32(wide * taps))),
    set(`left${l}`, add(left, i32(-1))),
  ];
  return [let_(`left${l}`, load("u16", cp, 2 * l)), if_(compare("ne", left, i32(0)), [repeat(steps, compare("ne", left, i32(0)))])];
}

/** The function body of a tile: groups of output channels from `first` to `end`, block by block. */
function tileBody(outer: ConvFrame, blocks: Blocks, panel: Panel | undefined, g: Grouping, tile: TileShape): Stmt[] {
  const f = panel ? inPanel(outer, panel, tile) : outer;
  const from = panel ? panelX : tileX;
  const sums = sumsOf(f.shape, panel, tile);
  const acc = accumulators(g.rows, sums.rows, sums.vectors);
  const taps = g.lists.flatMap((list, l) => listBody(f, blocks, from, list, l, acc));
  const start = acc.flatMap((rows, r) => rows.flat().map(() => startOf(f.spec.bias ? bp : undefined, 4 * r)));
  const channel = f.spec.output.strides[1]!;
  const scope = names();
  const inOrder = (): Stmt[] => {
    const apart = panel?.flat ? unflattened(f.shape, tile, acc[0]!.flat()) : { body: [], rows: undefined };
    const place = tilePlace(dst, variable("to"), variable("m"), tile.last);
    return [...apart.body, ...storeTile(f.target, place, apart.rows ? [apart.rows] : acc, f.spec.epilogue, scope)];
  };
  const inTurn = (r: number): Stmt[] => {
    // Where the channel lies, from the first of the call.
    const [m, away] = [variable(`m${r}`), variable(`away${r}`)];
    const here = tilePlace(advance(pointerTo("y"), away), add(variable("at"), away), add(tileFirst, m), tile.last);
    return [
      let_(`m${r}`, load("u16", order, 2 * r)),
      let_(`away${r}`, mul(m, i32(channel))),
      ...storeTile(f.target, here, [acc[r]!], f.spec.epilogue, scope),
    ];
  };
  const finish = g.sorted ? acc.flatMap((_, r) => inTurn(r)) : inOrder();
  const next = g.sorted
    ? [set("op", advance(order, i32(2 * g.rows)))]
    : [set("dst", advance(dst, i32(g.rows * channel))), set("to", add(variable("to"), i32(g.rows * channel)))];
  const channels = [
    ...(f.spec.bias ? [let_("bp", pointerTo("bias"))] : []),
    ...(g.sorted ? [let_("op", pointerTo("order"))] : [let_("dst", pointerTo("y")), let_("to", variable("at"))]),
    for_(
      "m",
      tileFirst,
      tileEnd,
      [
        ...accumulate(blocks, acc.flat(2), start, taps, finish),
        set("cp", advance(cp, i32(2 * g.lists.length))),
        ...(f.spec.bias ? [set("bp", advance(bp, i32(4 * g.rows)))] : []),
        ...next,
      ],
      g.rows,
    ),
  ];
  const streams = [let_("wp", pointerTo("weights")), let_("ip", pointerTo("taps")), let_("cp", pointerTo("counts"))];
  return [...(panel ? fillPanel(outer, panel, tile) : []), ...streams, ...overBlocks(f, blocks, channels, from)];
}

/** One call for the channels of a pattern, and the streams that it reads. */
interface Part {
  readonly pattern: Pattern;
  readonly streams: readonly Stream[];
}

const nameOf = (spec: ConvSpec, g: Grouping): string => `${spec.name}_by${g.rows}`;

/** What the tiles of a grouping read, by the names that they call it. */
function parameters(g: Grouping, parts: readonly Part[]): PointerParam[] {
  const own = parts.filter((p) => p.pattern.grouping === g);
  return own[0]!.streams.map((s, k) => ({
    ...s.param,
    name: s.param.name.replace(/\d+$/, ""),
    bytes: Math.max(...own.map((p) => p.streams[k]!.param.bytes)),
  }));
}

/**
 * Sparse convolution over rows of channels. Streams: per group of output channels (and block of taps) a u16 count for each list, per step 16-bit
 * (rarely 32-bit) taps and f32 weights; zeros of `weights` are skipped. Undefined for dtypes other than f32 and empty tensors.
 */
export function convSparse(spec: ConvSpec): Lowered | undefined {
  const shape = convShape(spec);
  if (!shape) return undefined;
  const operand = tapSource(spec, shape);
  const rows = tapRows(spec, shape);
  const nonzeros = rows.reduce((sum, r) => sum + r.length, 0);
  const access = accessOf(spec, shape, operand, { outputs: shape.m, channels: shape.c, taps: nonzeros });
  const copied = panelAccess(shape, operand, access);
  const grouping = spec.grouping ?? cheapestGrouping(spec, shape, copied ?? access, rows);
  const lists = stepsOf(grouping, rows);
  const flat = grouping.rows === 1 && !spec.plan ? flatAccess(shape, operand, access) : undefined;
  const tiles = spec.plan ?? planLists(copied ?? flat ?? access, lists, spec.target);
  const plan = flat ? flatPlan(shape, tiles, vectorAccumulators(spec.target)) : tiles;
  const panel = copied || flat ? panelOf(shape, operand, plan, flat !== undefined) : undefined;
  const source = panel?.source ?? operand;
  const blocks = blocksOf(source, shape, shape.c, plan.block);
  const f = frameOf(spec, shape, operand);
  const bound = boundOf(source, blocks);
  if (bound > 2 ** 31) return undefined;
  const Columns = bound <= 65536 ? Uint16Array : Uint32Array;
  const channelwise = sharesChannels(6 * nonzeros, 4 * shape.c * shape.h * shape.w, access.rows * access.vectors);
  // A group of rows more than a share at most.
  const share = Math.ceil(nonzeros / PIECES) + Math.ceil((nonzeros * grouping.rows) / shape.m);
  const patterns = patternsOf(spec, shape, source, blocks, rows, grouping, channelwise ? share : undefined);
  const costOf = (p: Pattern): number => p.weights.length + p.end - p.first;
  const split = splitOf(plan, patterns.map(costOf), channelwise);
  if (patterns.some((p) => p.counts.some((n) => n > 65535) || p.end - p.first > 65536)) return undefined;
  const radix = radixOf(source, blocks);
  const parts = patterns.map((p, i): Part => {
    const { order, counts, columns, grouping: g } = p;
    const steps = counts.reduce((a, b) => a + b, 0);
    const streams = [
      stream(`weights${i}`, floats(p.weights)),
      stream(`taps${i}`, { kind: "indices", columns: Columns.from(columns), expanded: blocks.expanded, bound, radix }),
      stream(`counts${i}`, { kind: "counts", counts: Uint16Array.from(counts), expanded: "u16", total: steps }),
      ...(spec.bias ? [stream(`bias${i}`, floats(Float32Array.from(order, (m) => spec.bias![p.first + m]!)))] : []),
    ];
    const places = (): Stream =>
      stream(`order${i}`, {
        kind: "indices",
        columns: Uint16Array.from(order),
        expanded: "u16",
        bound: p.end - p.first,
        radix: [[p.end - p.first, 1]],
      });
    return { pattern: p, streams: g.sorted ? [...streams, places()] : streams };
  });
  const partials = partialSums(blocks, plan, Math.max(...patterns.map((p) => p.end - p.first)));
  const scratch = [...partials, ...(panel ? [panel.scratch] : [])];
  const functions: Func[] = [...new Set(patterns.map((p) => p.grouping))].flatMap((g) =>
    sweep(f, {
      name: nameOf(spec, g),
      plan,
      split,
      streams: [...parameters(g, parts), ...scratch],
      tile: (t) => tileBody(f, blocks, panel, g, t),
    }),
  );
  const calls = parts.map(({ pattern, streams }) => ({
    name: nameOf(spec, pattern.grouping),
    from: 0,
    first: pattern.first,
    end: pattern.end,
    cost: costOf(pattern),
    streams: [...streams.map((s) => s.param), ...scratch].map((p) => pointerTo(p.name)),
  }));
  return convolution(f, {
    functions,
    calls,
    split,
    streams: parts.flatMap((p) => p.streams),
    scratch,
    kernel: "conv_f32_sparse",
    why: `${nonzeros} of ${spec.weights.length} weights are not zero: skips the others${grouping.doc}`,
  });
}
