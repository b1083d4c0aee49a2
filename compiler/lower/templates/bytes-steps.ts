// One step of an output's list in sparse products of bytes: a weight, or four, by all pixels of a tile.

import {
  add,
  advance,
  and,
  binary,
  bitcast,
  compare,
  dot,
  dotBytes,
  extract,
  i32,
  let_,
  load,
  mul,
  select,
  set,
  shuffle,
  splat,
  sub,
  variable,
  wholeFma,
} from "../../../ir/kernel/build.ts";
import type { ByteReading, Expr, Stmt, VectorType } from "../../../ir/kernel/types.ts";
import { count } from "./bytes-frame.ts";
import { tapBytes } from "./bytes-lists.ts";
import { type Form, type Panel, zipped } from "./bytes-panel.ts";
import type { Tiling } from "./bytes-tiling.ts";

/** Where the pointers of lists stand: weights, and their places in the panel. */
export const [wp, tp] = [variable("wp", "ptr"), variable("tp", "ptr")];

export interface Plan {
  readonly tiling: Tiling;
  readonly panel: Panel;
  readonly vectors: number;
  /** How dot products of bytes read words of the panel. */
  readonly read: ByteReading;
}

/** Whether sums of all outputs wait until all blocks of channels were added. */
export const isBlocked = ({ panel }: Plan): boolean => panel.blocks > 1;
export const sumType = (form: Form): VectorType => (form === "floats" ? "f32x4" : "i32x4");

/** Outputs whose sums are taken, then stored: how many, and what ends the names of their variables. */
export interface Group {
  readonly outputs: number;
  /** Lanes of its last vector of channels that are stored. */
  readonly lanes: number;
  readonly suffix: string;
}

/** Single weights that a step of an output's list takes. */
export const singlesOf = (form: Form): number => (form === "planes" ? 4 : 1);

/** The places of four weights in their planes, and the products of all vectors of the tile, sixteen pixels at a time. */
function gather({ vectors }: Plan, suffix: string, tap: (i: number) => Expr): readonly Stmt[] {
  const own = (name: string): string => `${name}${suffix}`;
  return count(Math.ceil(vectors / 4)).flatMap((g) => {
    const rows = count(4).map((i) => variable(own(`r${g}_${i}_`), "i8x16"));
    const pairs = (half: number, k: number): string => own(`p${g}_${half}_${k}_`);
    return [
      ...rows.map((r, i) => let_((r as Expr & { kind: "var" }).name, load("i8x16", tap(i), 16 * g))),
      ...[0, 1]
        .filter((half) => 4 * g + 2 * half < vectors)
        .flatMap((half) => [
          ...[0, 1].map((k) => let_(pairs(half, k), bitcast("i16x8", shuffle(rows[2 * k]!, rows[2 * k + 1]!, zipped(8, half))))),
          ...[0, 1].flatMap((part) => {
            const v = 4 * g + 2 * half + part;
            if (v >= vectors) return [];
            const four = shuffle(variable(pairs(half, 0), "i16x8"), variable(pairs(half, 1), "i16x8"), zipped(4, part));
            return [
              set(own(`a${v}`), dotBytes(variable(own("w"), "i8x16"), bitcast("i8x16", four), variable(own(`a${v}`), "i32x4"), "unsigned")),
            ];
          }),
        ]),
    ];
  });
}

/** One step of an output's list, of which `left` are left, for all vectors of the tile; and how far it moves the weights on. */
export function step(plan: Plan, { suffix }: Group, tap: Expr, left: Expr): { readonly body: readonly Stmt[]; readonly weights: number } {
  const { panel, tiling } = plan;
  const places = count(tiling.down).flatMap((y) => tiling.starts.map((x) => 4 * (y * panel.line + x)));
  const acc = (v: number): Expr => variable(`a${v}${suffix}`, sumType(panel.form));
  const put = (v: number, value: Expr): Stmt => set(`a${v}${suffix}`, value);
  const [w, w0, w1] = ["w", "w0", "w1"].map((name) => `${name}${suffix}`) as [string, string, string];
  if (panel.form === "floats")
    return {
      body: [
        let_(w, splat("f32x4", load("f32", wp))),
        ...places.map((at, v) => put(v, wholeFma(variable(w, "f32x4"), load("f32x4", tap, at), acc(v)))),
      ],
      weights: 4,
    };
  if (panel.form === "planes") {
    const wide = tapBytes(panel);
    const place = (i: number): string => `tap${i}${suffix}`;
    const others = [1, 2, 3].map((i) => let_(place(i), advance(variable("panel", "ptr"), load(wide === 2 ? "u16" : "i32", tp, wide * i))));
    const four = extract(bitcast("i32x4", load("i8x16", wp)), 0);
    const mask = select(compare("lt", left, i32(4)), sub(binary("shl", i32(1), mul(left, i32(8))), i32(1)), i32(-1));
    const first = let_(w, bitcast("i8x16", splat("i32x4", and(four, mask))));
    return { body: [first, ...others, ...gather(plan, suffix, (i) => (i === 0 ? tap : variable(place(i), "ptr")))], weights: 4 };
  }
  if (panel.form === "bytes")
    return {
      body: [
        let_(w, bitcast("i8x16", splat("i32x4", load("i32", wp)))),
        ...places.map((at, v) => put(v, dotBytes(variable(w, "i8x16"), load("i8x16", tap, at), acc(v), plan.read))),
      ],
      weights: 4,
    };
  const row = 4 * panel.width;
  return {
    body: [w0, w1].flatMap((name, h) => [
      let_(name, bitcast("i16x8", splat("i32x4", load("i32", wp, 4 * h)))),
      ...places.map((at, v) => put(v, add(acc(v), dot(variable(name, "i16x8"), load("i16x8", tap, h * row + at))))),
    ]),
    weights: 8,
  };
}
