// Stores the sums of one pixel's channels, four to a vector: the epilogue, then as few stores as the element type allows.

import { DTYPES } from "../../../ir/dtype.ts";
import { extract, i32, let_, max, min, narrow, splat, store, variable } from "../../../ir/kernel/build.ts";
import type { Expr, Stmt } from "../../../ir/kernel/types.ts";
import { memoryOf } from "../storage.ts";
import type { Site } from "../template.ts";
import type { BytesShape, BytesSpec } from "./bytes-spec.ts";
import type { Names } from "./store-tile.ts";

/** Where a pixel's channels go: `at` and `dst` (the byte in the result, and the pointer to it) plus `displacement`. */
export interface PixelPlace {
  readonly dst: Expr;
  readonly at: Expr;
  readonly displacement: number;
  readonly n: Expr;
  readonly channel: Expr;
  readonly y: Expr;
  readonly x: Expr;
}

/** Lanes of the last vector of a pixel's channels that are stored: all where there is room behind them, else the channels that there are. */
export const lanesOf = (spec: BytesSpec, shape: BytesShape): number => {
  const rest = shape.m % 4;
  const room = spec.output.part !== true && shape.to.pixel >= Math.ceil(shape.m / 4) * 4 * shape.to.channel;
  return rest === 0 || room ? 4 : rest;
};

/** `sums` are i32x4, of neighbouring channels, of which the last vector has `alone` lanes to store. */
export function storeChannels(
  spec: BytesSpec,
  shape: BytesShape,
  place: PixelPlace,
  sums: readonly Expr[],
  alone: number,
  scope: Names,
): Stmt[] {
  const body: Stmt[] = [];
  const keep = (e: Expr): Expr => {
    if (e.kind === "var" || e.kind === "const") return e;
    const name = scope.fresh("t");
    body.push(let_(name, e));
    return variable(name, e.type);
  };
  const { channel } = shape.to;
  const memory = memoryOf(spec.output.dtype);
  const plus = (e: Expr, n: number): Expr => (n === 0 ? e : { kind: "binary", type: "i32", op: "add", a: e, b: i32(n) });
  const values = sums.map((sum, q) => {
    const m = plus(place.channel, 4 * q);
    const site: Site = {
      coords: shape.matrix ? [place.x, m] : [place.n, m, place.y, place.x],
      offset: place.at,
      displacement: place.displacement + 4 * q * channel,
      lanes: 4,
      axis: 1,
    };
    return spec.epilogue.apply(sum, site, keep);
  });
  const put = (at: number, as: Parameters<typeof store>[0], value: Expr): number =>
    body.push(store(as, place.dst, value, place.displacement + at * channel));
  const whole = alone < 4 ? values.length - 1 : values.length;
  const bytes = memory === "u8" || memory === "i8";
  let q = 0;
  if (bytes && spec.saturates) {
    const pair = (k: number): Expr => narrow("i16", values[k]!, values[k + 1]!);
    for (; q + 4 <= whole; q += 4) put(4 * q, "i8x16", narrow(memory, pair(q), pair(q + 2)));
    for (; q + 2 <= whole; q += 2) put(4 * q, `${memory}x8`, pair(q));
  }
  for (; q < whole; q++) put(4 * q, bytes ? `${memory}x4` : memory === "f32" ? "f32x4" : "i32x4", values[q]!);
  if (whole < values.length) {
    const { min: low, max: high } = DTYPES[spec.output.dtype];
    const bound = (e: Expr): Expr => min(max(e, splat("i32x4", i32(Number(low)))), splat("i32x4", i32(Number(high))));
    const kept = keep(spec.epilogue.saturated ? bound(values[whole]!) : values[whole]!);
    for (let lane = 0; lane < alone; lane++) put(4 * whole + lane, memory, extract(kept, lane));
  }
  return body;
}
