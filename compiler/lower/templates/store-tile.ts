// Sends the accumulators of a tile through the epilogue into the result. Lanes past a row's end are zero, or not stored at all.

import {
  add,
  advance,
  extract,
  f32,
  for_,
  i32,
  let_,
  load,
  mul,
  replace,
  shuffle,
  splat,
  store,
  variable,
} from "../../../ir/kernel/build.ts";
import type { Expr, Stmt } from "../../../ir/kernel/types.ts";
import type { Storage } from "../storage.ts";
import { type Epilogue, noEpilogue, type Site } from "../template.ts";

/** The result of a kernel as tiles see it: [N, M, H, W]. */
export interface Target {
  readonly storage: Storage;
  /** Vectors of a row, and elements of the last one. */
  readonly vectors: number;
  readonly tail: number;
  /** Whether a row's last vector may be stored whole, with zeros past the end. */
  readonly padded: boolean;
  /** Whole vectors of zeros behind a row's last one, up to the next row of elements; stored with it. */
  readonly gap: number;
  /** Whether the tile that ends a row differs from the others. */
  readonly ends: boolean;
  /** Bytes between lanes. Where they are not neighbours, each is stored on its own. */
  readonly lane: number;
}

export function targetOf(storage: Storage): Target {
  const width = storage.shape[3]!;
  const vectors = Math.ceil(width / 4);
  const room = vectors * 16;
  const apart = storage.strides.slice(0, 3).every((stride, axis) => storage.shape[axis] === 1 || stride >= room);
  const last =
    storage.offset + storage.strides.reduce((sum, stride, axis) => sum + (axis < 3 ? (storage.shape[axis]! - 1) * stride : 0), 0);
  const padded = storage.zeroed && apart && last + room <= storage.bytes;
  const [, pitch, row] = storage.strides as [number, number, number];
  const gap = padded && storage.strides[3] === 4 && pitch <= row ? Math.max(0, Math.floor(pitch / 16) - vectors) : 0;
  const tail = width - 4 * (vectors - 1);
  return { storage, vectors, tail, padded, gap, ends: tail < 4 || gap > 0, lane: storage.strides[3]! };
}

/** Where a tile lies. `at` is the byte of its first element in the result, `dst` the pointer to it. */
export interface TilePlace {
  readonly dst: Expr;
  readonly at: Expr;
  readonly n: Expr;
  readonly channel: Expr;
  readonly y: Expr;
  readonly x: Expr;
  /** Whether it holds the last vector of its rows. */
  readonly last: boolean;
}

/** Statements that keep a value in a variable under a fresh name. */
export interface Names {
  fresh(hint: string): string;
}
export function names(): Names {
  let count = 0;
  return { fresh: (hint) => `${hint}${count++}` };
}

const ZERO = splat("f32x4", f32(0));

/** Where one vector of a tile goes: `at` and `dst` plus `displacement`, at these coordinates. */
interface Spot extends Pick<TilePlace, "dst" | "at" | "n" | "channel" | "y" | "x"> {
  readonly displacement: number;
}

/** Stores one vector, of which the last `4 - lanes` lanes lie past the row's end. */
function storeVector(target: Target, spot: Spot, value: Expr, lanes: number, epilogue: Epilogue, scope: Names): Stmt[] {
  const body: Stmt[] = [];
  const keep = (e: Expr): Expr => {
    if (e.kind === "var" || e.kind === "const") return e;
    const name = scope.fresh("t");
    body.push(let_(name, e));
    return variable(name, e.type);
  };
  const site = (lane: number, wide: 1 | 4): Site => ({
    coords: [spot.n, spot.channel, spot.y, add(spot.x, i32(lane))],
    offset: spot.at,
    displacement: spot.displacement + lane * target.lane,
    lanes: wide,
  });
  // Operands of the epilogue lie apart where the lanes do; without any, it takes them all at once.
  if (target.lane !== 4 && epilogue.params.length > 0) {
    for (let lane = 0; lane < lanes; lane++)
      body.push(store("f32", spot.dst, epilogue.apply(extract(value, lane), site(lane, 1), keep), spot.displacement + lane * target.lane));
    return body;
  }
  const whole = epilogue.apply(value, site(0, 4), keep);
  if (target.lane === 4 && lanes === 4) body.push(store("f32x4", spot.dst, whole, spot.displacement));
  else if (target.lane === 4 && target.padded) {
    const cut = [0, 1, 2, 3].map((lane) => (lane < lanes ? lane : 4));
    body.push(store("f32x4", spot.dst, shuffle(whole, ZERO, cut), spot.displacement));
  } else {
    const kept = keep(whole);
    for (let lane = 0; lane < lanes; lane++) body.push(store("f32", spot.dst, extract(kept, lane), spot.displacement + lane * target.lane));
  }
  return body;
}

/** Stores accumulators by output channel (from `place.channel` on), row and vector of a tile. */
export function storeTile(
  target: Target,
  place: TilePlace,
  acc: readonly (readonly (readonly Expr[])[])[],
  epilogue: Epilogue,
  scope: Names = names(),
): Stmt[] {
  if (epilogue.heavy && target.lane === 4)
    return [...storeTile(target, place, acc, noEpilogue, scope), ...finishTile(target, place, acc, epilogue, scope)];
  const [, channelStride, rowStride] = target.storage.strides as [number, number, number, number];
  return acc.flatMap((rows, r) =>
    rows.flatMap((row, y) =>
      row.flatMap((value, v) => {
        const spot = {
          ...place,
          channel: add(place.channel, i32(r)),
          y: add(place.y, i32(y)),
          x: add(place.x, i32(4 * v)),
          displacement: r * channelStride + y * rowStride + v * 4 * target.lane,
        };
        const last = place.last && v === row.length - 1;
        const gap = Array.from({ length: last ? target.gap : 0 }, (_, i) =>
          store("f32x4", spot.dst, ZERO, spot.displacement + 16 * (i + 1)),
        );
        return [...storeVector(target, spot, value, last ? target.tail : 4, epilogue, scope), ...gap];
      }),
    ),
  );
}

/** A heavy epilogue over a tile in memory, still in the cache: beside its accumulators there would be no registers for it. */
function finishTile(
  target: Target,
  place: TilePlace,
  acc: readonly (readonly (readonly Expr[])[])[],
  epilogue: Epilogue,
  scope: Names,
): Stmt[] {
  const [, channelStride, rowStride] = target.storage.strides as [number, number, number, number];
  const vectors = acc[0]![0]!.length;
  const cut = place.last && target.tail < 4;
  const vector = (spot: Spot, lanes: number): Stmt[] => {
    const name = scope.fresh("raw");
    // What lies behind a row may be another thread's.
    const own = Array.from({ length: lanes }, (_, lane) => lane);
    const value =
      lanes === 4 || target.padded
        ? load("f32x4", spot.dst, spot.displacement)
        : own.reduce((all, lane) => replace(all, lane, load("f32", spot.dst, spot.displacement + 4 * lane)), ZERO);
    const raw = let_(name, value);
    return [raw, ...storeVector(target, spot, variable(name, "f32x4"), lanes, epilogue, scope)];
  };
  /** `count` rounds of `body`, each `stride` bytes on. */
  const loop = (spot: Spot, count: number, stride: number, body: (s: Spot, i: Expr) => Stmt[]): Stmt[] => {
    if (count === 0) return [];
    if (count === 1) return body(spot, i32(0));
    const [i, by, at, dst] = ["i", "by", "at", "dst"].map((hint) => scope.fresh(hint)) as [string, string, string, string];
    const inner = { ...spot, at: variable(at), dst: variable(dst, "ptr") };
    return [
      for_(i, i32(0), i32(count), [
        let_(by, mul(variable(i), i32(stride))),
        let_(at, add(spot.at, variable(by))),
        let_(dst, advance(spot.dst, variable(by))),
        ...body(inner, variable(i)),
      ]),
    ];
  };
  return loop({ ...place, displacement: 0 }, acc.length, channelStride, (channel, r) =>
    loop({ ...channel, channel: add(place.channel, r) }, acc[0]!.length, rowStride, (row, y) => {
      const here = { ...row, y: add(place.y, y) };
      const last = { ...here, x: add(place.x, i32(4 * (vectors - 1))), displacement: here.displacement + 16 * (vectors - 1) };
      return [
        ...Array.from({ length: cut ? vectors - 1 : vectors }, (_, v) =>
          vector({ ...here, x: add(place.x, i32(4 * v)), displacement: here.displacement + 16 * v }, 4),
        ).flat(),
        ...(cut ? vector(last, target.tail) : []),
      ];
    }),
  );
}

/** First value of an accumulator: the bias behind `ptr`, or zero. */
export const startOf = (bias: Expr | undefined, offset: number): Expr => (bias ? splat("f32x4", load("f32", bias, offset)) : ZERO);
