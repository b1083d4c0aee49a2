// The inputs of a tile of pixels, brought together for sparse products: rows of four bytes for each pixel, pixels side by side.

import { add, advance, bitcast, cast, for_, i32, let_, load, min, mul, shuffle, store, sub, variable } from "../../../ir/kernel/build.ts";
import type { Expr, Stmt } from "../../../ir/kernel/types.ts";
import { count } from "./bytes-frame.ts";
import type { BytesShape, BytesSpec } from "./bytes-spec.ts";
import { extentOf, LANES, type Tiling } from "./bytes-tiling.ts";

/**
 * What the four bytes of a pixel in a row hold: four neighbouring channels, two of them in 16 bits, or one as f32, whose products and sums
 * below 2^24 are exact.
 */
export type Form = "bytes" | "pairs" | "floats";

/** Channels in a row, and rows to a unit of the lists: a word of four weights, or a weight. */
const CHANNELS: Readonly<Record<Form, number>> = { bytes: 4, pairs: 2, floats: 1 };

export interface Panel {
  readonly form: Form;
  /** Pixels that a line of the tile takes in a row: its own, and what windows reach beyond them. */
  readonly line: number;
  /** Pixels of a row. */
  readonly width: number;
  /** Panels for the columns of the kernel: one for all where pixels that are neighbours are read by neighbours. */
  readonly across: number;
  /** Rows for each row of the kernel and each of its columns that has a panel of its own. */
  readonly rows: number;
  /** Blocks of channels that it is filled with, one after the other, so that it stays in the cache; and units of a block. */
  readonly blocks: number;
  readonly units: number;
  readonly bytes: number;
  /** Digits of a unit's number, [row of the kernel][column][unit], and the bytes that each is worth. */
  readonly radix: readonly (readonly [extent: number, stride: number])[];
}

/** Rows that a unit of the lists lies in: a word of four channels, or a single one. */
const ROWS: Readonly<Record<Form, number>> = { bytes: 1, pairs: 2, floats: 1 };

/**
 * What stays in the first cache beside sums and lists, where units are of the most bytes and tiles of the most pixels that there are: lists
 * are of the same blocks for all targets, which then share them.
 */
const [MOST_BYTES, MOST_PIXELS] = [48 * 1024, 40];
/** So many units of a tap have numbers of a byte. */
const MOST_UNITS = 256;

export function panelOf(spec: BytesSpec, s: BytesShape, form: Form, t: Tiling): Panel {
  const [kh, kw] = spec.kernel;
  const reach = (kw - 1) * spec.dilations[1];
  const across = spec.strides[1] === 1 ? 1 : kw;
  const line = extentOf(t) + (across === 1 ? reach : 0);
  const width = t.down * line;
  const row = 4 * width;
  const all = form === "floats" ? s.c : Math.ceil(s.c / 4);
  const widest = 4 * MOST_PIXELS * (form === "floats" ? 1 : 2) * kh * (across === 1 ? 1 : kw);
  // Whole chunks, whichever form words are brought together in.
  const units = Math.min(4 * Math.ceil(all / 4), MOST_UNITS, Math.max(4, 4 * Math.floor(MOST_BYTES / widest / 4)));
  const rows = units * ROWS[form];
  return {
    form,
    line,
    width,
    across,
    rows,
    blocks: Math.ceil(all / units),
    units,
    bytes: kh * across * rows * row,
    radix: [
      [kh, across * rows * row],
      [kw, across === 1 ? 4 * spec.dilations[1] : rows * row],
      [units, ROWS[form] * row],
    ],
  };
}

/** Vectors a, b, c, d as the first, second, third and fourth lanes of all. */
export function transposed([a, b, c, d]: readonly [Expr, Expr, Expr, Expr], keep: (e: Expr) => Expr): readonly Expr[] {
  const [low, high] = [
    [0, 4, 1, 5],
    [2, 6, 3, 7],
  ] as const;
  const halves = [low, high].map((lanes) => [keep(shuffle(a, b, lanes)), keep(shuffle(c, d, lanes))] as const);
  return halves.flatMap(([x, y]) => [shuffle(x, y, [0, 1, 4, 5]), shuffle(x, y, [2, 3, 6, 7])]);
}

/** Four rows of a pixel, from the channels at `ptr + offset`. */
function lanes(form: Form, ptr: Expr, offset: number): Expr {
  if (form === "bytes") return load("i32x4", ptr, offset);
  return form === "pairs" ? bitcast("i32x4", load("u8x8", ptr, offset)) : cast("f32x4", load("u8x4", ptr, offset));
}

/** Fills the panel behind `panel` with block `block` of what the windows of the pixels from pointer `x` on read. */
export function fillPanel(spec: BytesSpec, s: BytesShape, p: Panel, t: Tiling, block: Expr): Stmt[] {
  const chunks = Math.ceil(s.c / (4 * CHANNELS[p.form]));
  const first = mul(block, i32(p.rows / 4));
  const here = p.blocks === 1 ? i32(chunks) : min(i32(p.rows / 4), sub(i32(chunks), first));
  const pitch = spec.input.strides[s.matrix ? 0 : 3]!;
  const down = (s.matrix ? 0 : spec.input.strides[2]!) * spec.dilations[0];
  const step = p.across === 1 ? pitch : s.from.pixel;
  const type = p.form === "floats" ? "f32x4" : "i32x4";
  const row = 4 * p.width;
  // The last four pixels may have been copied already, in part.
  const along = count(Math.ceil(p.line / LANES)).map((i) => Math.min(LANES * i, p.line - LANES));
  const fours = count(t.down).flatMap((y) => along.map((x) => ({ from: y * s.from.row + x * step, to: y * p.line + x })));
  return count(spec.kernel[0]).flatMap((ky) =>
    count(p.across).map((kx) => {
      const from = ky * down + kx * pitch * spec.dilations[1];
      const to = (ky * p.across + kx) * p.rows * row;
      const own = (name: string): string => `${name}${ky}_${kx}`;
      const [xc, pc, chunk] = [variable(own("xc"), "ptr"), variable(own("pc"), "ptr"), variable(own("chunk"))];
      const body: Stmt[] = [
        let_(own("xc"), advance(variable("x", "ptr"), mul(add(first, chunk), i32(4 * CHANNELS[p.form])))),
        let_(own("pc"), advance(variable("panel", "ptr"), mul(chunk, i32(4 * row)))),
      ];
      fours.forEach((at, i) => {
        const keep = (e: Expr): Expr => {
          const name = own(`v${i}_${body.length}_`);
          body.push(let_(name, e));
          return variable(name, e.type);
        };
        const four = count(4).map((q) => keep(lanes(p.form, xc, from + at.from + q * step)));
        const rows = transposed(four as unknown as readonly [Expr, Expr, Expr, Expr], keep);
        rows.forEach((r, q) => body.push(store(type, pc, r, to + q * row + 4 * at.to)));
      });
      return for_(own("chunk"), i32(0), here, body);
    }),
  );
}
