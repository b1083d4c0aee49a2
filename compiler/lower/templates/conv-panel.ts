// Copies of what a tile reads: where a 1x1 kernel's rows are long, the vectors of a tile lie on lines that it uses in part, too many of them
// for the cache. Side by side in scratch they fit, and the copy is paid back by the taps of all output channels.

import { advance, for_, i32, let_, load, set, store, variable } from "../../../ir/kernel/build.ts";
import type { Expr, PointerParam, Stmt } from "../../../ir/kernel/types.ts";
import type { TapSource } from "./conv-input.ts";
import type { ConvShape } from "./conv-spec.ts";
import { type ConvFrame, type TileShape, tapDisplacement, tileX } from "./conv-sweep.ts";
import { type Access, CACHE, linesOf, type TilePlan } from "./tiles.ts";

export interface Panel {
  /** How taps lie in the copy: channel by channel, the vectors of a tile. */
  readonly source: TapSource;
  readonly scratch: PointerParam;
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

export function panelOf(s: ConvShape, source: TapSource, plan: TilePlan): Panel {
  const channel = 16 * Math.max(...plan.rows.map((y) => y.size)) * Math.max(...plan.vectors.map((x) => x.size));
  return {
    source: { ...source, base: 0, channel, tapRow: 0, bytes: s.c * channel },
    scratch: { name: "panel", type: "ptr", access: "readwrite", bytes: s.c * channel },
  };
}

export const panelX = variable("panel", "ptr");

/** The frame of a tile's body once its input is in the panel. */
export const inPanel = (f: ConvFrame, panel: Panel, tile: TileShape): ConvFrame => ({
  ...f,
  source: { ...panel.source, row: 16 * tile.vectors },
});

/** Copies the vectors of a tile, all channels. */
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
