// Sends the accumulators of a tile through the epilogue into the result. Lanes past a row's end are zero, or not stored at all.

import { add, extract, f32, i32, let_, load, shuffle, splat, store, variable } from "../../../ir/kernel/build.ts";
import type { Expr, Stmt } from "../../../ir/kernel/types.ts";
import type { Storage } from "../storage.ts";
import type { Epilogue, Site } from "../template.ts";

/** The result of a kernel as tiles see it: [N, M, H, W]. */
export interface Target {
  readonly storage: Storage;
  /** Vectors of a row, and elements of the last one. */
  readonly vectors: number;
  readonly tail: number;
  /** Whether a row's last vector may be stored whole, with zeros past the end. */
  readonly padded: boolean;
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
  return {
    storage,
    vectors,
    tail: width - 4 * (vectors - 1),
    padded: storage.zeroed && apart && last + room <= storage.bytes,
    lane: storage.strides[3]!,
  };
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

/** Stores `rows` x `vectors` accumulators of output channel `place.channel + r`. */
export function storeTile(
  target: Target,
  place: TilePlace,
  r: number,
  acc: readonly (readonly Expr[])[],
  epilogue: Epilogue,
  scope: Names,
): Stmt[] {
  const body: Stmt[] = [];
  const [, channelStride, rowStride] = target.storage.strides as [number, number, number, number];
  const keep = (value: Expr): Expr => {
    if (value.kind === "var" || value.kind === "const") return value;
    const name = scope.fresh("t");
    body.push(let_(name, value));
    return variable(name, value.type);
  };
  acc.forEach((row, y) => {
    row.forEach((value, v) => {
      const displacement = r * channelStride + y * rowStride + v * 4 * target.lane;
      const site = (lane: number, lanes: 1 | 4): Site => ({
        coords: [place.n, add(place.channel, i32(r)), add(place.y, i32(y)), add(place.x, i32(4 * v + lane))],
        offset: place.at,
        displacement: displacement + lane * target.lane,
        lanes,
      });
      const lanes = place.last && v === row.length - 1 ? target.tail : 4;
      if (lanes === 4 && target.lane === 4) {
        body.push(store("f32x4", place.dst, epilogue.apply(value, site(0, 4), keep), displacement));
      } else if (target.padded && target.lane === 4) {
        const whole = epilogue.apply(value, site(0, 4), keep);
        const cut = [0, 1, 2, 3].map((lane) => (lane < lanes ? lane : 4));
        body.push(store("f32x4", place.dst, shuffle(whole, ZERO, cut), displacement));
      } else {
        for (let lane = 0; lane < lanes; lane++)
          body.push(store("f32", place.dst, epilogue.apply(extract(value, lane), site(lane, 1), keep), displacement + lane * target.lane));
      }
    });
  });
  return body;
}

/** First value of an accumulator: the bias behind `ptr`, or zero. */
export const startOf = (bias: Expr | undefined, offset: number): Expr => (bias ? splat("f32x4", load("f32", bias, offset)) : ZERO);
