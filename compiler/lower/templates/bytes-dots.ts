// Sums of a tile of pixels by outputs, four bytes or two 16-bit products to a lane at once.

import {
  add,
  advance,
  bitcast,
  compare,
  dot,
  dotBytes,
  for_,
  i32,
  let_,
  load,
  repeat,
  set,
  shuffle,
  splat,
  variable,
} from "../../../ir/kernel/build.ts";
import type { Expr, Stmt } from "../../../ir/kernel/types.ts";
import { count } from "./bytes-frame.ts";
import { asRead, type BytesSpec, readingOf } from "./bytes-spec.ts";
import type { Runs } from "./bytes-weights.ts";

const xp = variable("xp", "ptr");
const wp = variable("wp", "ptr");
const ZERO = splat("i32x4", i32(0));

/** `pixels` by `vectors` of outputs, of a group of `of` whose weights of these begin at vector `from`. */
export interface Tile {
  readonly pixels: number;
  readonly vectors: number;
  readonly from: number;
  readonly of: number;
  /** Lanes of its last vector that are stored. */
  readonly lanes: number;
  /** Bytes between the inputs of neighbouring pixels, and of an input or a weight: two in 16 bits. */
  readonly step: number;
  readonly size: 1 | 2;
}

/** How sums are taken on a target: accumulators, what some bytes of all inputs add to them, and the sums in the end. */
export interface Dots {
  readonly start: readonly { readonly name: string; readonly value: Expr }[];
  add(bytes: number, prefix: string): readonly Stmt[];
  sums(pixel: number): readonly Expr[];
}

/** What the sums of a pixel begin with. */
export type Start = (pixel: number, vector: number) => Expr | undefined;

/** Four inputs by four outputs at once. */
export function byteDots(spec: BytesSpec, t: Tile, first: Start): Dots {
  const acc = (p: number, v: number): string => `a${p}_${v}`;
  return {
    start: count(t.pixels).flatMap((p) => count(t.vectors).map((v) => ({ name: acc(p, v), value: first(p, v) ?? ZERO }))),
    // Inputs stay in registers, weights pass through one.
    add: (bytes, prefix) =>
      count(bytes / 4).flatMap((k) => [
        ...count(t.pixels).map((p) =>
          let_(`${prefix}x${k}_${p}`, bitcast("i8x16", asRead(spec, splat("i32x4", load("i32", xp, p * t.step + 4 * k))))),
        ),
        ...count(t.vectors).flatMap((v) => [
          let_(`${prefix}w${k}_${v}`, load("i8x16", wp, 16 * (k * t.of + t.from + v))),
          ...count(t.pixels).map((p) => {
            const [weights, inputs] = [variable(`${prefix}w${k}_${v}`, "i8x16"), variable(`${prefix}x${k}_${p}`, "i8x16")];
            return set(acc(p, v), dotBytes(weights, inputs, variable(acc(p, v), "i32x4"), readingOf(spec)));
          }),
        ]),
      ]),
    sums: (p) => count(t.vectors).map((v) => variable(acc(p, v), "i32x4")),
  };
}

/** In 16 bits: four inputs by two outputs at once, the sums of an output in two lanes, which are added in the end. */
export function pairDots(t: Tile, first: Start): Dots {
  const acc = (p: number, h: number): string => `a${p}_${h}`;
  const halves = count(2 * t.vectors);
  return {
    start: count(t.pixels).flatMap((p) => halves.map((h) => ({ name: acc(p, h), value: ZERO }))),
    add: (bytes, prefix) =>
      count(bytes / 4).flatMap((k) => [
        ...count(t.pixels).map((p) => {
          const four = load("i64", xp, 2 * (p * t.step + 4 * k));
          return let_(`${prefix}x${k}_${p}`, bitcast("i16x8", splat("i64x2", four)));
        }),
        ...halves.flatMap((h) => [
          let_(`${prefix}w${k}_${h}`, load("i16x8", wp, 32 * (k * t.of + t.from) + 16 * h)),
          ...count(t.pixels).map((p) => {
            const product = dot(variable(`${prefix}w${k}_${h}`, "i16x8"), variable(`${prefix}x${k}_${p}`, "i16x8"));
            return set(acc(p, h), add(variable(acc(p, h), "i32x4"), product));
          }),
        ]),
      ]),
    sums: (p) =>
      count(t.vectors).map((v) => {
        const [a, b] = [variable(acc(p, 2 * v), "i32x4"), variable(acc(p, 2 * v + 1), "i32x4")];
        const sum = add(shuffle(a, b, [0, 2, 4, 6]), shuffle(a, b, [1, 3, 5, 7]));
        const start = first(p, v);
        return start ? add(sum, start) : sum;
      }),
  };
}

/** `count` rounds of `body`, with `ptr` a copy of `from` that moves on by `step` after each. */
function stepping(n: number, ptr: string, from: Expr, step: number, variableName: string, body: readonly Stmt[]): Stmt[] {
  const start = let_(ptr, from);
  if (n === 1) return [start, ...body];
  const next = set(ptr, advance(variable(ptr, "ptr"), i32(step)));
  return [start, for_(variableName, i32(0), i32(n), [...body, next])];
}

/** The sums of a tile, from pointers `xt` to its first input and `wg` to the group's weights. */
export function sumsOf(d: Dots, runs: Runs, t: Tile): Stmt[] {
  const perWord = 16 * t.of * t.size;
  const go = (bytes: number, prefix: string): Stmt[] => [
    ...d.add(bytes, prefix),
    set("xp", advance(xp, i32(t.size * bytes))),
    set("wp", advance(wp, i32((bytes / 4) * perWord))),
  ];
  const step = runs.length < 8 ? 4 : 8;
  const [rounds, rest] = [Math.floor(runs.length / step), runs.length % step];
  const left = variable("left");
  const whole =
    rounds === 1
      ? go(step, "")
      : [let_("left", i32(rounds)), repeat([...go(step, ""), set("left", add(left, i32(-1)))], compare("ne", left, i32(0)))];
  const run = [...whole, ...(rest > 0 ? go(rest, "r") : [])];
  const [row, start] = [variable("xr", "ptr"), variable("xa", "ptr")];
  const across = stepping(runs.across, "xa", row, t.size * runs.acrossStep, "kx", [let_("xp", start), ...run]);
  return [
    ...d.start.map(({ name, value }) => let_(name, value)),
    let_("wp", variable("wg", "ptr")),
    ...stepping(runs.down, "xr", variable("xt", "ptr"), t.size * runs.downStep, "ky", across),
  ];
}
