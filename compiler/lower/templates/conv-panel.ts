// Copies of what a tile reads: where a 1x1 kernel's rows are long, the vectors of a tile lie on lines that it uses in part, too many of them
// for the cache. Side by side in scratch they fit, and the copy is paid back by the taps of all output channels. Where rows are short and end
// within a vector, their pixels are put end to end, and fill fewer vectors.

import { advance, for_, i32, let_, load, set, shuffle, store, variable } from "../../../ir/kernel/build.ts";
import type { Expr, PointerParam, Stmt } from "../../../ir/kernel/types.ts";
import type { TapSource } from "./conv-input.ts";
import type { ConvShape } from "./conv-spec.ts";
import { type ConvFrame, type TileShape, tapDisplacement, tileX } from "./conv-sweep.ts";
import { type Access, balanced, CACHE, linesOf, type TilePlan } from "./tiles.ts";

export interface Panel {
  /** How taps lie in the copy: channel by channel, the vectors of a tile. */
  readonly source: TapSource;
  readonly scratch: PointerParam;
  /** Whether a tile's rows lie end to end. */
  readonly flat: boolean;
}

/** Taps a channel and tile that pay for its copy. */
const LEAST_TAPS = 8;
/** Vectors of a tile where the choice is made, the same for every target: the order of the streams hangs on it. */
const COMMON = 7;

/** What the taps of a tile touch in a panel, where copying pays; else undefined. */
export function panelAccess(s: ConvShape, source: TapSource, a: Access): Access | undefined {
  if (s.kh * s.kw > 1 || source.vector !== 16 || a.vectors < COMMON || a.taps < LEAST_TAPS * a.channels) return undefined;
  return linesOf(16 * COMMON) * 64 * a.channels > CACHE ? { ...a, channelBytes: 16 * COMMON, rowBytes: 0 } : undefined;
}

export function panelOf(s: ConvShape, source: TapSource, plan: TilePlan, flat: boolean): Panel {
  const rows = Math.max(...plan.rows.map((y) => y.size));
  const channel = 16 * (flat ? flatVectors(s, rows) : rows * Math.max(...plan.vectors.map((x) => x.size)));
  // The last vector of a row may reach past the last channel.
  const bytes = s.c * channel + (flat ? 16 : 0);
  return {
    source: { ...source, base: 0, channel, tapRow: 0, bytes },
    scratch: { name: "panel", type: "ptr", access: "readwrite", bytes },
    flat,
  };
}

/** Vectors that `rows` rows of pixels fill, end to end. */
const flatVectors = (s: ConvShape, rows: number): number => Math.ceil((rows * s.wo) / 4);
/** Rows of a tile, end to end in at most `limit` vectors. */
const flatRows = (s: ConvShape, limit: number): number => Math.max(1, Math.floor((4 * limit) / s.wo));
/** Part of the vectors that must be saved. */
const LEAST_SAVED = 0.05;

/** What the taps of a tile touch where short rows lie end to end, where that pays; else undefined. */
export function flatAccess(s: ConvShape, source: TapSource, a: Access): Access | undefined {
  if (s.kh * s.kw > 1 || source.vector !== 16 || a.vectors >= COMMON || a.taps < LEAST_TAPS * a.channels) return undefined;
  const vectors = balanced(s.ho, flatRows(s, COMMON)).reduce((sum, y) => sum + y.count * flatVectors(s, y.size), 0);
  if (vectors > (1 - LEAST_SAVED) * a.rows * a.vectors) return undefined;
  return { ...a, rows: 1, vectors, channelBytes: 16 * COMMON, rowBytes: 0 };
}

/** Tiles of whole rows that lie end to end, in at most `limit` vectors. */
export const flatPlan = (s: ConvShape, plan: TilePlan, limit: number): TilePlan => ({
  ...plan,
  rows: balanced(s.ho, flatRows(s, limit)),
  vectors: balanced(Math.ceil(s.wo / 4), Math.ceil(s.wo / 4)),
});

/** The shape of a tile's sums: as it lies in the result, or end to end. */
export const sumsOf = (s: ConvShape, panel: Panel | undefined, tile: TileShape): Pick<TileShape, "rows" | "vectors"> =>
  panel?.flat ? { rows: 1, vectors: flatVectors(s, tile.rows) } : tile;

/** Sums that lie end to end as rows of vectors, with statements that name them. */
export function unflattened(
  s: ConvShape,
  tile: TileShape,
  sums: readonly Expr[],
): { readonly body: readonly Stmt[]; readonly rows: Expr[][] } {
  const body: Stmt[] = [];
  const rows = Array.from({ length: tile.rows }, (_, y) =>
    Array.from({ length: tile.vectors }, (_, v) => {
      const first = y * s.wo + 4 * v;
      const [from, lane] = [Math.floor(first / 4), first % 4];
      if (lane === 0) return sums[from]!;
      const name = `row${y}_${v}`;
      const lanes = [0, 1, 2, 3].map((i) => lane + i);
      body.push(let_(name, shuffle(sums[from]!, sums[Math.min(from + 1, sums.length - 1)]!, lanes)));
      return variable(name, "f32x4");
    }),
  );
  return { body, rows };
}

export const panelX = variable("panel", "ptr");

/** The frame of a tile's body once its input is in the panel. */
export const inPanel = (f: ConvFrame, panel: Panel, tile: TileShape): ConvFrame => ({
  ...f,
  source: { ...panel.source, row: panel.flat ? 4 * f.shape.wo : 16 * tile.vectors },
});

/** Copies the vectors of a tile, all channels. End to end, what a row's last vector brings too much is overwritten by what comes next. */
export function fillPanel(f: ConvFrame, panel: Panel, tile: TileShape): Stmt[] {
  const [from, to] = [variable("from", "ptr"), variable("into", "ptr")] as [Expr, Expr];
  const inner = inPanel(f, panel, tile);
  const moves: Stmt[] = [];
  for (let y = 0; y < tile.rows; y++)
    for (let v = 0; v < tile.vectors; v++)
      moves.push(store("f32x4", to, load("f32x4", from, tapDisplacement(f, y, v)), tapDisplacement(inner, y, v)));
  return [
    let_("from", tileX),
    let_("into", panelX),
    for_("c", i32(0), i32(f.shape.c), [
      ...moves,
      set("from", advance(from, i32(f.source.channel))),
      set("into", advance(to, i32(panel.source.channel))),
    ]),
  ];
}
